"""Where things may lie in the file system, and who may read them there."""

import contextlib
import hashlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

SOCKET_PATH_BYTES = 100
"""Of a unix socket: sun_path holds 104 bytes on macOS and 108 on Linux, its terminator included."""


class PlaceError(Exception):
    """Something of somebody else's is where ours has to be."""


def reachable(path: Path) -> bool:
    """Tell whether a user who owns nothing may pass every folder down to ``path``, and ``path`` itself."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def temporary_directory() -> Path:
    """Give the temporary directory, or /tmp where that one is of no use: too long for a socket, or closed to others."""
    wanted = Path(tempfile.gettempdir())
    short = len(os.fsencode(wanted)) <= SOCKET_PATH_BYTES - 40
    return wanted if short and (os.geteuid() != 0 or reachable(wanted)) else Path("/tmp")  # noqa: S108 - checked below


def short_directory(home: Path, use: str) -> Path:
    """Name a folder under the temporary directory, the same one every time for the same home."""
    digest = hashlib.sha256(f"{use} {os.geteuid()} {home}".encode()).hexdigest()[:12]
    return temporary_directory() / f"farseal-{digest}"


def owned_directory(directory: Path, *, mode: int, user: str | None = None) -> Path:
    """Make a folder of ours, or take it when it is ours already.

    Raises:
        PlaceError: something of somebody else's is there.
    """
    owner = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        if user is not None:
            os.chown(directory, owner, -1)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {owner, os.geteuid()}:
        raise PlaceError(f"{directory} belongs to somebody else; remove it, or set TMPDIR elsewhere")
    os.chown(directory, owner, -1)
    directory.chmod(mode)
    return directory


def write_secret(path: Path, text: str) -> None:
    """Write a file that only we can read, never for a moment readable by others."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
