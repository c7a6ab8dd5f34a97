"""The composition root: settings in, a running auth server out."""

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from auth_server.accounts.passwords import PasswordHasher
from auth_server.accounts.service import Accounts
from auth_server.accounts.throttle import Throttle
from auth_server.background import repeating
from auth_server.grants.service import Grants
from auth_server.http import api_tokens, oauth_token, well_known
from auth_server.http.services import SERVICES, Services
from auth_server.keys.opening import Keks
from auth_server.keys.sealing import Kek, KekError, exposure, read_kek
from auth_server.metrics import AuthMetrics
from auth_server.publication.documents import TOKEN_PATH, Document
from auth_server.publication.refresher import Refresher, Served
from auth_server.settings import AuthServerSettings
from auth_server.signing import signing
from auth_server.storage.connection import Pool
from auth_server.storage.migrate import migrator
from auth_server.tokens.issuer import TokenIssuer
from farseal import clock as process_clock
from farseal.clock import Clock
from farseal.environment import SettingsError
from farseal.errors import FarsealError
from farseal.service import postgres, requests, run
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.vocabulary import ISSUER_METADATA_PATH, JWKS_PATH

log = structlog.get_logger(__name__)

SERVICE: Final = "auth_server"
OPENAPI_PATH: Final = "/openapi.yaml"

SWEEP_SECONDS: Final = 60
"""How often used-up throttle rows are deleted; they do no harm but take room."""

_REFRESHER: Final = web.AppKey("auth_server.refresher", Refresher)


class SchemaError(FarsealError):
    """The database does not have the schema that this version works with."""


def create_app(
    settings: AuthServerSettings,
    keks: Keks,
    *,
    metrics: ServiceMetrics,
    readiness: Readiness,
    clock: Clock = process_clock.now,
    hasher: Callable[[], PasswordHasher] = PasswordHasher,
) -> web.Application:
    """The public application. Its start opens the database, makes or loads the keys and publishes; its end undoes that.

    Start-up raises `SchemaError`, `KeyringError` or `DatabaseUnavailable`.

    Args:
        settings: see there.
        keks: open the signing keys; the first one seals.
        metrics: of this service; one application for each.
        readiness: gets the checks ``database``, ``keyring``, ``rotation`` and ``publication``.
        clock: seconds since the epoch.
        hasher: makes the password hasher, for tests that cannot wait for the real cost.
    """
    app = web.Application()
    issuer_path = urlsplit(settings.issuer).path.rstrip("/")
    app.add_routes(_routes(issuer_path, max_age=settings.jwks_max_age_seconds))
    token_paths = {TOKEN_PATH, issuer_path + TOKEN_PATH}

    def error_form(
        request: web.Request, status: int, code: str, detail: str | None, headers: Mapping[str, str]
    ) -> web.Response | None:
        return oauth_token.error_form(status, code, detail, headers) if request.path in token_paths else None

    requests.install(app, metrics=metrics, error_form=error_form)
    counted = AuthMetrics.registered(metrics)

    async def rooms(app: web.Application) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            pool = await postgres.create_pool(
                settings.database_url,
                name=SERVICE,
                max_size=settings.database_connections,
                wait_seconds=settings.database_wait_seconds,
            )
            stack.push_async_callback(pool.close)
            await _check_schema(pool, migrate=settings.migrate_on_start)
            refresher, signer = await stack.enter_async_context(
                signing(settings, keks, pool, clock=clock, metrics=counted)
            )
            passwords = stack.enter_context(hasher())
            throttle = Throttle(pool)
            app[_REFRESHER] = refresher
            app[SERVICES] = Services(
                accounts=Accounts(pool, passwords, throttle),
                grants=Grants(pool),
                issuer=TokenIssuer(
                    signer,
                    refresher.active_key,
                    issuer=settings.issuer,
                    lifetime=settings.access_token_seconds,
                    longest=settings.max_token_seconds,
                ),
                clock=clock,
                trusted_proxies=settings.trusted_proxies,
                outcomes=counted.token_requests,
            )
            readiness.add("database", lambda: postgres.check(pool))
            readiness.add("keyring", refresher.check_keyring)
            # What these two find is shared by all replicas, and no request needs it at once.
            readiness.add("rotation", refresher.check_rotation, required=False)
            readiness.add("publication", refresher.check_publication, required=False)
            for name, work, seconds in (
                ("refresh", refresher.refresh, settings.refresh_seconds),
                ("sweep", lambda: throttle.sweep(now=clock()), SWEEP_SECONDS),
            ):
                await stack.enter_async_context(repeating(name, work, every_seconds=seconds))
            yield

    app.cleanup_ctx.append(rooms)
    return app


