"""The embedded PostgreSQL: starts whatever was left behind, and leaves nothing behind."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
import pytest

from demo import places, postgres
from demo.databases import Database, DatabaseError, ensure_databases, role_dsn
from demo.inspection import descendants
from demo.postgres import EmbeddedPostgres, EmbeddedPostgresError
from demo.processes import process_exists, wait_until_gone
from tests.support.postgres import TestServer, run_apart

CHECKOUT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from demo.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.postmaster_pid, server.guard_pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(reachable_directory: Path) -> Path:
    """Where a server is to live; with a blank, as a checkout may have."""
    return reachable_directory / "a home"


async def answer(server: EmbeddedPostgres) -> object:
    connection = await asyncpg.connect(server.dsn())
    try:
        return await connection.fetchval("SELECT 1")
    finally:
        await connection.close()


async def test_a_cluster_is_used_again(home: Path) -> None:
    """The second start finds what the first one wrote, and the first one's end leaves no process and no socket."""
    with EmbeddedPostgres(home) as server:
        connection = await asyncpg.connect(server.dsn())
        await connection.execute("CREATE TABLE kept (value integer)")
        await connection.close()
        postmaster, sockets = server.postmaster_pid, server.socket_directory
    assert postmaster is not None
    assert not process_exists(postmaster)
    assert not sockets.exists()
    with EmbeddedPostgres(home) as server:
        connection = await asyncpg.connect(server.dsn())
        assert await connection.fetchval("SELECT count(*) FROM kept") == 0
        await connection.close()


