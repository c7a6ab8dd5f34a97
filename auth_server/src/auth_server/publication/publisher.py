"""Writes the published documents to a directory that a volume, a static web server or a CDN carries on."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auth_server.publication import files
from auth_server.publication.attempts import Attempts, NotWrittenError, in_own_thread
from auth_server.publication.published import MAX_BYTES, PublishedError, PublishedSet, conflict, read_published
from farseal.vocabulary import JWKS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auth_server.publication.documents import Document

HEARTBEAT_SECONDS: Final = 60
"""Documents are written again after this long although nothing changed: their age tells verifiers that they are true
still. A fifteenth of the age at which a verifier warns by default."""


class ConflictError(NotWrittenError):
    """The key set in the directory must not be replaced by what this server has. The message says why.

    ``ahead`` is what lies there when it is of this issuer, and so what its verifiers hold.
    """

    def __init__(self, message: str, *, ahead: PublishedSet | None) -> None:
        super().__init__(message)
        self.ahead = ahead


class Publisher(Attempts):
    """Replaces files whole, so that a reader sees the old document or the new one and never a part.

    Several replicas may write one directory. They take turns by a lock on it; what is the same and young enough is
    not written again; and a document that is ahead of ours is never written over: verifiers would refuse the older one,
    and somebody has to be told that the database has lost something.
    """

    def __init__(self, directory: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(directory, monotonic=monotonic)
        self._written_at: int | None = None
        self.written: tuple[Document, ...] = ()
        """What the last attempt that succeeded has left in the directory."""
        self.conflict: str | None = None
        """Why the directory must not be written to; None when it may."""
        self.ahead: PublishedSet | None = None
        """In a conflict, what verifiers hold and this server lacks."""

    @property
    def written_at(self) -> int | None:
        """When the documents in the directory were confirmed, in seconds since the epoch."""
        return self._written_at

    def due(self, documents: "Iterable[Document]", *, now: int) -> bool:
        """Whether to write: something changed, the last attempt failed, or the heartbeat is due.

        A clock that was set back counts as due.
        """
        if self.failure is not None or self._written_at is None or tuple(documents) != self.written:
            return True
        return not 0 <= now - self._written_at < HEARTBEAT_SECONDS

    def begin(self, documents: "Iterable[Document]", *, now: int) -> None:
        """Write in the background, unless that is being done already: one attempt at a time."""
        written = tuple(documents)
        self._begin(lambda: self._attempt(written, now))

    async def publish(self, documents: "Iterable[Document]", *, now: int) -> None:
        """Write the documents, atomically each, and wait for it.

        Raises:
            OSError: the directory is missing, full or not writable; `failure` says so until an attempt succeeds.
            ConflictError: what lies there must not be replaced; `conflict` and `failure` say so.
        """
        await self.wait()
        self.begin(documents, now=now)
        await self.wait()
        if self.error is not None:
            raise self.error

    async def look(self, seconds: float) -> PublishedSet | None:
        """The key set in the directory; None where there is none that can be read within ``seconds``."""
        with contextlib.suppress(PublishedError, OSError):
            async with asyncio.timeout(seconds):  # TimeoutError is an OSError
                return await in_own_thread(self._read)
        return None

    async def _attempt(self, documents: "tuple[Document, ...]", now: int) -> None:
        try:
            written_at = await in_own_thread(lambda: self._write_all(documents, now))
        except Exception as error:
            refused = error if isinstance(error, ConflictError) else None
            self.conflict = None if refused is None else f"{self._directory} is not written to: {refused}"
            self.ahead = None if refused is None else refused.ahead
            raise
        self.conflict = self.ahead = None
        self.written, self._written_at = documents, written_at

    def _write_all(self, documents: "tuple[Document, ...]", now: int) -> int:
        """Write unless it is there; gives when what is there was confirmed."""
        files.ensure_directory(self._directory)
        with files.taking_turns(self._directory):
            self._refuse_conflict(documents)
            confirmed = files.confirmed_at(self._directory, {one.name: one.body for one in documents})
            if confirmed is not None and 0 <= now - confirmed < HEARTBEAT_SECONDS:
                return confirmed
            for document in documents:
                files.replace(self._directory / document.name, document.body)
            files.sync_directory(self._directory)
        return now

    def _refuse_conflict(self, documents: "tuple[Document, ...]") -> None:
        ours = next((document for document in documents if document.name == JWKS_FILE), None)
        if ours is None:
            return
        # What is not ours, broken or older than this format may be replaced.
        with contextlib.suppress(PublishedError, FileNotFoundError):
            theirs, mine = self._read(), read_published(ours.body)
            if why := conflict(theirs, mine):
                raise ConflictError(why, ahead=theirs if theirs.issuer == mine.issuer else None)

    def _read(self) -> PublishedSet:
        return read_published(files.read(self._directory / JWKS_FILE, MAX_BYTES + 1))
