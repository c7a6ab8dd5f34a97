"""The whole demo, as a visitor starts it: real services, real tour."""

import json
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from demo.ports import is_busy
from demo.postgres import EmbeddedPostgres
from demo.processes import bare_environment
from demo.services import Addresses
from tests.support.readme import differences, moved, programs, steps

CHECKOUT = Path(__file__).resolve().parents[2]
ACTS = {
    "1": "One token",
    "2": "No call back",
    "3": "Unplugged",
    "4": "Rotation under load",
    "4b": "The naive way",
    "5": "Logout everywhere",
    "6": "Stolen refresh token",
    "7": "Attacks",
    "8": "Speed",
}
SECRET = re.compile(r"fsr_[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{20,}\.|wonderland-9|postgresql://[^:/]+:[^@]+@")


@pytest.fixture
def settings(reachable_directory: Path, free_base_port: int) -> dict[str, str]:
    """A demo of its own: other ports, other state."""
    return bare_environment() | {"DEMO_PORT": str(free_base_port), "DEMO_STATE_DIR": str(reachable_directory)}


def start(settings: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=CHECKOUT,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_visit(settings: dict[str, str], reachable_directory: Path, free_base_port: int, tmp_path: Path) -> None:
    """Claims hold, printed lines and the README's answer as shown, no secret is logged, Ctrl-C leaves nothing."""
    state = reachable_directory / str(free_base_port)
    with start(settings) as demo:
        try:
            lines = read_until(demo, "Ctrl-C stops everything")
            pasted = subprocess.run(
                ["sh", "-c", "\n".join(line for line in lines if line.startswith("  "))],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            page = (CHECKOUT / "README.md").read_text(encoding="utf-8")
            readme = steps(page)
            for name, program in programs(page).items():
                (tmp_path / name).write_text(moved(program, free_base_port, state))
            wrong = differences(readme, free_base_port, state=state, directory=tmp_path)
            demo.send_signal(signal.SIGINT)
            rest, _ = demo.communicate(timeout=30)
        finally:
            demo.kill()
    assert demo.returncode == 0, rest
    assert len(readme) >= 8
    assert wrong == [], "\n\n".join(wrong)
    for number, title in ACTS.items():
        assert any(re.match(rf"held +{number}\. {title}: ", line) for line in lines), "".join(lines)

    created, listed, mine, org, refused, logout, *ended = map(json.loads, pasted.stdout.splitlines())
    assert created["title"] == "Hello"
    assert [note["title"] for note in listed["notes"]] == ["Hello"]
    assert mine["notes"]["count"] == 1
    assert mine["subject"] == created["owner"]
    assert org["org_id"] == "acme"
    assert refused["status"] == 403
    assert logout == 204
    assert [answer["code"] for answer in ended] == ["token_revoked"] * 2

    shown = "".join(line for line in lines if not line.startswith(("  ", "People:")))
    assert not SECRET.search(shown)
    for log in (state / "logs").iterdir():
        assert not SECRET.search(log.read_text(errors="replace")), log
    for file in (state / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(is_busy(port) for port in Addresses(free_base_port).ports)


def test_a_visitors_server(settings: dict[str, str], reachable_directory: Path, free_base_port: int) -> None:
    """DEMO_DATABASE_URL: two databases and two roles there, told by name, and all services work on them."""
    with (
        EmbeddedPostgres(reachable_directory / "the visitor's", durable=False) as server,
        start(settings | {"DEMO_DATABASE_URL": server.dsn()}) as demo,
    ):
        try:
            lines = read_until(demo, "held   1. One token")
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=30)
        finally:
            demo.kill()
    assert demo.returncode == 128 + signal.SIGINT
    assert any(f"database farseal_auth_{free_base_port}, " in line for line in lines)
    assert not (reachable_directory / str(free_base_port) / "postgres").exists()


def read_until(process: "subprocess.Popen[str]", text: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    return lines
