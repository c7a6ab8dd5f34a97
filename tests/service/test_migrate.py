"""Migrations: each file once, in order, whoever runs them, and nothing half done."""

import asyncio
import os
import signal
import sys
import textwrap
from pathlib import Path

import asyncpg
import pytest

from farseal.environment import Secret
from farseal.service.migrate import MigrationError, Migrator
from farseal.service.postgres import create_pool

LOCK = 4711


@pytest.fixture
async def dsn(new_database):
    """One new database."""
    return await new_database()


@pytest.fixture
async def connect(dsn):
    """Opens connections to it, closed at the end."""
    opened: list[asyncpg.Connection] = []

    async def open_one() -> asyncpg.Connection:
        opened.append(await asyncpg.connect(dsn))
        return opened[-1]

    yield open_one
    for connection in opened:
        await connection.close()


def write(directory: Path, files: dict[str, str]) -> Migrator:
    """A migrator over these files."""
    directory.mkdir(exist_ok=True)
    for name, sql in files.items():
        (directory / name).write_text(sql)
    return Migrator(directory, lock_id=LOCK)


async def tables(connection) -> set[str]:
    """The tables there are, without the migrator's own."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return {row["relname"] for row in rows} - {"schema_migration"}


FIRST = {"0001_first.sql": "CREATE TABLE a (id int); CREATE TABLE b (id int);"}
SECOND = {"0002_second.sql": "CREATE TABLE c (id int)"}


async def test_files_are_applied_once_and_in_order(tmp_path, connect) -> None:
    """A second run has nothing to do; a new file is applied alone; a plan changes nothing."""
    connection = await connect()
    migrator = write(tmp_path, FIRST)
    assert [m.name for m in await migrator.plan(connection)] == ["0001_first.sql"]
    assert await tables(connection) == set()
    assert [m.number for m in await migrator.apply(connection)] == [1]
    assert await migrator.apply(connection) == ()
    later = write(tmp_path, SECOND)
    assert [m.name for m in await later.apply(connection)] == ["0002_second.sql"]
    assert await tables(connection) == {"a", "b", "c"}
    assert await later.plan(connection) == ()


async def test_ten_runs_at_once_apply_each_file_once(tmp_path, connect) -> None:
    """Ten replicas that start together on an empty database take turns; nobody fails."""
    migrator = write(tmp_path, {f"{n:04}_t.sql": f"CREATE TABLE t{n} (id int)" for n in range(1, 6)})
    connections = [await connect() for _ in range(10)]
    applied = await asyncio.gather(*(migrator.apply(connection) for connection in connections))
    assert sorted(m.number for run in applied for m in run) == [1, 2, 3, 4, 5]
    assert await tables(connections[0]) == {f"t{n}" for n in range(1, 6)}


async def test_two_sets_of_migrations_share_a_database(tmp_path, connect) -> None:
    """Another table and another lock: two services may live in one database."""
    connection = await connect()
    await write(tmp_path, FIRST).apply(connection)
    await connection.execute("CREATE SCHEMA other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0001_x.sql").write_text("CREATE TABLE other.x (id int)")
    other = Migrator(tmp_path / "other", lock_id=LOCK + 1, table="other.schema_migration")
    assert len(await other.apply(connection)) == 1
    assert await other.plan(connection) == ()


async def test_a_changed_file_is_refused_by_name(tmp_path, connect) -> None:
    """An applied file that differs by one byte stops everything, and is named."""
    connection = await connect()
    await write(tmp_path, FIRST).apply(connection)
    changed = write(tmp_path, {"0001_first.sql": FIRST["0001_first.sql"] + " "} | SECOND)
    with pytest.raises(MigrationError, match=r"0001_first\.sql has changed"):
        await changed.plan(connection)
    with pytest.raises(MigrationError, match=r"0001_first\.sql has changed"):
        await changed.apply(connection)
    assert await tables(connection) == {"a", "b"}


async def test_a_database_ahead_of_the_files_is_refused(tmp_path, connect) -> None:
    """An old version must not run on the schema of a newer one."""
    connection = await connect()
    await write(tmp_path, FIRST | SECOND).apply(connection)
    (tmp_path / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match=r"0002_second\.sql applied, which this version does not know"):
        await write(tmp_path, {}).apply(connection)


async def test_a_gap_in_what_is_applied_is_refused(tmp_path, connect) -> None:
    """A row deleted by hand does not make a file run twice."""
    connection = await connect()
    migrator = write(tmp_path, FIRST | SECOND)
    await migrator.apply(connection)
    await connection.execute("DELETE FROM schema_migration WHERE number = 1")
    with pytest.raises(MigrationError, match="gap"):
        await migrator.apply(connection)


async def test_a_failing_file_leaves_nothing_of_itself(tmp_path, connect) -> None:
    """What came before stays, the failing file is named with its line, the connection is usable, a mended file runs."""
    connection = await connect()
    broken = write(tmp_path, FIRST | {"0002_broken.sql": "CREATE TABLE half (id int);\n\nSELECT nothing_here;"})
    with pytest.raises(MigrationError, match=r'0002_broken\.sql line 3: column "nothing_here"'):
        await broken.apply(connection)
    assert await tables(connection) == {"a", "b"}
    mended = write(tmp_path, {"0002_broken.sql": "CREATE TABLE whole (id int)"})
    assert len(await mended.apply(connection)) == 1


async def test_a_run_killed_half_way_leaves_nothing_and_no_lock(tmp_path, connect, dsn) -> None:
    """A process killed inside a migration does not stand in the way of the next one."""
    write(tmp_path / "sql", FIRST | {"0002_slow.sql": "CREATE TABLE half (id int); SELECT pg_sleep(60);"})
    program = textwrap.dedent(
        f"""
        import asyncio, asyncpg, os, pathlib
        from farseal.service.migrate import Migrator
        async def main():
            connection = await asyncpg.connect(os.environ["DSN"])
            await Migrator(pathlib.Path({str(tmp_path / "sql")!r}), lock_id={LOCK}).apply(connection)
        asyncio.run(main())
        """
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env={"DSN": dsn, "PATH": os.environ["PATH"]}
    )
    connection = await connect()
    sleeping = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
    )
    while not (backend := await connection.fetchval(sleeping)):
        assert process.returncode is None
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    # PostgreSQL notices a dead client when it next writes to it; an operator would end the backend, so do we.
    await connection.execute("SELECT pg_terminate_backend($1)", backend)
    mended = write(tmp_path / "sql", {"0002_slow.sql": "CREATE TABLE whole (id int)"})
    assert [m.name for m in await mended.apply(connection)] == ["0002_slow.sql"]
    assert await tables(connection) == {"a", "b", "whole"}


async def test_a_pool_of_ours_can_migrate(tmp_path, dsn) -> None:
    """A migration may take longer than the pool allows a statement."""
    pool = await create_pool(Secret(dsn), command_seconds=0.2)
    async with pool.acquire() as connection:
        applied = await write(tmp_path, {"0001_slow.sql": "SELECT pg_sleep(0.4)"}).apply(connection)
    await pool.close()
    assert len(applied) == 1


async def test_a_file_that_ends_its_transaction_from_within_is_told(tmp_path, connect) -> None:
    """What the check of the text cannot see is seen afterwards."""
    connection = await connect()
    sneaky = write(tmp_path, {"0001_sneaky.sql": "CREATE TABLE a (id int); /* */ COMMIT"})
    with pytest.raises(MigrationError, match=r"0001_sneaky\.sql: it ended the transaction"):
        await sneaky.apply(connection)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({"0002_b.sql": ""}, r"0002_b\.sql: 0001 is missing before it", id="does-not-begin-at-1"),
        pytest.param({"0001_a.sql": "", "0003_c.sql": ""}, r"0003_c\.sql: 0002 is missing", id="gap"),
        pytest.param({"0001_a.sql": "", "0001_b.sql": ""}, r"0001_b\.sql: the number 0001 is taken", id="repeated"),
        pytest.param({"1_a.sql": ""}, r"1_a\.sql: a migration is named", id="short-number"),
        pytest.param({"0001-a.sql": ""}, r"0001-a\.sql: a migration is named", id="misnamed"),
        pytest.param({"0001_a.sql": "SELECT 1;\ncommit;"}, "must not begin or end", id="commit"),
        pytest.param({"0001_a.sql": "BEGIN;\nSELECT 1"}, "must not begin or end", id="begin"),
        pytest.param({"0001_a.sql": "start transaction;"}, "must not begin or end", id="start-transaction"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(tmp_path, files, message) -> None:
    """A directory with a fault is refused before any database is asked."""
    with pytest.raises(MigrationError, match=message):
        write(tmp_path, files)


def test_other_files_are_left_alone(tmp_path) -> None:
    """Only names that end in .sql are migrations; a function's BEGIN and END are no transaction."""
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n RETURN 1;\nEND;\n$$"
    migrator = write(tmp_path, {"__init__.py": "", "README.md": "", "0001_f.sql": body})
    assert [m.name for m in migrator.migrations] == ["0001_f.sql"]


def test_a_file_that_is_not_text_is_refused(tmp_path) -> None:
    """PostgreSQL would be given other bytes than the editor showed."""
    (tmp_path / "0001_a.sql").write_bytes(b"SELECT '\xff'")
    with pytest.raises(MigrationError, match=r"0001_a\.sql: not UTF-8"):
        Migrator(tmp_path, lock_id=LOCK)


def test_a_table_name_is_a_name() -> None:
    """It is put into statements, so it is nothing but a name."""
    with pytest.raises(ValueError, match="not a table name"):
        Migrator(Path(), lock_id=LOCK, table="x; DROP TABLE y")
