"""The auth server as it runs, in a thread of the test's process: real HTTP, real PostgreSQL, real keys."""

import asyncio
import base64
import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import asyncpg
import structlog

from auth_server.accounts import client_secrets
from auth_server.accounts.passwords import PasswordHasher
from auth_server.app import create_app
from auth_server.keys.sealing import read_kek
from auth_server.settings import AuthServerSettings
from auth_server.storage import clients, permissions, resources, users
from auth_server.storage.migrate import migrator
from farseal.clock import Clock, at, now
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.service.run import Listen, Listening, Stop, serve

NOTES = "http://127.0.0.1:9001"
REPORTS = "http://127.0.0.1:9002"
PASSWORD = "correct horse"
SECRET = "fsc_" + "s" * 43

READ, WRITE, REPORT = "notes:read", "notes:write", "reports:read"


def weak_hasher() -> PasswordHasher:
    """Argon2id at no cost, for tests of something else."""
    return PasswordHasher(memory_kib=8, time_cost=1)


async def migrate(dsn: str) -> None:
    """Give an empty database the schema."""
    conn = await asyncpg.connect(dsn)
    try:
        await migrator().apply(conn)
    finally:
        await conn.close()


async def seed(dsn: str) -> dict[str, UUID]:
    """Two resources, three people and two clients; gives the ids of the people.

    alice may do everything, bob may read notes, carol is disabled. ``batch`` may read both, ``nobody`` nothing.
    """
    moment, ids = at(now()), {}
    with weak_hasher() as hasher:
        hashed = await hasher.hash(PASSWORD)
    conn = await asyncpg.connect(dsn)
    try:
        for audience, name, scopes in ((NOTES, "Notes", [READ, WRITE]), (REPORTS, "Reports", [REPORT])):
            await resources.create(conn, audience, name, now=moment)
            await resources.set_scopes(conn, audience, scopes)
            await resources.map_claim(conn, audience, "org_id", "org_id")
        for name in ("alice", "bob", "carol", "zoë"):
            ids[name] = uuid4()
            await users.create(conn, ids[name], name, password_hash=hashed, attributes={"org_id": "acme"}, now=moment)
            await permissions.permit_user(conn, ids[name], NOTES, [READ])
        await permissions.permit_user(conn, ids["alice"], NOTES, [WRITE])
        await permissions.permit_user(conn, ids["alice"], REPORTS, [REPORT])
        await users.add_role(conn, ids["alice"], "analyst")
        await users.set_disabled(conn, ids["carol"], moment, now=moment)
        for client in ("batch", "nobody"):
            await clients.create(
                conn,
                client,
                client.title(),
                secret_hash=client_secrets.hash_secret(SECRET),
                grant_types=["client_credentials"],
                access_token_seconds=60 if client == "batch" else None,
                now=moment,
            )
        await permissions.permit_client(conn, "batch", NOTES, [READ])
        await permissions.permit_client(conn, "batch", REPORTS, [REPORT])
    finally:
        await conn.close()
    return ids


def kek_file(directory: Path) -> Path:
    """A KEK of its own for each test database."""
    path = directory / "kek"
    if not path.exists():
        path.write_bytes(os.urandom(32).hex().encode())
        path.chmod(0o600)
    return path


def environment(dsn: str, directory: Path, **changes: str) -> dict[str, str]:
    """The least that the server needs, on ports that the system chooses."""
    return {
        "AUTH_SERVER_ISSUER": "http://127.0.0.1:9000",
        "AUTH_SERVER_DATABASE_URL": dsn,
        "AUTH_SERVER_KEK_FILE": str(kek_file(directory)),
        "AUTH_SERVER_PUBLISH_DIRECTORY": str(directory / "published"),
        "AUTH_SERVER_PORT": "0",
        "AUTH_SERVER_OPS_PORT": "0",
        "AUTH_SERVER_RSA_BITS": "2048",
        "AUTH_SERVER_REFRESH_SECONDS": "0.1",
        "AUTH_SERVER_DRAIN_SECONDS": "0",
        "AUTH_SERVER_GRACE_SECONDS": "2",
    } | {f"AUTH_SERVER_{name}": value for name, value in changes.items()}


@dataclass(frozen=True, slots=True)
class Running:
    """Where it answers."""

    url: str
    ops_url: str


class AuthServer:
    """Runs the server on a loop of its own while the block lasts. An error of its start comes out of the block."""

    def __init__(
        self, environ: Mapping[str, str], *, hasher: Callable[[], PasswordHasher] = weak_hasher, clock: Clock = now
    ) -> None:
        self._settings = AuthServerSettings.from_environ(environ)
        self._hasher = hasher
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name="auth server")
        self._started = threading.Event()
        self._running: Running | None = None
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Stop | None = None

    def __enter__(self) -> Running:
        self._thread.start()
        self._started.wait()
        if self._running is None:
            self._thread.join()
            raise self._error or RuntimeError("the server ended before it started")
        return self._running

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.ask)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), Stop()
        metrics, readiness = ServiceMetrics("auth_server"), Readiness()
        await serve(
            create_app(
                self._settings,
                (read_kek(self._settings.kek_file),),
                metrics=metrics,
                readiness=readiness,
                hasher=self._hasher,
                clock=self._clock,
            ),
            listen=Listen("127.0.0.1", 0),
            ops=Listen("127.0.0.1", 0),
            readiness=readiness,
            metrics=metrics,
            drain_seconds=self._settings.drain_seconds,
            grace_seconds=self._settings.grace_seconds,
            on_ready=self._ready,
            stop=self._stop,
        )

    def _ready(self, listening: Listening) -> None:
        assert listening.ops_url is not None
        self._running = Running(listening.url, listening.ops_url)
        self._started.set()


class Wire:
    """A TCP way to a database that can be cut and mended. Existing connections die when it is cut."""

    def __init__(self, dsn: str) -> None:
        self._target = dsn
        self._writers: set[asyncio.StreamWriter] = set()
        self._up = True
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> str:
        """Give the connection string that leads through here."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        parts = urlsplit(self._target)
        login = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{login}@127.0.0.1:{port}", query="").geturl()

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        assert self._server is not None
        self._server.close()

    def cut(self) -> None:
        """Break every connection, and every new one at once."""
        self._up = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self._up = True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up:
            writer.transport.abort()
            return
        parts = urlsplit(self._target)
        directory = parse_qs(parts.query).get("host", [None])[0]
        if directory is None:
            there = await asyncio.open_connection(parts.hostname, parts.port or 5432)
        else:
            there = await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.{parts.port or 5432}")
        self._writers |= {writer, there[1]}
        await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.transport.abort()


@contextlib.contextmanager
def own_logging() -> Iterator[None]:
    """Put the logging of this process back after a program has configured it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in ("asyncio", "aiohttp", "asyncpg", "watchfiles")}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, before in quiet.items():
            logging.getLogger(name).setLevel(before)
        logging.captureWarnings(False)
        structlog.reset_defaults()


def basic(name: str, secret: str) -> dict[str, str]:
    """An Authorization header."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a token, unverified."""
    body = token.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return said
