"""``python -m demo.clean``: remove what demos keep, also what lies outside of the state folder. Part of ``make clean``.

Exit status: 0 when nothing is left, 1 when a demo is running.
"""

import os
import shutil
import sys
from pathlib import Path

from demo.places import short_directory
from demo.settings import Settings
from demo.state import AlreadyRunningError, Lock, State


def clean(state_directory: Path) -> None:
    """Remove the state of every demo below a folder, and the folder when it is empty then.

    Where PostgreSQL's user could not reach the state, its files are in the temporary directory: a file ``moved`` says
    so on both sides, and they go too.

    Raises:
        AlreadyRunningError: one of them runs; it and those after it are left alone.
    """
    for root in sorted(path for path in state_directory.glob("*") if (path / "lock").exists()):
        state = State(root)
        lock = Lock(state)
        lock.take()
        try:
            elsewhere, here = short_directory(state.postgres, "home"), state.postgres / "moved"
            if here.exists() and (elsewhere / "moved").exists() and not elsewhere.is_symlink():
                shutil.rmtree(elsewhere)
            shutil.rmtree(root)
        finally:
            lock.release()
    if state_directory.exists() and not any(state_directory.iterdir()):
        state_directory.rmdir()


def main() -> int:
    """Clean what this checkout's settings name."""
    try:
        clean(Settings.from_environ(os.environ).state_dir.absolute())
    except AlreadyRunningError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