def run_server(environ: Mapping[str, str]) -> int:
    """Serve until told to stop.

    Returns:
        0 after a graceful end, 1 when it could not start or broke, 2 when a setting, the KEK file or a port must be
        changed first; the reason is on standard error.
    """
    try:
        settings = AuthServerSettings.from_environ(environ)
        settings.configure_logging(SERVICE)
        keks = open_keks((settings.kek_file, *settings.old_kek_files))
    except (SettingsError, KekError) as error:
        sys.stderr.write(f"{SERVICE}: {error}\n")
        return run.EXIT_MISCONFIGURED
    metrics, readiness = ServiceMetrics(SERVICE), Readiness()
    app = create_app(settings, keks, metrics=metrics, readiness=readiness)
    return settings.run(app, readiness=readiness, metrics=metrics)


def open_keks(paths: Iterable[Path]) -> Keks:
    """The KEKs in files, with a warning in the log when others can read one.

    Raises:
        KekError: a file cannot be used.
    """
    keks: list[Kek] = []
    for path in paths:
        keks.append(read_kek(path))
        if warning := exposure(path):
            log.warning("kek file exposed", detail=warning)
    return tuple(keks)


def _routes(issuer_path: str, *, max_age: int) -> list[web.RouteDef]:
    """Every public route; below the issuer's path as well, whether or not a proxy in front removes that.

    For an issuer with a path, metadata is at the well-known path *before* it too (RFC 8414 section 3.1).
    """
    openapi = (files("auth_server") / "openapi.yaml").read_bytes()
    description = Served(Document("openapi.yaml", "application/yaml", openapi), modified=0)
    found: list[web.RouteDef] = []
    for base in dict.fromkeys(("", issuer_path)):
        found += [
            web.post(base + api_tokens.PATH, api_tokens.post_api_tokens),
            web.post(base + TOKEN_PATH, oauth_token.post_oauth_token),
            *well_known.routes(base + JWKS_PATH, _jwks, max_age=max_age),
            *well_known.routes(base + ISSUER_METADATA_PATH, _metadata, max_age=max_age),
            *well_known.routes(base + OPENAPI_PATH, lambda _request: description, max_age=max_age),
        ]
    if issuer_path:
        found += well_known.routes(ISSUER_METADATA_PATH + issuer_path, _metadata, max_age=max_age)
    return found


def _jwks(request: web.Request) -> Served:
    return request.app[_REFRESHER].published.jwks


def _metadata(request: web.Request) -> Served:
    return request.app[_REFRESHER].published.metadata


async def _check_schema(pool: Pool, *, migrate: bool) -> None:
    """Migrate, or refuse a database that another version left behind or that is empty."""
    with postgres.database_errors():
        async with pool.acquire() as conn:
            if migrate:
                await migrator().apply(conn)
            pending = await migrator().plan(conn)
    if pending:
        names = ", ".join(migration.name for migration in pending)
        raise SchemaError(
            f"the database lacks {names}: run `farseal-auth migrate`, or set AUTH_SERVER_MIGRATE_ON_START=true"
        )
