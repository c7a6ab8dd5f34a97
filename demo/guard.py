"""Holds one process, and lets it outlive nobody.

Run as a program, by path, with the standard library alone: ``python -I -S guard.py [options] -- COMMAND...``. Its
standard input is a pipe that nobody writes to. When the last writer is gone, however it died (``kill -9`` included),
the pipe reaches its end, and the guard stops the command: first with ``--signal``, after ``--grace`` seconds with
SIGKILL. That works on Linux and macOS. On Linux the kernel covers the guard's own death too (``PR_SET_PDEATHSIG``).

Exit status: the command's own, 128 + N when a signal N ended it, 127 when it could not be started.
"""

import argparse
import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

PR_SET_PDEATHSIG = 1
"""``prctl`` option of Linux (linux/prctl.h)."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def die_with_parent(signum: int) -> Callable[[], None] | None:
    """Make the function that ties a forked child to this process, or None where the kernel has no such thing."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    guard = os.getpid()

    def tie() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != guard:  # it died between the fork and the call: nobody would ever send the signal
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


def hold(child: "subprocess.Popen[bytes]", wake: int, *, stop_signal: int, grace: float) -> int:
    """Wait until the child ends, or end it when nobody is left to want it.

    Args:
        child: the process to hold; this process is its parent.
        wake: file descriptor that becomes readable at every signal.
        stop_signal: the polite request.
        grace: seconds between the polite request and SIGKILL.

    Returns:
        The return code of `subprocess.Popen`.
    """
    lifeline = sys.stdin.fileno()
    watched = [wake, lifeline]
    deadline: float | None = None
    while child.poll() is None:
        patience = 1.0 if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(watched, [], [], patience)
        asked = False
        if wake in readable:
            asked = any(signum in STOP_SIGNALS for signum in os.read(wake, 256))
        if lifeline in readable and not os.read(lifeline, 256):
            watched.remove(lifeline)
            asked = True
        if asked and deadline is None:
            deadline = time.monotonic() + grace
            child.send_signal(stop_signal)
        elif deadline is not None and time.monotonic() >= deadline:
            child.kill()
            child.wait()
    return child.returncode


def main(argv: Sequence[str]) -> int:
    """Start the command, hold it, clear up behind it."""
    parser = argparse.ArgumentParser(prog="guard.py", description=__doc__)
    parser.add_argument("--signal", default="TERM", help="how to ask the command to stop: TERM, INT, QUIT")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds until SIGKILL")
    parser.add_argument("--user", help="system user to run the command as (root only)")
    parser.add_argument("--input", default=os.devnull, help="file the command reads as its standard input")
    parser.add_argument("--remove", action="append", default=[], help="directory to delete once the command is gone")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(argv)
    stop_signal = signal.Signals[f"SIG{options.signal}"]

    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for signum in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(signum, lambda *_: None)
    group = None if options.user is None else group_of(options.user)
    try:
        with open(options.input, "rb") as given:  # noqa: PTH123  # pathlib doubles this program's start time
            child = subprocess.Popen(
                options.command,
                stdin=given,
                preexec_fn=die_with_parent(stop_signal),  # noqa: PLW1509  # this process has one thread
                user=options.user,
                group=group,
                extra_groups=None if group is None else [],
            )
    except OSError as error:
        print(f"guard: cannot start {options.command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    status = hold(child, wake, stop_signal=stop_signal, grace=options.grace)
    for directory in options.remove:
        with contextlib.suppress(OSError):
            shutil.rmtree(directory)
    return status if status >= 0 else 128 - status


def group_of(user: str) -> int:
    """Look up a system user's own group."""
    import pwd  # noqa: PLC0415  # only root comes here

    return pwd.getpwnam(user).pw_gid


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
