"""A short soak from end to end. It takes longer than the rest of this folder, so it runs only when asked for:

TESTS_SOAK=1 .venv/bin/python -m pytest tests/soak/test_smoke.py
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.inspection import descendants
from demo.ports import is_busy
from demo.processes import bare_environment, wait_until_gone
from demo.services import Addresses
from demo.state import State
from soak.fleet import Fleet
from tests.support.ports import free_base

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif("TESTS_SOAK" not in os.environ, reason="takes a minute; set TESTS_SOAK=1")


def ports(base: int) -> tuple[int, ...]:
    return Fleet(Addresses(base), State(Path("/nowhere")), lock=-1, replicas=2, rotation_seconds=6).ports


@pytest.fixture
def base_port() -> int:
    """The first of the soak's free ports."""
    return free_base(ports)


def start(directory: Path, port: int, **settings: str) -> "subprocess.Popen[str]":
    told = {"SOAK_PORT": str(port), "SOAK_STATE_DIR": str(directory), "SOAK_REPLICAS": "2", "SOAK_KILL_SECONDS": "3"}
    return subprocess.Popen(
        [sys.executable, "-m", "soak"],
        cwd=CHECKOUT,
        env=bare_environment() | told | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_rotations_and_kills_fail_nobody_and_the_control_does(reachable_directory: Path, base_port: int) -> None:
    """Exit 0, figures kept, every process gone."""
    with start(reachable_directory, base_port, SOAK_SECONDS="15") as soak:
        try:
            out, err = soak.communicate(timeout=180)
        finally:
            soak.kill()
    assert soak.returncode == 0, out + err
    figures = json.loads((reachable_directory / f"soak-{base_port}" / "figures.json").read_text())
    assert figures["holds"] is True
    assert figures["main"]["failed"] == 0
    assert figures["rotations"] >= 1
    assert figures["kills"] >= 1
    assert figures["control"]["failed"] > 0
    assert figures["sessions"]["counts"]["logout"] >= 1
    assert figures["sessions"]["late"] == figures["sessions"]["never"] == {}
    assert not any(is_busy(port) for port in ports(base_port))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_nothing_stays(reachable_directory: Path, base_port: int, signum: signal.Signals) -> None:
    """Ctrl-C in the middle, or the worst."""
    with start(reachable_directory, base_port, SOAK_SECONDS="600") as soak:
        try:
            assert soak.stderr is not None
            while "soaking" not in (line := soak.stderr.readline()):
                assert line
            time.sleep(4)
            below = descendants(soak.pid)
            assert len(below) >= 12
            soak.send_signal(signum)
            soak.wait(60)
        finally:
            soak.kill()
    assert soak.returncode == (128 + signal.SIGINT if signum == signal.SIGINT else -signal.SIGKILL)
    assert all(wait_until_gone(pid, 20) for pid in below)
    assert not any(is_busy(port) for port in ports(base_port))
