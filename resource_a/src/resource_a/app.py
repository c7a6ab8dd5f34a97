"""Composition: settings in, a protected application out, and the process around it."""

import asyncio
import os
from collections.abc import AsyncIterator

from aiohttp import web

from farseal import telemetry
from farseal.clock import Clock, now
from farseal.service import openapi, postgres, requests
from farseal.service.bodies import MAX_BODY_BYTES
from farseal.service.metrics import ServiceMetrics
from farseal.service.migrate import Migration
from farseal.service.ops import Readiness
from farseal.settings import TrustSettings
from farseal.web import setup, trust_page
from resource_a.access import RULES
from resource_a.http.notes import CLOCK, NOTES, delete_note, get_note, get_notes, post_note, put_note
from resource_a.service import Notes
from resource_a.settings import Settings, load_all
from resource_a.storage.database import migrate, open_pool, require_migrated

__all__ = ["RULES", "create_app", "from_environment", "migrate_database", "run_server"]

SERVICE = "resource_a"


def create_app(
    settings: Settings,
    trust: TrustSettings,
    *,
    metrics: ServiceMetrics | None = None,
    readiness: Readiness | None = None,
    clock: Clock = now,
) -> web.Application:
    """The notes API. Ready when tokens can be judged and the database answers.

    Its start waits for the database, and fails with a FarsealError when it is not to be had or not migrated.
    """
    metrics = metrics or ServiceMetrics(SERVICE)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[CLOCK] = clock
    app.router.add_post("/notes", post_note)
    app.router.add_get("/notes", get_notes)
    app.router.add_get("/notes/{id}", get_note)
    app.router.add_put("/notes/{id}", put_note)
    app.router.add_delete("/notes/{id}", delete_note)
    app.router.add_get(openapi.PATH, openapi.openapi_handler("resource_a"))

    async def database(app: web.Application) -> AsyncIterator[None]:
        async with open_pool(settings) as pool:
            if settings.migrate_on_start:
                await migrate(pool)
            else:
                await require_migrated(pool)
            if readiness is not None:
                readiness.add("database", lambda: postgres.check(pool))
            app[NOTES] = Notes(pool)
            yield

    app.cleanup_ctx.append(database)
    setup(app, trust, rules=RULES, clock=clock, readiness=readiness)
    telemetry.register(app, metrics.registry)
    requests.install(app, metrics=metrics)
    return app


def from_environment() -> web.Application:
    """The application as this process's environment sets it.

    For `python -m farseal explain --app resource_a.app:from_environment METHOD PATH`, which then knows the routes, too.

    Raises:
        SettingsError: naming every fault at once.
    """
    return create_app(*load_all(os.environ))


def run_server(settings: Settings, trust: TrustSettings) -> int:
    """Serve until told to stop; the exit code of the process."""
    metrics, readiness = ServiceMetrics(SERVICE), Readiness()
    app = create_app(settings, trust, metrics=metrics, readiness=readiness)
    return settings.run(app, readiness=readiness, metrics=metrics, pages=trust_page(app))


def migrate_database(settings: Settings) -> tuple[Migration, ...]:
    """Apply the missing migrations; what was applied.

    Raises:
        FarsealError: the database is not to be had, or a migration was refused or failed.
    """

    async def apply() -> tuple[Migration, ...]:
        async with open_pool(settings) as pool:
            return await migrate(pool)

    return asyncio.run(apply())
