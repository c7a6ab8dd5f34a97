"""Stands in for systemctl on the host of a runbook: starts and stops the one program of a unit, and nothing else.

    unit.py start|stop|restart|is-active NAME

A unit is a file ``NAME.json`` in the directory ``UNITS``: command, environment, address of its readiness. ``start``
returns when the service is ready, or has ended, or has been waited for long enough.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

UNITS = Path(os.environ["UNITS"])
START_SECONDS = 20.0
STOP_SECONDS = 15.0


def main(verb: str, name: str) -> int:
    """Do what systemctl would; 0, or 3 where ``is-active`` finds nothing."""
    name = name.removesuffix(".service")
    match verb:
        case "start":
            return start(name)
        case "stop":
            return stop(name)
        case "restart":
            stop(name)
            return start(name)
        case "is-active":
            return 0 if alive(name) else 3
    return 2


def start(name: str) -> int:
    """Start the program with the environment file as it is now."""
    if alive(name):
        return 0
    unit = json.loads((UNITS / f"{name}.json").read_text())
    lines = Path(unit["environment"]).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    with (UNITS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            unit["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=kept | settings, cwd="/",
            start_new_session=True,
        )  # fmt: skip
    (UNITS / f"{name}.pid").write_text(str(process.pid))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return 1
        try:
            if requests.get(unit["ready"], timeout=1).status_code == 200:
                return 0
        except requests.RequestException:
            pass
        time.sleep(0.05)
    return 0


def stop(name: str) -> int:
    """End the program, politely first."""
    pid = pid_of(name)
    if pid is None:
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while alive(name):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    (UNITS / f"{name}.pid").unlink()
    return 0


def alive(name: str) -> bool:
    """Whether the unit's program runs."""
    pid = pid_of(name)
    if pid is None:
        return False
    try:
        # Field 3 of stat, after the name in parentheses: Z has ended and waits to be reaped.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_of(name: str) -> int | None:
    """The process of a unit that was started."""
    try:
        return int((UNITS / f"{name}.pid").read_text())
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
