"""A guarded process outlives nobody, whoever is killed and however."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.inspection import descendants
from demo.processes import Guarded, bare_environment, process_exists, wait_until_gone

CHECKOUT = Path(__file__).resolve().parents[2]
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]
HOLDER = """
import sys, time
from pathlib import Path
from demo.processes import Guarded, bare_environment
guarded = Guarded({command!r}, environment=bare_environment(), log=Path({log!r}), directory=Path("/"))
print(guarded.pid, flush=True)
time.sleep(600)
"""


def child_of(guard: int, log: Path) -> int:
    """The one process below a guard, once it is up."""
    deadline = time.monotonic() + 20
    while not (log.exists() and b"up" in log.read_bytes()):
        assert time.monotonic() < deadline, "the child does not start"
        time.sleep(0.02)
    (child,) = descendants(guard)
    return child


def guard_one(command: list[str], log: Path, *, grace: str = "5") -> Guarded:
    return Guarded(command, environment=bare_environment(), log=log, directory=Path("/"), options=("--grace", grace))


def test_a_stop_is_polite(tmp_path: Path) -> None:
    """The command gets SIGTERM, and its fate is told as a shell tells it."""
    guarded = guard_one(SLEEPER, tmp_path / "log")
    child = child_of(guarded.pid, tmp_path / "log")
    assert guarded.poll() is None
    assert guarded.stop() == 128 + signal.SIGTERM
    assert not process_exists(child)


def test_a_stop_is_certain(tmp_path: Path) -> None:
    """A command that ignores SIGTERM is killed when its grace is over."""
    guarded = guard_one(STUBBORN, tmp_path / "log", grace="0.3")
    child = child_of(guarded.pid, tmp_path / "log")
    assert guarded.stop() == 128 + signal.SIGKILL
    assert not process_exists(child)


@pytest.mark.parametrize(("code", "status"), [(0, 0), (3, 3)])
def test_the_exit_status_is_the_commands(tmp_path: Path, code: int, status: int) -> None:
    """A guard says what the command said."""
    guarded = guard_one([sys.executable, "-c", f"raise SystemExit({code})"], tmp_path / "log")
    assert guarded.wait(20) == status


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """127 as a shell says, and a line in the log."""
    guarded = guard_one(["/nowhere/program"], tmp_path / "log")
    assert guarded.wait(20) == 127
    assert "/nowhere/program" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("victim", ["holder", "guard", "child"])
def test_a_kill_leaves_no_orphan(tmp_path: Path, victim: str) -> None:
    """kill -9 of the starter, of the guard or of the command: in each case all three end that must."""
    if victim == "guard" and sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(command=SLEEPER, log=str(log))],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout is not None
            guard = int(holder.stdout.readline())
            child = child_of(guard, log)
            os.kill({"holder": holder.pid, "guard": guard, "child": child}[victim], signal.SIGKILL)
            assert wait_until_gone(child, 10)
            if victim == "holder":
                assert wait_until_gone(guard, 10)
        finally:
            holder.kill()


def test_a_guard_that_was_killed_is_told(tmp_path: Path) -> None:
    """The starter sees 128 + 9, and clears up what the guard held on systems that do not."""
    guarded = guard_one(SLEEPER, tmp_path / "log")
    child = child_of(guarded.pid, tmp_path / "log")
    os.kill(guarded.pid, signal.SIGKILL)
    assert guarded.wait(10) == -signal.SIGKILL
    assert guarded.poll() == 128 + signal.SIGKILL
    assert wait_until_gone(child, 10)


def test_folders_are_removed_after_the_end(tmp_path: Path) -> None:
    """What a process needed only while it ran goes with it."""
    (tmp_path / "used" / "deep").mkdir(parents=True)
    options = ("--remove", str(tmp_path / "used"))
    guarded = Guarded(
        ["true"], environment=bare_environment(), log=tmp_path / "log", directory=Path("/"), options=options
    )
    assert guarded.wait(20) == 0
    assert not (tmp_path / "used").exists()


def test_the_environment_is_built_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of the starter's environment does not reach the command."""
    monkeypatch.setenv("AUTH_SERVER_DATABASE_URL", "postgresql://secret")
    guarded = guard_one([sys.executable, "-c", "import os; print(sorted(os.environ))"], tmp_path / "log")
    assert guarded.wait(20) == 0
    assert "AUTH_SERVER" not in (tmp_path / "log").read_text()
