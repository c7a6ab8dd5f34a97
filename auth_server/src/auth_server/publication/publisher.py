"""Writes the published documents to a directory that a volume, a static web server or a CDN carries on."""

import asyncio
import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auth_server.publication.documents import Document

HEARTBEAT_SECONDS: Final = 60
"""Documents are written again after this long although nothing changed: their age tells verifiers that they are true
still. A fifteenth of the age at which a verifier warns by default."""

_MODE: Final = 0o644
_DIRECTORY_MODE: Final = 0o755
"""Public by nature; readers run as other users, so the umask has no say."""

_STALE_SECONDS: Final = 60
"""Age at which a temporary file is nobody's any more. A replica that lives renames its own within a moment."""


class Publisher:
    """Replaces files whole, so that a reader sees the old document or the new one and never a part.

    Several replicas may write one directory: each has its own temporary names, and the last rename wins.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: tuple[Document, ...] = ()
        self._written_at: int | None = None
        self.failure: str | None = None
        """Why the last attempt failed; None when it did not."""

    def due(self, documents: "Iterable[Document]", *, now: int) -> bool:
        """Whether to write: something changed, the last attempt failed, or the heartbeat is due.

        A clock that was set back counts as due.
        """
        if self.failure is not None or self._written_at is None or tuple(documents) != self._written:
            return True
        return not 0 <= now - self._written_at < HEARTBEAT_SECONDS

    async def publish(self, documents: "Iterable[Document]", *, now: int) -> None:
        """Write the documents, atomically each, in a thread.

        Raises:
            OSError: the directory is missing, full or not writable; `failure` says so until an attempt succeeds.
        """
        chosen = tuple(documents)
        try:
            await asyncio.to_thread(self._write_all, chosen)
        except OSError as error:
            self.failure = f"cannot write to {self._directory}: {error.strerror or type(error).__name__}"
            raise
        self.failure = None
        self._written, self._written_at = chosen, now

    def _write_all(self, documents: "tuple[Document, ...]") -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(parents=True, exist_ok=True)
            self._directory.chmod(_DIRECTORY_MODE)
        for document in documents:
            path = self._directory / document.name
            _replace(path, document.body)
            _remove_leftovers(path)
        _sync_directory(self._directory)


def _replace(path: Path, body: bytes) -> None:
    """Write a temporary file beside ``path``, bring it to the disk, and give it the name."""
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


def _remove_leftovers(path: Path) -> None:
    """Delete what writers of ``path`` left behind when they were killed, by the clock of the file system."""
    with contextlib.suppress(OSError):  # another replica is doing the same
        newest = path.stat().st_mtime
        for leftover in path.parent.glob(f".{path.name}.*.tmp"):
            if leftover.lstat().st_mtime < newest - _STALE_SECONDS:
                leftover.unlink()


def _sync_directory(directory: Path) -> None:
    """Bring the renames to the disk as well."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
