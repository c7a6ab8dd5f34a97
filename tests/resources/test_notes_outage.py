"""The notes service while its database is away, slow, full or not what it should be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import pytest

from farseal.environment import Secret
from farseal.service.migrate import MigrationError
from farseal.service.postgres import DatabaseRefusedError, DatabaseUnavailable
from farseal_testing.issuer import Issuer
from resource_a.app import migrate_database
from resource_a.settings import Settings
from resource_a.storage.database import NotMigratedError
from tests.resources.people import NOTES, person
from tests.resources.relay import Relay
from tests.resources.stack import Service, notes_service
from tests.support.postgres import NewDatabase, run_apart


@dataclass(frozen=True, slots=True)
class Behind:
    """The notes service with a relay between it and its database."""

    notes: Service
    relay: Relay


def relay_to(dsn: str) -> tuple[Relay, str]:
    """A relay in front of the server of a DSN (on a unix socket or not), and the part of a DSN before its port."""
    parts = urlsplit(dsn)
    socket = parse_qs(parts.query).get("host", [unquote(parts.hostname or "")])[0]

    async def target() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if socket.startswith("/"):
            return await asyncio.open_unix_connection(f"{socket}/.s.PGSQL.{parts.port or 5432}")
        return await asyncio.open_connection(socket, parts.port or 5432)

    credentials = parts.netloc.rpartition("@")[0]
    return Relay(target), f"postgresql://{credentials}@127.0.0.1"


@pytest.fixture
async def behind(database_url: str, issuer: Issuer) -> AsyncIterator[Behind]:
    """A service whose database can be taken away. Statements may take half a second."""
    async with through_a_relay(database_url, issuer) as found:
        yield found


@asynccontextmanager
async def through_a_relay(dsn: str, issuer: Issuer) -> AsyncIterator[Behind]:
    relay, server = relay_to(dsn)
    async with relay:
        relayed = f"{server}:{relay.port}{urlsplit(dsn).path}"
        async with notes_service(
            relayed, issuer.trust(NOTES), pool_size=2, command_seconds=0.5, start_seconds=10.0
        ) as notes:
            try:
                yield Behind(notes, relay)
            finally:
                await relay.mend()


async def assert_every_method_says_503(notes: Service, token: str, path: str) -> None:
    """503 with Retry-After, as a problem that names no address."""
    change = {"If-Match": "*"}
    for method, where, extra in (
        ("POST", "/notes", {"json": {"title": "t"}}),
        ("GET", "/notes", {}),
        ("GET", path, {}),
        ("PUT", path, {"headers": change, "json": {"title": "t", "body": ""}}),
        ("DELETE", path, {}),
    ):
        answer = await notes.ask(method, where, token, **extra)  # type: ignore[arg-type] # mixed values
        assert (answer.status, answer.code) == (503, "database_unavailable"), method
        assert int(answer.headers["Retry-After"]) > 0
        assert b"127.0.0.1" not in answer.body


async def test_an_outage_and_its_end(behind: Behind, issuer: Issuer) -> None:
    """Cut: 503, not ready, alive. Mended: everything as before, without a restart, and nothing lost."""
    notes, token = behind.notes, person(issuer).token()
    created = await notes.ask("POST", "/notes", token, json={"title": "t"})
    path = created.headers["Location"]
    await behind.relay.cut()
    await assert_every_method_says_503(notes, token, path)
    assert (await notes.ask("GET", "/readyz", ops=True)).status == 503
    assert (await notes.ask("GET", "/livez", ops=True)).status == 200
    assert (await notes.ask("GET", "/openapi.yaml")).status == 200
    assert (await notes.ask("GET", "/notes")).status == 401
    await behind.relay.mend()
    assert (await notes.ask("GET", path, token)).json == created.json
    assert (await notes.ask("GET", "/readyz", ops=True)).status == 200


async def test_a_database_that_says_nothing(behind: Behind, issuer: Issuer) -> None:
    """Connections stay open and no answer comes: 503 within the time of a statement, and recovery."""
    notes, token = behind.notes, person(issuer).token()
    assert (await notes.ask("GET", "/notes", token)).status == 200
    behind.relay.freeze()
    answer = await asyncio.wait_for(notes.ask("GET", "/notes", token), 3)
    assert (answer.status, answer.code) == (503, "database_unavailable")
    await behind.relay.cut()
    await behind.relay.mend()
    assert (await notes.ask("GET", "/notes", token)).status == 200


async def test_away_in_the_middle_of_a_change(behind: Behind, database_url: str, issuer: Issuer) -> None:
    """A change that waits on a lock when the database goes: 503, and the note is whole, old or new."""
    notes, token = behind.notes, person(issuer).token()
    created = await notes.ask("POST", "/notes", token, json={"title": "old"})
    path = created.headers["Location"]
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute("SELECT 1 FROM notes WHERE id = $1 FOR UPDATE", created.json["id"])
            change = asyncio.create_task(
                notes.ask("PUT", path, token, headers={"If-Match": '"1"'}, json={"title": "new", "body": ""})
            )
            await asyncio.sleep(0.2)
            await behind.relay.cut()
            answer = await change
            assert (answer.status, answer.code) == (503, "database_unavailable")
    finally:
        await other.close()
    await behind.relay.mend()
    read = (await notes.ask("GET", path, token)).json
    assert (read["title"], read["version"]) in {("old", 1), ("new", 2)}


async def test_all_connections_taken(behind: Behind, database_url: str, issuer: Issuer) -> None:
    """More requests than connections, all held up: every one is answered, in bounded time, with 503."""
    notes, token = behind.notes, person(issuer).token()
    created = await notes.ask("POST", "/notes", token, json={"title": "t"})
    path = created.headers["Location"]
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.wait_for(asyncio.gather(*(notes.ask("GET", path, token) for _ in range(8))), 5)
    finally:
        await other.close()
    assert {answer.code for answer in answers} == {"database_unavailable"}
    assert (await notes.ask("GET", path, token)).status == 200


async def test_a_database_without_tables_is_refused(new_database: NewDatabase, issuer: Issuer) -> None:
    """Told which file is missing and what to do; with the setting it is migrated; a second start finds it so."""
    dsn = await new_database()
    with pytest.raises(NotMigratedError, match=r"0001_notes\.sql.*python -m resource_a migrate"):
        async with notes_service(dsn, issuer.trust(NOTES), migrate_on_start=False):
            raise AssertionError("served without tables")
    for migrate_on_start in (True, False):
        async with notes_service(dsn, issuer.trust(NOTES), migrate_on_start=migrate_on_start) as notes:
            assert (await notes.ask("GET", "/readyz", ops=True)).status == 200


async def test_a_database_of_a_later_version_is_refused(new_database: NewDatabase, issuer: Issuer) -> None:
    """An old release does not write to tables it does not know."""
    dsn = await new_database()
    async with notes_service(dsn, issuer.trust(NOTES)):
        pass
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO schema_migration (number, name, checksum) VALUES (2, '0002_later.sql', 'x')")
    await connection.close()
    with pytest.raises(MigrationError, match="0002_later"):
        async with notes_service(dsn, issuer.trust(NOTES), migrate_on_start=False):
            raise AssertionError("served a database of a later version")


async def test_ten_replicas_migrate_at_once(new_database: NewDatabase) -> None:
    """The tables are made once."""
    dsn = await new_database()
    settings = Settings(database_url=Secret(dsn), pool_size=1)
    applied = await asyncio.gather(*(asyncio.to_thread(migrate_database, settings) for _ in range(10)))
    assert sorted(len(one) for one in applied) == [0] * 9 + [1]


def test_a_database_that_is_not_utf8_is_refused(postgres_server: object, database_url: str) -> None:
    """The limits count characters, which only one encoding gives."""

    async def make_and_migrate() -> None:
        server = await asyncpg.connect(database_url)
        try:
            await server.execute(
                "CREATE DATABASE notes_in_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
            )
            dsn = urlsplit(database_url)._replace(path="/notes_in_latin1").geturl()
            try:
                with pytest.raises(MigrationError, match="UTF8"):
                    await asyncio.to_thread(migrate_database, Settings(database_url=Secret(dsn)))
            finally:
                await server.execute("DROP DATABASE notes_in_latin1 WITH (FORCE)")
        finally:
            await server.close()

    run_apart(make_and_migrate())


async def test_a_database_that_is_not_there(issuer: Issuer) -> None:
    """Waited for as long as the setting says, then told without address or password."""
    with pytest.raises(DatabaseUnavailable) as caught:
        async with notes_service("postgresql://notes:s3cret@127.0.0.1:1/notes", issuer.trust(NOTES), start_seconds=0.2):
            raise AssertionError("served without a database")
    assert "s3cret" not in str(caught.value)


async def test_wrong_credentials_are_not_waited_for(database_url: str, issuer: Issuer) -> None:
    """No password becomes right by waiting."""
    parts = urlsplit(database_url)
    user = parts.netloc.partition(":")[0]
    wrong = parts._replace(netloc=f"{user}:wr0ng@{parts.netloc.rpartition('@')[2]}").geturl()
    with pytest.raises(DatabaseRefusedError) as caught:
        async with notes_service(wrong, issuer.trust(NOTES)):
            raise AssertionError("served with a wrong password")
    assert "wr0ng" not in str(caught.value)
