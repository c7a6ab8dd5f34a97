"""Writes the lists and their index to the publication directory."""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from auth_server.publication import files
from auth_server.publication.attempts import Attempts, NotWrittenError, in_own_thread
from auth_server.publication.published import MAX_BYTES as KEY_SET_BYTES
from auth_server.publication.published import PublishedError, read_published
from auth_server.status.documents import (
    MAX_BYTES,
    ListError,
    PublishedList,
    decoded,
    index_document,
    list_name,
    list_uri,
    read_list,
    unset,
)
from farseal.vocabulary import JWKS_FILE, PUBLICATION_MEMBER, STATUS_DIRECTORY, STATUS_INDEX_FILE

if TYPE_CHECKING:
    from auth_server.publication.documents import Document
    from auth_server.status.documents import ListDocument

SKEW_SECONDS: Final = 30
"""How far ahead of this server's clock a list may have been signed by another replica and still count as good."""

_MAX_INDEX_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ahead:
    """A list in the directory that knows more than ours: verifiers hold it.

    Args:
        version: of it.
        digest: as the index has it.
        lost: our version is no lower, and yet the other has entries set that ours has not.
    """

    version: int
    digest: str
    lost: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What an attempt that succeeded has left in the directory.

    Args:
        lists: those that are there as we know them, by id.
        ahead: those of which the directory knows more, and that were left alone.
    """

    lists: frozenset[str] = frozenset()
    ahead: Mapping[str, Ahead] = field(default_factory=dict)


class _Said(msgspec.Struct):
    issuer: str


class _Index(msgspec.Struct, rename={"said": PUBLICATION_MEMBER}):
    said: _Said


class StatusDirectory(Attempts):
    """The lists first, then the index, so that no reader of the index looks for a list that is not there yet.

    Several replicas may write one directory: they take turns by a lock on it, a list that another one has written as
    well is left alone, and one that is newer than ours is never written over; nor is one that says of a session that it
    has ended where ours does not, which is how a database that was restored from a backup shows; nor, by one of a key
    that the key set beside them has withdrawn, one of another key. The index is made of what is there.

    Args:
        directory: of the publication.
        issuer: the configured string.
        monotonic: seconds of a clock that is never set.
    """

    def __init__(
        self,
        directory: Path,
        *,
        issuer: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(directory, monotonic=monotonic)
        self._issuer = issuer
        self._seen: dict[str, tuple[tuple[int, ...], PublishedList | None]] = {}
        self.written = Written()
        """What the last attempt that succeeded has left."""
        self.done: Callable[[], None] | None = None
        """Called after each attempt that succeeded."""

    def begin(self, lists: "Collection[ListDocument]", *, gone: Collection[str], now: int) -> None:
        """Write in the background, unless that is being done already: one attempt at a time.

        Args:
            lists: every list that is to be there.
            gone: ids of lists that were there and are to be removed.
            now: seconds since the epoch.
        """
        documents, removed = tuple(lists), tuple(gone)
        self._begin(lambda: self._attempt(documents, removed, now))

    async def _attempt(self, lists: "tuple[ListDocument, ...]", gone: tuple[str, ...], now: int) -> None:
        self.written = await in_own_thread(lambda: self._write_all(lists, gone, now))
        if self.done is not None:
            self.done()

    def _write_all(self, lists: "tuple[ListDocument, ...]", gone: tuple[str, ...], now: int) -> Written:
        place = self._directory / STATUS_DIRECTORY
        files.ensure_directory(self._directory)
        files.ensure_directory(place)
        with files.taking_turns(place):
            self._refuse_another_issuer()
            digests: dict[str, str] = {}
            ahead: dict[str, Ahead] = {}
            withdrawn = self._withdrawn()
            for document in lists:
                theirs = self._there(document.list_id)
                if theirs is not None and (more := _more(theirs, document)) is not None:
                    ahead[document.list_id] = more
                if theirs is not None and (
                    document.list_id in ahead
                    or _stays(theirs, document, now)
                    or (document.kid in withdrawn and theirs.kid not in withdrawn)
                ):
                    digests[document.list_id] = theirs.digest
                else:
                    files.replace(self._directory / document.name, document.body)
                    digests[document.list_id] = document.digest
            files.sync_directory(place)
            self._write_index(index_document(self._issuer, digests))
            for list_id in gone:
                self._seen.pop(list_id, None)
                (self._directory / list_name(list_id)).unlink(missing_ok=True)
        return Written(frozenset(digests) - ahead.keys(), ahead)

    def _withdrawn(self) -> frozenset[str]:
        """The keys that the key set in the directory has withdrawn: another replica may know of that before us."""
        with contextlib.suppress(PublishedError, OSError):
            found = read_published(files.read(self._directory / JWKS_FILE, KEY_SET_BYTES + 1))
            if found.issuer == self._issuer:
                return found.revoked
        return frozenset()

    def _there(self, list_id: str) -> PublishedList | None:
        """The list of this id in the directory; None where there is none of ours. What has not changed is not read."""
        path = self._directory / list_name(list_id)
        try:
            found = path.lstat()
            identity = (found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns)
            if (seen := self._seen.get(list_id)) is None or seen[0] != identity:
                self._seen[list_id] = seen = identity, self._read(path, list_id)
        except FileNotFoundError:
            return None
        return seen[1]

    def _read(self, path: Path, list_id: str) -> PublishedList | None:
        if path.is_symlink():
            return None
        with contextlib.suppress(ListError):
            found = read_list(files.read(path, MAX_BYTES + 1))
            if (found.issuer, found.uri) == (self._issuer, list_uri(self._issuer, list_id)):
                return found
        return None

    def _refuse_another_issuer(self) -> None:
        try:
            found = msgspec.json.decode(files.read(self._directory / STATUS_INDEX_FILE, _MAX_INDEX_BYTES), type=_Index)
        except (OSError, ValueError):  # none, broken, or not of our making
            return
        if found.said.issuer != self._issuer:
            raise NotWrittenError(
                "its status lists are of another issuer: remove those if this one has taken its place"
            )

    def _write_index(self, index: "Document") -> None:
        if files.confirmed_at(self._directory, {index.name: index.body}) is None:
            files.replace(self._directory / index.name, index.body)
            files.sync_directory(self._directory)


def _more(theirs: PublishedList, ours: "ListDocument") -> Ahead | None:
    """Whether the list that is there must not be replaced: it is newer, or an entry of it would be unset."""
    if theirs.version > ours.version:
        return Ahead(theirs.version, theirs.digest, lost=False)
    if theirs.digest == ours.digest:
        return None
    try:
        bits = decoded(theirs.entries, most=len(ours.bits))
    except ListError:  # no server of ours wrote this
        return None
    return Ahead(theirs.version, theirs.digest, lost=True) if unset(bits, ours.bits) else None


def _stays(theirs: PublishedList, ours: "ListDocument", now: int) -> bool:
    """Whether what is there is the same, or says the same and was signed by the same key later.

    Of the same moment and yet another, it has another life or ttl: those of the settings before.
    """
    return theirs.digest == ours.digest or (
        theirs.version == ours.version
        and theirs.kid == ours.kid
        and ours.issued_at < theirs.issued_at <= now + SKEW_SECONDS
    )
