"""Child processes that end when their starter does, and never read the starter's environment."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from demo.inspection import is_zombie

GUARD = Path(__file__).with_name("guard.py")
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""All that a child receives of the environment we were started in."""


def bare_environment() -> dict[str, str]:
    """Give the environment every child starts from: where programs are, which language, nobody's settings."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": os.defpath, "PYTHONUNBUFFERED": "1", **kept}


class Guarded:
    """One command behind ``guard.py``, in a session of its own, so that a terminal's Ctrl-C reaches only us.

    Args:
        command: program and arguments; secrets have no place here, any user of the machine can read them.
        environment: everything the command may know.
        log: file that receives its output, appended.
        lifeline: descriptor whose end of file stops the command; without one, a pipe held by this object.
        keep_open: descriptors the guard, not the command, inherits; a file lock is held as long as the guard lives.
        options: further options of ``guard.py``.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        directory: Path,
        lifeline: int | None = None,
        keep_open: Sequence[int] = (),
        options: Sequence[str] = (),
    ) -> None:
        self._held: int | None = None
        stdin = lifeline
        if stdin is None:
            stdin, self._held = os.pipe()
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(GUARD), *options, "--", *command],
                    stdin=stdin,
                    stdout=output,
                    stderr=output,
                    env=dict(environment),
                    cwd=directory,
                    start_new_session=True,
                    pass_fds=tuple(keep_open),
                )
        finally:
            if lifeline is None:
                os.close(stdin)
        self._group_ended = False
        self.log = log

    @property
    def pid(self) -> int:
        """Give the process id of the guard; it is the id of the process group too."""
        return self._process.pid

    def poll(self) -> int | None:
        """Give the exit status (128 + N after signal N), or None while the command runs."""
        status = self._process.poll()
        if status is None:
            return None
        self._end_group()
        return status if status >= 0 else 128 - status

    def ask_to_stop(self) -> None:
        """Start the polite stop and return at once."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
        elif self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> int:
        """Wait for the end; after that long, end whatever is left by force."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._end_group()
        self._process.wait()
        return self._process.returncode

    def stop(self, seconds: float = 15.0) -> int:
        """Stop politely, by force after ``seconds``; harmless when it has ended already."""
        self.ask_to_stop()
        return self.wait(seconds)

    def _end_group(self) -> None:
        """End what the guard left behind: nothing, unless the guard itself was killed."""
        if self._group_ended:
            return
        self._group_ended = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Wait until no process has this id; tell whether that came true in time."""
    deadline = time.monotonic() + seconds
    while process_exists(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def process_exists(pid: int) -> bool:
    """Tell whether a process has this id, whoever owns it; one that has ended and was not reaped does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not is_zombie(pid)
