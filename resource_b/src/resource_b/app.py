"""Composition: settings in, a protected application out, and the process around it."""

import os
from collections.abc import AsyncIterator

from aiohttp import web

from farseal import telemetry
from farseal.clock import Clock, now
from farseal.service import openapi, requests
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.settings import TrustSettings
from farseal.web import setup, trust_page
from resource_b.access import RULES
from resource_b.http.reports import NOTES_CLIENT, get_my_report, get_org_report
from resource_b.notes_client import Bounds, NotesClient, open_session
from resource_b.settings import Settings, load_all

__all__ = ["RULES", "create_app", "from_environment", "run_server"]

SERVICE = "resource_b"


def create_app(
    settings: Settings,
    trust: TrustSettings,
    *,
    metrics: ServiceMetrics | None = None,
    readiness: Readiness | None = None,
    clock: Clock = now,
) -> web.Application:
    """The reports API. Ready whenever tokens can be judged.

    Readiness does not ask the notes service: reports would disappear together with notes, where a 502 tells callers
    what is wrong.
    """
    metrics = metrics or ServiceMetrics(SERVICE)
    app = web.Application()
    app.router.add_get("/reports/mine", get_my_report)
    app.router.add_get("/reports/org", get_org_report)
    app.router.add_get(openapi.PATH, openapi.openapi_handler("resource_b"))

    async def notes_client(app: web.Application) -> AsyncIterator[None]:
        bounds = Bounds(
            timeout_seconds=settings.notes_timeout_seconds,
            concurrency=settings.notes_concurrency,
            max_notes=settings.max_notes,
        )
        async with open_session(connections=bounds.concurrency, ca_file=settings.notes_ca_file) as session:
            app[NOTES_CLIENT] = NotesClient(session, settings.notes_url, bounds)
            yield

    app.cleanup_ctx.append(notes_client)
    setup(app, trust, rules=RULES, clock=clock, readiness=readiness)
    telemetry.register(app, metrics.registry)
    requests.install(app, metrics=metrics)
    return app


def from_environment() -> web.Application:
    """The application as this process's environment sets it.

    For `python -m farseal explain --app resource_b.app:from_environment METHOD PATH`, which then knows the routes, too.

    Raises:
        SettingsError: naming every fault at once.
    """
    return create_app(*load_all(os.environ))


def run_server(settings: Settings, trust: TrustSettings) -> int:
    """Serve until told to stop; the exit code of the process."""
    metrics, readiness = ServiceMetrics(SERVICE), Readiness()
    app = create_app(settings, trust, metrics=metrics, readiness=readiness)
    return settings.run(app, readiness=readiness, metrics=metrics, pages=trust_page(app))
