"""The whole demo, as a visitor starts it: real services, real tour."""

import re
import stat
import subprocess
import sys
from pathlib import Path

from demo.processes import bare_environment
from demo.services import Addresses
from demo.stack import is_busy

CHECKOUT = Path(__file__).resolve().parents[2]
ACTS = ("One token", "No call back", "Unplugged", "Attacks", "Speed")
SECRET = re.compile(r"eyJ[A-Za-z0-9_-]{20,}\.|wonderland-9|postgresql://[^:/]+:[^@]+@")


def test_once(reachable_directory: Path, free_base_port: int) -> None:
    """ONCE=1: every claim holds, exit 0, nothing stays but the state; no secret in what it printed or logged."""
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=CHECKOUT,
        env=bare_environment()
        | {"ONCE": "1", "DEMO_PORT": str(free_base_port), "DEMO_STATE_DIR": str(reachable_directory)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    for title in ACTS:
        assert re.search(rf"held +\d\. {title}: ", done.stdout), shown
    state = reachable_directory / str(free_base_port)
    logs = [file.read_text(errors="replace") for file in (state / "logs").iterdir()]
    assert not SECRET.search(shown)
    assert not any(SECRET.search(log) for log in logs)
    for file in (state / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(is_busy(port) for port in Addresses(free_base_port).ports)
