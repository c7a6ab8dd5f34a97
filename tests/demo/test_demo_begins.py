"""The demo begins only where it can: its settings, its lock, its ports, and what each process may know."""

import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from demo.commands import tail
from demo.inspection import environment, remote_ports
from demo.ports import PortBusyError, check_ports
from demo.processes import Guarded, bare_environment, process_exists
from demo.seed import manifest_text
from demo.services import Addresses, Service, services
from demo.settings import Settings
from demo.stack import Stack, StackError, database_names, environment_of
from demo.state import AlreadyRunningError, Lock, State
from farseal.environment import SettingsError
from tests.support.postgres import TestServer

CHECKOUT = Path(__file__).resolve().parents[2]
NOT_FOR_RESOURCES = re.compile(r"AUTH_SERVER|KEK|secrets/farseal_auth|farseal_auth-dsn", re.IGNORECASE)


def test_ports_move_together() -> None:
    """One variable moves all seven."""
    assert Addresses(9500).ports == (9500, 9501, 9502, 9508, 9600, 9601, 9602)
    assert Addresses(9500).reports == "http://127.0.0.1:9502"


@pytest.mark.parametrize("port", ["80", "65500", "nine", "9000.0"])
def test_a_port_out_of_range_is_refused(port: str) -> None:
    """The seven ports must all exist, and none needs root."""
    with pytest.raises(SettingsError, match="DEMO_PORT"):
        Settings.from_environ({"DEMO_PORT": port})


def test_a_misspelt_variable_is_told() -> None:
    """DEMO_PROT would otherwise start the demo on the ports that it was to avoid."""
    with pytest.raises(SettingsError, match="DEMO_PROT"):
        Settings.from_environ({"DEMO_PROT": "9500"})


def test_a_busy_port_is_named_with_the_variable(unused_tcp_port: int) -> None:
    """All busy ports at once, and what to do."""
    busy = pytest.raises(PortBusyError, match=rf"{unused_tcp_port} .*DEMO_PORT=")
    with socket.create_server(("127.0.0.1", unused_tcp_port)), busy:
        check_ports([unused_tcp_port])
    check_ports([unused_tcp_port])


def test_a_busy_port_ends_the_demo_before_it_begins(tmp_path: Path, unused_tcp_port: int) -> None:
    """Exit 2, one line, no process, no database."""
    base = unused_tcp_port
    with socket.create_server(("127.0.0.1", base)):
        done = run_demo(DEMO_PORT=str(base), DEMO_STATE_DIR=str(tmp_path))
    assert done.returncode == 2
    assert str(base) in done.stderr
    assert "DEMO_PORT" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / str(base) / "postgres").exists()


def test_a_folder_that_cannot_be_used_is_named_with_the_variable(tmp_path: Path, unused_tcp_port: int) -> None:
    """A read-only checkout, a file where the folder should be: exit 2, one line. Root may write anywhere, so a file and
    a folder stand in the way here."""
    file = tmp_path / "file"
    file.write_text("in the way")
    locked = tmp_path / str(unused_tcp_port) / "lock"
    locked.mkdir(parents=True)
    for directory in (file, tmp_path):
        done = run_demo(DEMO_PORT=str(unused_tcp_port), DEMO_STATE_DIR=str(directory))
        assert done.returncode == 2
        assert done.stderr.startswith(f"demo: cannot keep its state in {directory / str(unused_tcp_port)}: ")
        assert "DEMO_STATE_DIR" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_second_demo_is_told_of_the_first(tmp_path: Path) -> None:
    """Same state, same ports: exit 2 and the process that has them."""
    state = State(tmp_path / "9000")
    state.prepare()
    first = Lock(state)
    first.take()
    try:
        done = run_demo(DEMO_STATE_DIR=str(tmp_path))
        assert done.returncode == 2
        assert f"process {os.getpid()}" in done.stderr
    finally:
        first.release()


def run_demo(**settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=CHECKOUT,
        env=bare_environment() | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_lock_outlives_its_holder_as_long_as_a_process_of_it_lives(tmp_path: Path) -> None:
    """After a kill -9 of a demo the next one waits for the last of its processes, and then has the lock."""
    state = State(tmp_path / "9000")
    state.prepare()
    lock = Lock(state)
    lock.take()
    kept = Guarded(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        environment=bare_environment(),
        log=state.logs / "log",
        directory=Path("/"),
        keep_open=(lock.descriptor,),
    )
    lock.release()
    other = Lock(state)
    with pytest.raises(AlreadyRunningError):
        other.take()
    (tmp_path / "9000" / "lock").write_text(str(dead_process()))
    kept.ask_to_stop()
    other.take()
    assert kept.poll() is not None or not process_exists(kept.pid)
    kept.stop()
    other.release()


def dead_process() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_secrets_are_readable_by_us_alone(tmp_path: Path) -> None:
    """The key-encryption key is made once, kept, and never printed."""
    state = State(tmp_path)
    state.prepare()
    assert state.ensure_kek()
    first = state.kek.read_text()
    assert not state.ensure_kek()
    assert state.kek.read_text() == first
    state.write_secret("dsn", "postgresql://x")
    for file in state.secrets.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.secrets.stat().st_mode) == 0o700


def described(tmp_path: Path) -> dict[str, Service]:
    state = State(tmp_path)
    dsns = {name: state.secrets / f"{name}-dsn" for name in ("farseal_auth", "farseal_notes")}
    all_of_them = services(Addresses(9000), state, auth_dsn=dsns["farseal_auth"], notes_dsn=dsns["farseal_notes"])
    return {service.name: service for service in all_of_them}


