"""A database that is there, slow, full, refusing or away: one error, and no restart needed."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
import structlog
from aiohttp import web

from demo.postgres import EmbeddedPostgres
from farseal.environment import Secret
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.service.postgres import (
    DatabaseRefusedError,
    DatabaseUnavailable,
    address,
    check,
    create_pool,
    database_errors,
)
from farseal.service.requests import install


@pytest.fixture
async def pool(database_url):
    """A pool of two connections on the module's database."""
    made = await create_pool(Secret(database_url), name="kit-test", max_size=2, acquire_seconds=0.2)
    yield made
    await made.close()


async def test_an_open_transaction_does_not_reach_the_next_borrower(pool) -> None:
    """The reset round trip is saved, yet what one borrower left open is rolled back."""
    problems: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    async with pool.acquire() as connection:
        await connection.execute("CREATE TABLE left_open (id int)")
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO left_open VALUES (1)")
        backend = connection.get_server_pid()
    async with pool.acquire() as connection:
        assert connection.get_server_pid() == backend
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT count(*) FROM left_open") == 0
    assert len(problems) == 1, "asyncpg reports the careless borrower"


async def test_a_release_asks_nothing_of_the_server(pool) -> None:
    """`create_pool` of asyncpg resets a connection at each release: one more round trip. Ours does not."""
    queries: list[str] = []
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT 1")
        connection.add_query_logger(lambda record: queries.append(record.query))
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT 2")
    assert queries == ["SELECT 2"]


async def test_json_columns_are_values(pool) -> None:
    """jsonb and json go in and come out as Python values."""
    value = {"a": [1, "ü", None], "b": {"c": True}}
    row = await pool.fetchrow("SELECT $1::jsonb AS b, $2::json AS j, $1::jsonb->>'b' AS text", value, value)
    assert (row["b"], row["j"]) == (value, value)
    assert row["text"] == '{"c": true}'


async def test_nobody_waits_for_ever_for_a_connection(pool) -> None:
    """When every connection is borrowed the wait ends after `acquire_seconds`, as an unavailable database."""
    async with pool.acquire(), pool.acquire():
        with pytest.raises(DatabaseUnavailable) as caught:
            async with database_errors(), pool.acquire():
                raise AssertionError
    assert caught.value.status == 503
    assert int(caught.value.headers["Retry-After"]) > 0


