"""Whatever ends the demo, nothing of it stays: no process, no lock, no port."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.ports import is_busy
from demo.processes import bare_environment, wait_until_gone
from demo.services import Addresses

CHECKOUT = Path(__file__).resolve().parents[2]
LINUX = sys.platform == "linux"


class Running:
    """A demo of stand-ins, and the ids of its processes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self.guards: dict[str, int] = {}
        self.children: dict[str, int] = {}

    def read_pids(self) -> None:
        """Read what it prints until all three are told."""
        assert self.process.stdout is not None
        while len(self.guards) < 3:
            line = self.process.stdout.readline()
            assert line, "".join(self.lines)
            self.lines.append(line)
            if line.startswith("pid "):
                _, name, guard, child = line.split()
                self.guards[name], self.children[name] = int(guard), int(child)

    def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        while not any(text in line for line in self.lines):
            line = self.process.stdout.readline()
            assert line, "".join(self.lines)
            self.lines.append(line)

    def nothing_is_left(self, port: int) -> None:
        """Every process is gone, every port free."""
        for pid in (*self.guards.values(), *self.children.values()):
            assert wait_until_gone(pid, 15)
        assert not any(is_busy(one) for one in Addresses(port).ports)


@contextmanager
def standin(state: Path, port: int, *, tour: str, once: bool = False) -> Iterator[Running]:
    settings = {"DEMO_PORT": str(port), "DEMO_STATE_DIR": str(state), "STANDIN_TOUR": tour, "ONCE": "1" if once else ""}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.demo.standin"],
        cwd=CHECKOUT,
        env=bare_environment() | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@pytest.mark.parametrize(("tour", "status"), [("true", 0), ("false", 1)])
def test_once_ends_with_the_tours_verdict(tmp_path: Path, free_base_port: int, tour: str, status: int) -> None:
    """ONCE=1: exit 0 when every claim held, 1 when one did not; and all is stopped."""
    with standin(tmp_path, free_base_port, tour=tour, once=True) as demo:
        demo.read_pids()
        rest, _ = demo.process.communicate(timeout=30)
        assert demo.process.returncode == status, "".join(demo.lines) + rest
        demo.nothing_is_left(free_base_port)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_stay(tmp_path: Path, free_base_port: int, signum: signal.Signals) -> None:
    """Ctrl-C is the ordinary end of a stay, and no failure."""
    with standin(tmp_path, free_base_port, tour="true") as demo:
        demo.read_pids()
        demo.read_until("Ctrl-C stops everything")
        demo.process.send_signal(signum)
        demo.process.communicate(timeout=30)
        assert demo.process.returncode == 0
        demo.nothing_is_left(free_base_port)


def test_a_signal_during_the_tour_is_told_by_the_status(tmp_path: Path, free_base_port: int) -> None:
    """Nothing was proved: 128 + the signal."""
    with standin(tmp_path, free_base_port, tour="slow") as demo:
        demo.read_pids()
        demo.process.send_signal(signal.SIGINT)
        demo.process.communicate(timeout=30)
        assert demo.process.returncode == 128 + signal.SIGINT
        demo.nothing_is_left(free_base_port)


@pytest.mark.parametrize("part", ["child", "guard"])
@pytest.mark.parametrize("tour", ["slow", "true"], ids=["during-the-tour", "during-the-stay"])
def test_a_service_that_dies_ends_the_demo(tmp_path: Path, free_base_port: int, tour: str, part: str) -> None:
    """Exit 1: which one it was, the end of its log, and the others stopped."""
    with standin(tmp_path, free_base_port, tour=tour) as demo:
        demo.read_pids()
        if tour == "true":
            demo.read_until("Ctrl-C stops everything")
        os.kill((demo.children if part == "child" else demo.guards)["resource_a"], signal.SIGKILL)
        rest, _ = demo.process.communicate(timeout=30)
        assert demo.process.returncode == 1
        assert "resource_a ended by itself with status 137" in rest
        assert "the stand-in listens" in rest
        demo.nothing_is_left(free_base_port)


def test_a_kill_of_the_demo_leaves_nothing_and_the_next_start_works(tmp_path: Path, free_base_port: int) -> None:
    """kill -9, then at once another one: it waits for the leftovers and takes their ports."""
    with standin(tmp_path, free_base_port, tour="slow") as first:
        first.read_pids()
        os.kill(first.process.pid, signal.SIGKILL)
        with standin(tmp_path, free_base_port, tour="true", once=True) as second:
            second.read_pids()
            second.process.communicate(timeout=60)
            assert second.process.returncode == 0
            first.nothing_is_left(free_base_port)


@pytest.mark.skipif(not LINUX, reason="a guard and its starter killed at one moment: only Linux covers that")
def test_a_kill_of_the_demo_and_every_guard_leaves_nothing(tmp_path: Path, free_base_port: int) -> None:
    """Somebody killed all they could find, but not the services."""
    with standin(tmp_path, free_base_port, tour="slow") as demo:
        demo.read_pids()
        for pid in (demo.process.pid, *demo.guards.values()):
            os.kill(pid, signal.SIGKILL)
        demo.nothing_is_left(free_base_port)


def test_lines_are_plain_when_nobody_watches(tmp_path: Path, free_base_port: int) -> None:
    """No colour, no cursor movement, in a log or a pipe."""
    with standin(tmp_path, free_base_port, tour="true", once=True) as demo:
        output, _ = demo.process.communicate(timeout=30)
    assert "\x1b" not in output
    assert "\r" not in output
    assert "ok " in output