async def test_nobody_enters_without_a_password(home: Path) -> None:
    """Not even the superuser, although the socket is a file of the same machine."""
    with EmbeddedPostgres(home, durable=False) as server:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn(password="guessed"))
        assert stat.S_IMODE((server.home / "superuser-password").stat().st_mode) == 0o600
        assert stat.S_IMODE(server.socket_directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("patient", [True, False], ids=["after-its-end", "at-once"])
def test_kill_of_the_starter_stops_the_server(home: Path, patient: bool) -> None:
    """kill -9 of the process that started it: the server ends by itself, and the next start waits for that."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        postmaster, guard = map(int, holder.stdout.readline().split())
        holder.kill()
    if patient:
        assert wait_until_gone(guard, 15)
        assert not process_exists(postmaster)
    with EmbeddedPostgres(home) as server:
        assert run_apart(answer(server)) == 1
    assert not process_exists(postmaster)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a killed guard's server is ended by its starter")
async def test_kill_of_guard_and_server_is_recovered(home: Path) -> None:
    """A crash in the middle: recovery at the next start."""
    server = EmbeddedPostgres(home)
    server.start()
    (postmaster, *_) = [pid for pid in descendants(server.guard_pid) if pid == server.postmaster_pid]
    os.kill(server.guard_pid, signal.SIGKILL)
    os.kill(postmaster, signal.SIGKILL)
    server.stop()
    with EmbeddedPostgres(home) as server:
        assert await answer(server) == 1


async def test_a_stale_lock_file_with_a_live_number_is_forgotten(home: Path) -> None:
    """After a reboot the number in the lock file belongs to somebody else, and that must not matter."""
    with EmbeddedPostgres(home) as server:
        data = server.data
    lines = [str(os.getpid()), str(data), "1700000000", "5432", "/nowhere", "", "1 2", "ready"]
    (data / "postmaster.pid").write_text("\n".join(lines) + "\n")
    with EmbeddedPostgres(home) as server:
        assert await answer(server) == 1
        assert server.postmaster_pid != os.getpid()


async def test_a_half_made_cluster_is_made_anew(home: Path) -> None:
    """A kill during initdb leaves a folder that nobody takes for a cluster."""
    (home / "data.new").mkdir(parents=True)
    (home / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home, durable=False) as server:
        assert await answer(server) == 1


async def test_a_long_path_has_its_socket_elsewhere(home: Path) -> None:
    """A socket's path holds some 100 bytes; a checkout's path may be longer, and hold blanks."""
    deep = home / ("a rather long name, with blanks and a comma " * 3)
    with EmbeddedPostgres(deep, durable=False) as server:
        assert not server.socket_directory.is_relative_to(deep)
        assert await answer(server) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_root_below_a_private_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server's user cannot reach the checkout, a copy serves, and nobody's permissions are changed."""
    home.mkdir()
    home.chmod(0o700)
    monkeypatch.setattr(
        postgres, "reachable", lambda path: not path.is_relative_to(home) and "site-packages" not in str(path)
    )
    server = EmbeddedPostgres(home / "run", durable=False, temporary=True)
    with server:
        assert not server.home.is_relative_to(home)
        assert run_apart(answer(server)) == 1
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert not server.home.exists()


def test_a_long_temporary_directory_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has long ones, and visitors have longer ones; a socket must fit."""
    monkeypatch.setattr(tempfile, "tempdir", "/" + "long/" * 30)
    assert places.temporary_directory() == Path("/tmp")
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert places.temporary_directory() == Path("/tmp")


def test_no_wheel_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without a wheel is told what to do instead."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EmbeddedPostgresError, match="set DEMO_DATABASE_URL"):
        postgres.find_installation()


async def test_roles_cannot_open_each_others_database(postgres_server: TestServer) -> None:
    """Each service's role opens its own database and no other; making them twice changes nothing."""
    wanted = [Database("farseal_test_one", "one-password"), Database("farseal_test_two", "two-password")]
    admin = await asyncpg.connect(postgres_server.dsn)
    try:
        made = await ensure_databases(postgres_server.dsn, wanted)
        assert made == [
            "role farseal_test_one",
            "database farseal_test_one",
            "role farseal_test_two",
            "database farseal_test_two",
        ]
        assert await ensure_databases(postgres_server.dsn, wanted) == []
        own = await asyncpg.connect(role_dsn(postgres_server.dsn, wanted[0]))
        await own.execute("CREATE TABLE mine (value integer)")
        await own.close()
        for thief, target in (wanted, wanted[::-1]):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(
                    role_dsn(postgres_server.dsn, Database(thief.name, thief.password)), database=target.name
                )
    finally:
        for database in wanted:
            await admin.execute(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")
            await admin.execute(f"DROP ROLE IF EXISTS {database.name}")
        await admin.close()


@pytest.mark.parametrize(
    ("rights", "works"),
    [
        pytest.param("CREATEROLE CREATEDB", True, id="enough"),
        pytest.param("CREATEDB", False, id="no-createrole"),
        pytest.param("CREATEROLE", False, id="no-createdb"),
    ],
)
async def test_a_visitors_role_needs_two_rights(postgres_server: TestServer, rights: str, works: bool) -> None:
    """No superuser is needed; too few rights are named."""
    name = "farseal_test_visitors"
    admin = await asyncpg.connect(postgres_server.dsn)
    visitor = Database("farseal_test_admin", "admin-password")
    try:
        await admin.execute(f"CREATE ROLE {visitor.name} LOGIN PASSWORD '{visitor.password}' {rights}")
        dsn = role_dsn(postgres_server.dsn, Database(visitor.name, visitor.password)).replace(
            f"/{visitor.name}?", "/postgres?"
        )
        if works:
            assert await ensure_databases(dsn, [Database(name, "x")]) == [f"role {name}", f"database {name}"]
        else:
            with pytest.raises(DatabaseError, match="CREATEROLE CREATEDB"):
                await ensure_databases(dsn, [Database(name, "x")])
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name}")
        await admin.execute(f"DROP ROLE IF EXISTS {name}")
        await admin.execute(f"DROP ROLE IF EXISTS {visitor.name}")
        await admin.close()


async def test_no_server_is_said_without_the_password() -> None:
    """A wrong DEMO_DATABASE_URL gives one clear error."""
    with pytest.raises(DatabaseError, match="cannot connect") as refused:
        await ensure_databases("postgresql://somebody:the-password@127.0.0.1:1/postgres", [])
    assert "the-password" not in str(refused.value)


@pytest.mark.parametrize(
    ("admin", "role"),
    [
        pytest.param("postgresql://a:b@host:5433/db", "postgresql://n:p%2F@host:5433/n", id="tcp"),
        pytest.param("postgresql://a:b@/db?host=%2Ftmp%2Fx", "postgresql://n:p%2F@/n?host=%2Ftmp%2Fx", id="socket"),
        pytest.param(
            "postgresql://host/db?user=a&password=b&sslmode=require",
            "postgresql://n:p%2F@host/n?sslmode=require",
            id="credentials-in-the-query",
        ),
    ],
)
def test_a_roles_dsn_keeps_the_server_alone(admin: str, role: str) -> None:
    """Nothing of the administrator's credentials stays in it."""
    assert role_dsn(admin, Database("n", "p/")) == role