async def test_a_statement_that_hangs_is_unavailability(pool) -> None:
    """A statement beyond its bound is answered with 503, and its connection is good again."""
    with pytest.raises(DatabaseUnavailable):
        async with database_errors(), pool.acquire() as connection:
            await connection.execute("SELECT pg_sleep(5)", timeout=0.05)
    assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(asyncpg.UniqueViolationError("twice"), id="constraint"),
        pytest.param(asyncpg.PostgresSyntaxError("no"), id="syntax"),
        pytest.param(asyncpg.InterfaceError("another operation is in progress"), id="misuse"),
        pytest.param(ValueError("ours"), id="ours"),
        pytest.param(DatabaseUnavailable("already"), id="already-mapped"),
    ],
)
async def test_errors_of_a_statement_pass_through(error) -> None:
    """Only unavailability is mapped: a bug or a violated constraint stays what it is."""
    with pytest.raises(type(error)) as caught, database_errors():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ConnectionRefusedError(), id="refused"),
        pytest.param(FileNotFoundError(), id="no-socket"),
        pytest.param(TimeoutError(), id="timeout"),
        pytest.param(asyncpg.AdminShutdownError("x"), id="shutdown"),
        pytest.param(asyncpg.CannotConnectNowError("x"), id="starting"),
        pytest.param(asyncpg.ConnectionDoesNotExistError("x"), id="broken"),
        pytest.param(asyncpg.TooManyConnectionsError("x"), id="full"),
        pytest.param(asyncpg.InvalidPasswordError("x"), id="password-changed"),
        pytest.param(asyncpg.InterfaceError("cannot perform operation: connection is closed"), id="closed"),
        pytest.param(asyncpg.InterfaceError("pool is closing"), id="closing"),
    ],
)
async def test_every_way_of_being_away_is_one_error(error) -> None:
    """Whatever asyncpg calls it, the caller sees `DatabaseUnavailable`, with ``with`` and with ``async with``."""
    with pytest.raises(DatabaseUnavailable), database_errors():
        raise error
    with pytest.raises(DatabaseUnavailable):
        async with database_errors():
            raise error


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        pytest.param("postgresql://u:pw@db.example:5433/notes", "db.example:5433/notes", id="tcp"),
        pytest.param("postgresql://u:pw@/notes?host=/run/pg", "local socket/notes", id="socket"),
        pytest.param("host=db password=pw", "the database", id="keywords"),
        pytest.param("postgresql://u:pw@db:port/x", "the database", id="malformed"),
    ],
)
def test_an_address_shows_no_credential(dsn, shown) -> None:
    """Logs say where the database is, never who we are there."""
    assert address(Secret(dsn)) == shown


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda dsn: dsn.replace("/test_", "/absent_"), id="no-such-database"),
        pytest.param(lambda dsn: dsn.replace("postgresql://postgres:", "postgresql://postgres:not"), id="password"),
        pytest.param(lambda _dsn: "mysql://u:pw-hunter2@h/d", id="scheme"),
        pytest.param(lambda _dsn: "postgresql://u:pw-hunter2@h:port/d", id="port"),
    ],
)
async def test_a_refusal_does_not_wait(database_url, change) -> None:
    """A wrong password, database or DSN is told at once, without the DSN: waiting would not help."""
    changed = change(database_url)
    if changed == database_url:
        pytest.skip("the server given by the environment has another form of DSN")
    with pytest.raises(DatabaseRefusedError) as caught:
        await create_pool(Secret(changed), wait_seconds=60)
    assert "hunter2" not in str(caught.value)


async def test_the_wait_for_a_database_is_bounded_and_told(tmp_path) -> None:
    """A database that is not there is waited for, with a log line, until `wait_seconds` are over."""
    dsn = Secret(f"postgresql://u:hunter2@/d?host={tmp_path}")
    with structlog.testing.capture_logs() as lines, pytest.raises(DatabaseUnavailable, match=r"within 0\.3 s"):
        await create_pool(dsn, wait_seconds=0.3)
    assert [line["event"] for line in lines] == ["waiting for the database"]
    assert "hunter2" not in str(lines)


async def test_a_database_that_restarts_is_503_and_recovers_by_itself(
    reachable_directory: Path, aiohttp_client
) -> None:
    """Away mid-request: 503 with Retry-After and an unready probe; back: 200, by the same process and pool."""
    server = EmbeddedPostgres(reachable_directory / "pg", durable=False)
    await asyncio.to_thread(server.start)
    try:
        pool = await create_pool(Secret(server.dsn()), max_size=3, acquire_seconds=1.0)
        readiness = Readiness()
        readiness.add("database", lambda: check(pool))
        started = asyncio.Event()

        async def sleep(request: web.Request) -> web.Response:
            async with database_errors(), pool.acquire() as connection, connection.transaction():
                started.set()
                await connection.execute("SELECT pg_sleep($1)", float(request.query["for"]))
            return web.json_response({"ok": True})

        app = web.Application()
        install(app, metrics=ServiceMetrics("test"))
        app.router.add_get("/sleep", sleep)
        client = await aiohttp_client(app)
        assert (await client.get("/sleep?for=0")).status == 200
        assert await readiness.reasons() == {}

        started.clear()
        inflight = asyncio.ensure_future(client.get("/sleep?for=30"))
        await started.wait()
        await asyncio.to_thread(server.stop)
        response = await inflight
        assert response.status == 503
        assert (await response.json())["code"] == "database_unavailable"
        assert response.headers["Retry-After"] == "5"
        assert (await client.get("/sleep?for=0")).status == 503
        assert "database" in await readiness.reasons()

        await asyncio.to_thread(server.start)
        assert (await client.get("/sleep?for=0")).status == 200
        assert await readiness.reasons() == {}
        pool.terminate()
    finally:
        await asyncio.to_thread(server.stop)