@pytest.mark.parametrize("name", ["resource_a", "resource_b"])
def test_a_resource_server_is_told_nothing_of_the_auth_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No setting, key or connection string of the auth server's, and no URL of it but the name to compare iss with."""
    monkeypatch.setenv("AUTH_SERVER_KEK_FILE", "/from/the/shell")
    known = environment_of(described(tmp_path)[name])
    for variable, value in known.items():
        assert not NOT_FOR_RESOURCES.search(variable), variable
        assert not NOT_FOR_RESOURCES.search(value), variable
        # The issuer's identifier is compared, never dialled.
        assert ":9000" not in value or variable == "FARSEAL_ISSUER"
        assert ":9100" not in value
    others = {"resource_a": "RESOURCE_B_", "resource_b": "RESOURCE_A_"}
    assert not any(variable.startswith(others[name]) for variable in known)


def test_only_the_notes_service_has_a_database_of_its_own(tmp_path: Path) -> None:
    """resource_b has none at all, and nobody has another one's."""
    all_of_them = described(tmp_path)
    with_dsn = {
        name: [value for variable, value in environment_of(service).items() if "DATABASE" in variable]
        for name, service in all_of_them.items()
    }
    assert with_dsn["resource_b"] == []
    assert len(with_dsn["resource_a"]) == len(with_dsn["auth_server"]) == 1
    assert with_dsn["resource_a"] != with_dsn["auth_server"]


def test_a_child_knows_what_was_described_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the running process itself, as the system shows it."""
    monkeypatch.setenv("AUTH_SERVER_KEK_FILE", "/from/the/shell")
    known = environment_of(described(tmp_path)["resource_b"])
    with Guarded(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        environment=known,
        log=tmp_path / "log",
        directory=Path("/"),
    ) as guarded:
        deadline = time.monotonic() + 10
        while not (seen := environment(guarded.pid)):  # the system shows none between fork and exec
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert {name: value for name, value in seen.items() if name in known} == known
    assert not any(NOT_FOR_RESOURCES.search(f"{name}={value}") for name, value in seen.items())


def test_the_seed_follows_the_ports() -> None:
    """Audiences are URLs with ports; a moved demo has its own."""
    moved = manifest_text(Addresses(9500))
    assert "127.0.0.1:9501" in moved
    assert "127.0.0.1:9502" in moved
    assert "127.0.0.1:900" not in moved


@pytest.mark.parametrize(
    ("port", "embedded", "names"),
    [
        pytest.param(9000, True, ("farseal_auth", "farseal_notes"), id="own-cluster"),
        pytest.param(9500, True, ("farseal_auth", "farseal_notes"), id="own-cluster-moved"),
        pytest.param(9000, False, ("farseal_auth", "farseal_notes"), id="visitors-server"),
        pytest.param(9500, False, ("farseal_auth_9500", "farseal_notes_9500"), id="visitors-server-moved"),
    ],
)
def test_databases_of_two_demos_do_not_meet(port: int, embedded: bool, names: tuple[str, str]) -> None:
    """On a server that two demos share, each has its own."""
    assert database_names(Addresses(port), embedded=embedded) == names


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    """Enough to see why, not all of it."""
    log = tmp_path / "log"
    log.write_text("\n".join(map(str, range(100))))
    assert tail(log).endswith("  98\n  99")
    assert "  10\n" not in tail(log)
    assert "is empty" in tail(tmp_path / "none")


async def test_a_visitors_server_is_set_up_once(
    tmp_path: Path, postgres_server: TestServer, unused_tcp_port: int
) -> None:
    """What was made is told; a second start makes nothing; a lost key-encryption key is a clear error."""
    addresses = Addresses(unused_tcp_port)
    names = database_names(addresses, embedded=False)
    state = State(tmp_path / "run")
    state.prepare()
    lock = Lock(state)
    lock.take()
    stack = Stack(addresses, state, lock=lock.descriptor)
    admin = await asyncpg.connect(postgres_server.dsn)
    names_of_documents = ("jwks.json", "status/AAAAAAAAAAAAAAAA.jwt")
    old = [directory / name for directory in (state.published, state.snapshot) for name in names_of_documents]
    try:
        for file in old:
            file.parent.mkdir(exist_ok=True)
            file.write_text("of a database that is no more")
        made = await stack.open_databases(postgres_server.dsn)
        assert made == [f"{kind} {name}" for name in names for kind in ("role", "database")]
        assert not any(file.exists() for file in old), "a new issuer would have to go on from their number"
        old[0].write_text("of this database")
        assert await stack.open_databases(postgres_server.dsn) == []
        assert old[0].exists()
        kept = state.operator_settings.read_text()
        assert f"AUTH_SERVER_KEK_FILE={state.kek}\n" in kept
        assert state.password(names[0]) not in kept
        state.kek.unlink()
        with pytest.raises(StackError, match=f"DROP DATABASE {names[0]}"):
            await stack.open_databases(postgres_server.dsn)
        with pytest.raises(StackError, match=f"DROP DATABASE {names[0]}"):
            await stack.open_databases(postgres_server.dsn)
    finally:
        for name in names:
            await admin.execute(f"DROP DATABASE IF EXISTS {name}")
            await admin.execute(f"DROP ROLE IF EXISTS {name}")
        await admin.close()
        lock.release()


def test_a_socket_to_a_port_is_seen(unused_tcp_port: int) -> None:
    """The tour's look at sockets would see one: this process has one, and then none."""
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        assert unused_tcp_port not in remote_ports([os.getpid()])
        with socket.create_connection(("127.0.0.1", unused_tcp_port)):
            assert unused_tcp_port in remote_ports([os.getpid()])
