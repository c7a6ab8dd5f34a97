"""Files that this user alone keeps in a directory: put there whole or not at all, believed only as far as nobody else
can have written them. Blocks; made for a thread.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from farseal.errors import FarsealError
from farseal.sources.document import reason

ABANDONED_SECONDS: Final = 3600
"""After which a file that was never renamed into place is what a killed process left."""

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class CopyError(FarsealError):
    """The copy cannot be used, or not written. The message names the fault, and nothing that is in it."""


def put(directory: Path, name: str, content: bytes) -> None:
    """Put a file in the place of the one before, for this user alone. The directory is made where it is missing.

    Raises:
        CopyError: the disk is full, read-only, or otherwise not willing.
    """
    temporary = f".{name}.{secrets.token_hex(8)}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _write(temporary, content, folder)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        finally:
            os.close(folder)
    except OSError as error:
        raise CopyError(reason(error)) from None


def take(directory: Path, name: str, limit: int) -> bytes | None:
    """The content of a file; None where there is none.

    Raises:
        CopyError: it is no regular file, larger than ``limit`` bytes, a link, unreadable, or somebody else can write
            it: only this user and root may own it.
    """
    try:
        descriptor = os.open(directory / name, _READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CopyError(reason(error)) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CopyError("not a regular file")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise CopyError("writable by others")
        if found.st_uid not in (0, os.geteuid()):
            raise CopyError("owned by another user")
        if found.st_size > limit:
            raise CopyError("too large")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise CopyError(reason(error)) from None
    finally:
        os.close(descriptor)


def remove(directory: Path, name: str) -> None:
    """Take a file away, if it is there.

    Raises:
        CopyError: it stays.
    """
    try:
        (directory / name).unlink(missing_ok=True)
    except OSError as error:
        raise CopyError(reason(error)) from None


def sweep(directory: Path, pattern: str, now: int) -> None:
    """Remove what killed processes left half written.

    Args:
        directory: in which to look.
        pattern: of the names, as `put` was given them.
        now: seconds since the epoch.
    """
    with suppress(OSError):
        for path in directory.glob(f".{pattern}.*"):
            if now - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()


def _write(name: str, content: bytes, folder: int) -> None:
    descriptor = os.open(name, _WRITE, 0o600, dir_fd=folder)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
