"""Files that receive a secret: made by us, readable by their owner alone, never written over."""

import os
from pathlib import Path


def write_new(path: Path, secret: str) -> None:
    """Write a secret into a file that does not exist yet, mode 0600 from its first byte, and to the disk.

    Raises:
        FileExistsError: something is there, a dangling link included.
        OSError: it cannot be written; nothing is left.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
