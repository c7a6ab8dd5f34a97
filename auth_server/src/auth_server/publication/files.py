"""Files that are replaced whole and brought to the disk, in a directory that several processes write to."""

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

_MODE: Final = 0o644
_DIRECTORY_MODE: Final = 0o755
"""Public by nature; readers run as other users, so the umask has no say."""

_STALE_SECONDS: Final = 60
"""Age at which a temporary file is nobody's any more. A replica that lives renames its own within a moment."""

_TURN_SECONDS: Final = 2.0
"""How long a writer waits for its turn. Past it the other one is stuck, and must not keep everybody from writing: at
worst it comes back and puts an older document in place, which verifiers refuse until the next writer replaces it."""

_PAUSE_SECONDS: Final = 0.02


def ensure_directory(directory: Path) -> None:
    """Make the directory if it is missing; one that is there keeps its mode.

    Raises:
        OSError: it cannot be made, or is a file.
    """
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(_DIRECTORY_MODE)


@contextlib.contextmanager
def taking_turns(directory: Path) -> Iterator[None]:
    """Write alone, as far as the file system can tell and the others do not take too long."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + _TURN_SECONDS
        while time.monotonic() < end:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
                continue
            except OSError:  # a file system without locks
                pass
            break
        yield
    finally:
        os.close(descriptor)


def read(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a file; none of what is no file and would be waited for, as a named pipe.

    Raises:
        OSError: it cannot be read; `FileNotFoundError` where there is none.
    """
    with _opened(path) as file:
        return file.read(most) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def confirmed_at(directory: Path, bodies: Mapping[str, bytes]) -> int | None:
    """When these very files were written, the oldest of them, in seconds since the epoch; None if any differs."""
    moments = []
    for name, body in bodies.items():
        try:
            with _opened(directory / name) as file:
                if (directory / name).is_symlink() or file.read(len(body) + 1) != body:
                    return None
                moments.append(int(os.fstat(file.fileno()).st_mtime))
        except OSError:
            return None
    return min(moments, default=None)


def replace(path: Path, body: bytes) -> None:
    """Write a temporary file beside ``path``, bring it to the disk, and give it the name.

    Raises:
        OSError: the disk is full or may not be written to; nothing temporary stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _MODE)
            file.write(body)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _remove_leftovers(path)


def sync_directory(directory: Path) -> None:
    """Bring the renames to the disk as well.

    Raises:
        OSError: it cannot be done.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> BinaryIO:
    """For reading, without waiting for who writes."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _remove_leftovers(path: Path) -> None:
    """Delete what writers of ``path`` left behind when they were killed, by the clock of the file system."""
    with contextlib.suppress(OSError):  # another replica is doing the same
        newest = path.stat().st_mtime
        for leftover in path.parent.glob(f".{path.name}.*.tmp"):
            if leftover.lstat().st_mtime < newest - _STALE_SECONDS:
                leftover.unlink()
