"""A real PostgreSQL for tests: one server for the whole run, a new database for whoever asks.

The server starts when the first test asks for it, in whichever process that is. It belongs to the run: the run's first
process (the only one, or the controller of pytest-xdist) holds a named pipe open, and the server stops when that pipe
has no writer left. So it ends with the run, even when the run is killed, and never with one of the workers.

`TESTS_DATABASE_URL` names another server: the connection string of a role that may create databases.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest

from demo.places import temporary_directory, write_secret
from demo.postgres import EmbeddedPostgres
from demo.processes import wait_until_gone

ELSEWHERE = "TESTS_DATABASE_URL"
RUN_DIRECTORY = "TESTS_RUN_DIRECTORY"
"""Tells the workers of one run where they meet."""
LIFELINE = "lifeline"
"""Name of the pipe."""
NOTE = "server.json"
"""Name of the file that says how to connect; it holds a password."""
MAX_CONNECTIONS = 200

NewDatabase = Callable[[], Awaitable[str]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TestServer:
    """A running server and who may create databases on it."""

    __test__ = False
    dsn: str

    def database_dsn(self, name: str) -> str:
        """Give the connection string of a database of this server, same role."""
        return urlsplit(self.dsn)._replace(path=f"/{name}").geturl()

    async def create_database(self) -> str:
        """Create an empty database; give its connection string."""
        name = f"test_{secrets.token_hex(8)}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return self.database_dsn(name)

    async def drop_database(self, dsn: str) -> None:
        """Drop a database made here, and whoever is still connected to it with it."""
        await self._execute(f"DROP DATABASE IF EXISTS {urlsplit(dsn).path[1:]} WITH (FORCE)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class Run:
    """The meeting place of one test run's processes.

    Args:
        directory: given to a worker by its controller; None in the run's first process, which makes it.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._writer: int | None = None
        self._server: EmbeddedPostgres | None = None

    @property
    def directory(self) -> Path:
        """Where they meet; made when first asked for."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="farseal-test-", dir=temporary_directory()))
            self._directory.chmod(0o711)  # the server's own user passes through
            os.mkfifo(self._directory / LIFELINE, 0o600)
            # Reading and writing, because opening for writing alone waits for a reader.
            self._writer = os.open(self._directory / LIFELINE, os.O_RDWR)
        return self._directory

    def server(self) -> TestServer:
        """Start the server, or find the one another process has started."""
        elsewhere = os.environ.get(ELSEWHERE)
        if elsewhere:
            return TestServer(elsewhere)
        note = self.directory / NOTE
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not note.exists():
                write_secret(note, json.dumps(self._start()))
        return TestServer(json.loads(note.read_text())["dsn"])

    def end(self) -> None:
        """Stop the server, wait until it is gone, leave nothing."""
        if self._writer is None:  # not the first, or nobody asked
            return
        guard: int | None = None  # read before the end: the folder goes with the server
        with contextlib.suppress(OSError):
            guard = json.loads((self.directory / NOTE).read_text())["guard"]
        os.close(self._writer)
        self._writer = None
        if self._server is not None:
            self._server.stop()
        elif guard is not None:
            wait_until_gone(guard, 15.0)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self) -> dict[str, object]:
        # With O_RDONLY this process is no writer: it may end without the server, and cannot keep it alive.
        lifeline = os.open(self.directory / LIFELINE, os.O_RDONLY)
        try:
            self._server = EmbeddedPostgres(
                self.directory,
                durable=False,
                max_connections=MAX_CONNECTIONS,
                lifeline=lifeline,
                temporary=True,
            )
            self._server.start()
        finally:
            os.close(lifeline)
        return {"dsn": self._server.dsn(), "guard": self._server.guard_pid}


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, whatever loop this thread has."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> TestServer:
    """The run's one server."""
    return pytestconfig.stash[RUN].server()


@pytest.fixture(scope="module")
def database_url(postgres_server: TestServer) -> Iterator[str]:
    """The connection string of a database that the tests of one module share."""
    dsn = run_apart(postgres_server.create_database())
    yield dsn
    run_apart(postgres_server.drop_database(dsn))


@pytest.fixture
async def new_database(postgres_server: TestServer) -> AsyncIterator[NewDatabase]:
    """Make empty databases; they are dropped when the test ends."""
    made: list[str] = []

    async def make() -> str:
        made.append(await postgres_server.create_database())
        return made[-1]

    yield make
    for dsn in made:
        await postgres_server.drop_database(dsn)


@pytest.fixture
def reachable_directory() -> Iterator[Path]:
    """A folder that any user of the machine can pass, unlike pytest's own: root's PostgreSQL is another user."""
    with tempfile.TemporaryDirectory(
        prefix="farseal-test-", dir=temporary_directory(), ignore_cleanup_errors=True
    ) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


RUN = pytest.StashKey[Run]()


def configure(config: pytest.Config) -> None:
    """Meet the other processes of this run (the hook ``pytest_configure``)."""
    given = os.environ.get(RUN_DIRECTORY) if hasattr(config, "workerinput") else None
    run = Run(None if given is None else Path(given))
    if given is None and config.getoption("numprocesses", None):
        os.environ[RUN_DIRECTORY] = str(run.directory)  # workers inherit it
    config.stash[RUN] = run


def unconfigure(config: pytest.Config) -> None:
    """End the run (the hook ``pytest_unconfigure``)."""
    if RUN in config.stash:
        config.stash[RUN].end()
