"""PostgreSQL that may go away: a bounded pool, one error for every way of being unreachable, and no restart needed.

The pool keeps nothing between two borrowers but prepared statements, and proves it cheaply: an open transaction is
rolled back when a connection comes back, and nothing else is asked of the server. asyncpg would spend a round trip on
every release to undo ``SET``, ``LISTEN`` and session advisory locks; code on this pool uses none of them (``SET LOCAL``
and transaction-level locks end by themselves).
"""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import asyncpg
import msgspec
import structlog

from farseal.environment import Secret
from farseal.errors import FarsealError
from farseal.problems import ProblemError

RETRY_AFTER_SECONDS: Final = 5
"""A restarted PostgreSQL takes connections again within seconds."""

TELL_SECONDS: Final = 5.0
"""How often the wait at start is logged."""

_UNREACHABLE: Final = (
    OSError,  # TimeoutError is one: no connection to spare, or no answer in time
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby after a failover
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was stopped in the middle of a transaction
)
_REFUSING: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

if TYPE_CHECKING:
    from asyncpg.pool import PoolAcquireContext

    _Pool = asyncpg.Pool[asyncpg.Record]
else:
    _Pool = asyncpg.Pool  # generic in its stubs alone

log = structlog.get_logger("farseal.service.postgres")


class DatabaseUnavailable(ProblemError):  # noqa: N818 - a state of the world, as ServiceUnavailable is
    """The database cannot answer right now: 503 with Retry-After. The message has no address and no credential."""

    def __init__(self, detail: str = "the database cannot be reached") -> None:
        super().__init__(503, "database_unavailable", detail, {"Retry-After": str(RETRY_AFTER_SECONDS)})


class DatabaseRefusedError(FarsealError):
    """The database answered no: the password, the role or the database's name is wrong. Waiting does not help."""


class Pool(_Pool):
    """asyncpg's pool, where nobody waits for a connection for ever."""

    def __init__(self, dsn: Secret, *, max_size: int, acquire_seconds: float, **connect: Any) -> None:
        super().__init__(
            dsn.reveal(),
            # No floor: asyncpg restores one in the background with a traceback at each try while a server is away.
            min_size=0,
            max_size=max_size,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            setup=None,
            init=_use_msgspec_for_json,
            reset=_nothing_more,
            loop=None,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
            **connect,
        )
        self._acquire_seconds = acquire_seconds

    def acquire(self, *, timeout: float | None = None) -> "PoolAcquireContext[asyncpg.Record]":
        """A connection, within ``acquire_seconds`` unless told."""
        return super().acquire(timeout=self._acquire_seconds if timeout is None else timeout)


async def create_pool(
    dsn: Secret,
    *,
    name: str = "farseal",
    max_size: int = 10,
    command_seconds: float = 10.0,
    acquire_seconds: float = 5.0,
    connect_seconds: float = 5.0,
    wait_seconds: float = 30.0,
) -> Pool:
    """A pool on a database that has answered once.

    Args:
        dsn: PostgreSQL connection string.
        name: ``application_name``, as operators see it in pg_stat_activity.
        max_size: most connections at once; none is held while nobody asks.
        command_seconds: bound of one statement, its wait for locks included.
        acquire_seconds: bound of the wait for a connection to spare.
        connect_seconds: bound of one attempt to connect.
        wait_seconds: how long to wait for a database that is not there yet; the wait is logged.

    Raises:
        DatabaseUnavailable: nobody answered within ``wait_seconds``.
        DatabaseRefusedError: wrong credentials, no such database, or a malformed DSN.
    """
    where = address(dsn)
    pool = Pool(
        dsn,
        max_size=max_size,
        acquire_seconds=acquire_seconds,
        timeout=connect_seconds,
        command_timeout=command_seconds,
        server_settings={"application_name": name, "timezone": "UTC"},
    )
    await pool
    try:
        await _wait_until_answered(pool, where, wait_seconds)
    except BaseException:
        pool.terminate()
        raise
    return pool


async def check(pool: "asyncpg.Pool[Any]") -> str | None:
    """For `farseal.service.ops.Readiness`: None, or why the database cannot be used."""
    try:
        with database_errors():
            await pool.fetchval("SELECT 1", timeout=1.5)
    except DatabaseUnavailable as error:
        return error.detail
    return None


class database_errors:  # noqa: N801 - used as a statement: `with database_errors():`
    """Turns every way in which a database can be out of reach into `DatabaseUnavailable`; ``with`` or ``async with``.

    Put it around the acquisition too: ``async with database_errors(), pool.acquire() as conn``. Errors of a statement
    itself, such as a violated constraint, pass through.
    """

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, DatabaseUnavailable) and _unreachable(error):
            raise DatabaseUnavailable from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def address(dsn: Secret) -> str:
    """Where a DSN leads to, for logs: host, port and database, never the user or the password."""
    try:
        parts = urlsplit(dsn.reveal())
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the database"
    if not parts.scheme.startswith("postgres"):
        return "the database"
    return f"{parts.hostname or 'local socket'}{port}{parts.path}"


def _unreachable(error: BaseException) -> bool:
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg has one class for misuse and for use after the connection broke.
        return "is clos" in str(error) or "released back to the pool" in str(error)
    if isinstance(error, asyncpg.InternalClientError):
        # What asyncpg says to whoever asks in the very moment in which the server's goodbye is being read.
        return "cannot switch to state" in str(error)
    return isinstance(error, (*_UNREACHABLE, *_REFUSING))


async def _wait_until_answered(pool: Pool, where: str, wait_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end, tell, pause = loop.time() + wait_seconds, loop.time(), 0.05
    while True:
        try:
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT 1")
        except _REFUSING as error:
            # PostgreSQL's own sentence: it names the role or the database, never the password.
            raise DatabaseRefusedError(f"the database at {where} refused: {error}") from None
        except (asyncpg.ClientConfigurationError, ValueError):
            raise DatabaseRefusedError("the connection string of the database is malformed") from None
        except _UNREACHABLE as error:
            now = loop.time()
            if now >= end:
                raise DatabaseUnavailable(f"no database answered at {where} within {wait_seconds:g} s") from error
            if now >= tell:
                tell = now + TELL_SECONDS
                log.info("waiting for the database", database=where, seconds_left=round(end - now))
            await asyncio.sleep(min(pause, max(0.0, end - now)))
            pause = min(pause * 2, 1.0)
        else:
            return


async def _use_msgspec_for_json(connection: "asyncpg.Connection[Any]") -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", format="binary", encoder=_jsonb, decoder=_from_jsonb)
    await connection.set_type_codec(
        "json", schema="pg_catalog", format="binary", encoder=msgspec.json.encode, decoder=msgspec.json.decode
    )


def _jsonb(value: Any) -> bytes:
    return b"\x01" + msgspec.json.encode(value)


def _from_jsonb(data: bytes) -> Any:
    return msgspec.json.decode(memoryview(data)[1:])


async def _nothing_more(_connection: "asyncpg.Connection[Any]") -> None:
    """In place of asyncpg's reset query; asyncpg itself has already rolled back what was open."""
