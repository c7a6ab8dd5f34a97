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
from auth_server.grants.introspection import Introspection
from auth_server.grants.refresh_rules import SessionDefaults
from auth_server.grants.sessions import Sessions
from auth_server.http import (
    api_logout,
    api_sessions,
    api_tokens,
    oauth_introspect,
    oauth_request,
    oauth_revoke,
    oauth_token,
    well_known,
)
from auth_server.http.services import SERVICES, Services
from auth_server.keys.opening import Keks
from auth_server.keys.sealing import Kek, KekError, exposure, pepper_of, read_kek
from auth_server.metrics import AuthMetrics
from auth_server.publication.documents import INTROSPECTION_PATH, REVOCATION_PATH, TOKEN_PATH, Document
from auth_server.publication.refresher import Refresher, Served
from auth_server.revoking import revoking
from auth_server.settings import AuthServerSettings
from auth_server.signing import signing
from auth_server.status.entry import LIST_ID_PATTERN, Entries
from auth_server.status.publication import StatusLists
from auth_server.storage.connection import Pool
from auth_server.storage.migrate import migrator
from auth_server.tokens.issuer import TokenIssuer
from auth_server.tokens.own import OwnTokens
from farseal import clock as process_clock
from farseal.clock import Clock
from farseal.environment import SettingsError
from farseal.errors import FarsealError
from farseal.problems import ProblemError
from farseal.service import postgres, requests, run
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.vocabulary import ISSUER_METADATA_PATH, JWKS_PATH, STATUS_INDEX_PATH, STATUS_LISTS_PATH, STATUS_SUFFIX

log = structlog.get_logger(__name__)

SERVICE: Final = "auth_server"
OPENAPI_PATH: Final = "/openapi.yaml"

OAUTH_PATHS: Final = (TOKEN_PATH, REVOCATION_PATH, INTROSPECTION_PATH)
"""Errors of these have the form of RFC 6749 section 5.2; those of all others are problem details."""

SWEEP_SECONDS: Final = 60
"""How often used-up throttle rows are deleted, and sessions ended that began while their client was being disabled."""

STATUS_MAX_AGE_SECONDS: Final = 1
"""How long caches may keep the status lists and their index: it is added to the time that a logout takes."""

_REFRESHER: Final = web.AppKey("auth_server.refresher", Refresher)
_LISTS: Final = web.AppKey("auth_server.status_lists", StatusLists)


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
        readiness: gets the checks ``database``, ``keyring``, ``rotation``, ``publication`` and ``status``.
        clock: seconds since the epoch.
        hasher: makes the password hasher, for tests that cannot wait for the real cost.
    """
    app = web.Application()
    issuer_path = urlsplit(settings.issuer).path.rstrip("/")
    app.add_routes(_routes(issuer_path, max_age=settings.jwks_max_age_seconds))
    oauth_paths = {base + path for base in ("", issuer_path) for path in OAUTH_PATHS}

    def error_form(
        request: web.Request, status: int, code: str, detail: str | None, headers: Mapping[str, str]
    ) -> web.Response | None:
        return oauth_request.error_form(status, code, detail, headers) if request.path in oauth_paths else None

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
            revoked = await stack.enter_async_context(
                revoking(settings, pool, refresher, signer, clock=clock, metrics=counted)
            )
            await refresher.go_on(first=revoked.lists.renewed)
            passwords = stack.enter_context(hasher())
            throttle = Throttle(pool)
            sessions = sessions_of(settings, keks, pool, revoked.entries)
            own_tokens = OwnTokens(lambda: refresher.public_keys, issuer=settings.issuer)
            app[_REFRESHER] = refresher
            app[_LISTS] = revoked.lists

            async def refresh() -> None:
                await refresher.refresh()
                revoked.lists.look_at_key()

            app[SERVICES] = Services(
                accounts=Accounts(pool, passwords, throttle),
                sessions=sessions,
                issuer=TokenIssuer(
                    signer,
                    refresher.active_key,
                    issuer=settings.issuer,
                    lifetime=settings.access_token_seconds,
                    longest=settings.max_token_seconds,
                ),
                own_tokens=own_tokens,
                introspection=Introspection(pool, sessions, own_tokens, issuer=settings.issuer),
                account_audience=settings.issuer,
                clock=clock,
                trusted_proxies=settings.trusted_proxies,
                outcomes=counted.token_requests,
                session_requests=counted.session_requests,
            )
            readiness.add("database", lambda: postgres.check(pool))
            readiness.add("keyring", refresher.check_keyring)
            # What these find is shared by all replicas, and no request needs it at once.
            readiness.add("rotation", refresher.check_rotation, required=False)
            readiness.add("publication", refresher.check_publication, required=False)
            readiness.add("status", revoked.lists.check, required=False)
            for name, work, seconds in (
                ("refresh", refresh, settings.refresh_seconds),
                ("sweep", lambda: throttle.sweep(now=clock()), SWEEP_SECONDS),
                ("sessions", lambda: sessions.sweep(now=clock()), SWEEP_SECONDS),
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


def sessions_of(settings: AuthServerSettings, keks: Keks, pool: Pool, entries: Entries) -> Sessions:
    """Sessions as the settings say, with a pepper for each KEK: the first one makes the new refresh tokens."""
    defaults = SessionDefaults(
        idle=settings.session_idle_seconds,
        absolute=settings.session_absolute_seconds,
        grace=settings.refresh_grace_seconds,
        history=settings.session_history_seconds,
        access_token=settings.access_token_seconds,
        max_token=settings.max_token_seconds,
    )
    peppers = [pepper_of(kek) for kek in keks]
    return Sessions(pool, entries, peppers, issuer=settings.issuer, defaults=defaults)


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
            web.post(base + api_logout.PATH, api_logout.post_api_logout),
            web.get(base + api_sessions.PATH, api_sessions.get_api_sessions),
            web.delete(base + api_sessions.ONE, api_sessions.delete_api_session),
            web.post(base + TOKEN_PATH, oauth_token.post_oauth_token),
            web.post(base + REVOCATION_PATH, oauth_revoke.post_oauth_revoke),
            web.post(base + INTROSPECTION_PATH, oauth_introspect.post_oauth_introspect),
            *well_known.routes(base + JWKS_PATH, _jwks, max_age=max_age),
            *well_known.routes(base + ISSUER_METADATA_PATH, _metadata, max_age=max_age),
            *well_known.routes(base + STATUS_INDEX_PATH, _status_index, max_age=STATUS_MAX_AGE_SECONDS),
            *well_known.routes(
                f"{base}{STATUS_LISTS_PATH}{{list_id:{LIST_ID_PATTERN}}}{STATUS_SUFFIX}",
                _status_list,
                max_age=STATUS_MAX_AGE_SECONDS,
            ),
            *well_known.routes(base + OPENAPI_PATH, lambda _request: description, max_age=max_age),
        ]
    if issuer_path:
        found += well_known.routes(ISSUER_METADATA_PATH + issuer_path, _metadata, max_age=max_age)
    return found


def _jwks(request: web.Request) -> Served:
    return request.app[_REFRESHER].published.jwks


def _metadata(request: web.Request) -> Served:
    return request.app[_REFRESHER].published.metadata


def _status_index(request: web.Request) -> Served:
    return request.app[_LISTS].index


def _status_list(request: web.Request) -> Served:
    """The list that the path names, or 404."""
    found = request.app[_LISTS].find(request.match_info["list_id"])
    if found is None:
        raise ProblemError(404, "not_found", "there is no status list of this name")
    return found


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
