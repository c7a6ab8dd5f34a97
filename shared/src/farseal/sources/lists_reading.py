"""The status lists in a directory of published documents, read again where they changed. Blocks; made for a thread.

The index says which files there are, so a directory of a hundred thousand of them is never listed. Symbolic links are
followed, because volumes are made of them; wherever they lead, a list is believed for its signature alone.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from farseal.jwks import VerificationKey
from farseal.sources.document import (
    DocumentError,
    DocumentMissingError,
    Fingerprint,
    fingerprint,
    is_settled,
    read_document,
    reason,
)
from farseal.sources.keeper import Refused
from farseal.sources.lists import NO_ROOM, FoundLists
from farseal.status_index import MAX_ALL_LISTS_BYTES, list_name, parse_index
from farseal.status_list import MAX_LIST_TOKEN_BYTES, StatusList, StatusListError, read_status_list
from farseal.trust import IssuerTrust
from farseal.vocabulary import STATUS_DIRECTORY, STATUS_INDEX_FILE

REJUDGE_SECONDS: Final = 2
"""A list that is no good is judged again this often: a clock that is set right may make it so, and judging costs."""

_NO_KEYS: Final[Mapping[str, VerificationKey]] = MappingProxyType({})

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was last read. ``settled`` as of the look; a file that could not be read has no digest."""

    look: Fingerprint | str
    settled: bool
    digest: bytes
    judged: StatusList | str
    judged_at: int
    keys: Mapping[str, VerificationKey]
    revoked: frozenset[str]

    def worth_judging(self, trust: IssuerTrust | None, at: int) -> bool:
        """Whether another judgement of the same content could say something else. Never of a list in force."""
        if isinstance(self.judged, StatusList):
            held = None if trust is None else trust.lists.get(self.judged.uri)
            if held is not None and held.digest == self.digest:
                return False
        elif abs(at - self.judged_at) >= REJUDGE_SECONDS:
            return True
        return self.keys is not _keys(trust) or self.revoked != _revoked(trust)


_UNREAD: Final = _Read("", settled=False, digest=b"", judged=NO_ROOM, judged_at=0, keys=_NO_KEYS, revoked=frozenset())


class ListsReader:
    """Looks at the lists of one issuer, and remembers what spares the next look work. For one thread at a time.

    ``folder`` is the device and inode of the directory of the lists, None while there is none.
    """

    def __init__(self, path: Path, issuer: str) -> None:
        self.folder: tuple[int, int] | None = None
        self._path = path
        self._issuer = issuer
        self._index: tuple[Fingerprint | str, bool] | None = None
        self._uris: tuple[str, ...] | Refused = ()
        self._files: dict[str, _Read] = {}

    def look(self, trust: IssuerTrust | None, at: int) -> FoundLists | Refused:
        """What is there now, for the keeper.

        An index that is missing means that the issuer has no lists. Where some are in force it means that something is
        wrong: they stay, and age.

        Args:
            trust: in the issuer, as it is in force.
            at: seconds since the epoch.
        """
        try:
            directory = os.open(self._path, _DIRECTORY)
        except OSError as error:
            return Refused(f"the directory: {reason(error)}")
        try:
            uris = self._read_index(directory, at, in_force=trust is not None and bool(trust.lists))
            if isinstance(uris, Refused):
                return uris
            try:
                folder = os.open(STATUS_DIRECTORY, _DIRECTORY, dir_fd=directory)
            except OSError as error:
                self.folder, self._files = None, {}
                return FoundLists(dict.fromkeys(uris, f"the directory: {reason(error)}"))
        finally:
            os.close(directory)
        try:
            itself = os.fstat(folder)
            self.folder = (itself.st_dev, itself.st_ino)
            self._files = dict(self._read_all(uris, folder, trust, at))
        finally:
            os.close(folder)
        held = {} if trust is None else trust.lists
        return FoundLists({uri: _outcome(read, held.get(uri)) for uri, read in self._files.items()})

    def _read_index(self, directory: int, at: int, *, in_force: bool) -> tuple[str, ...] | Refused:
        look = fingerprint(STATUS_INDEX_FILE, directory)
        if self._index != (look, True):
            self._index = (look, is_settled(look, at))
            try:
                content = read_document(STATUS_INDEX_FILE, directory).content
                self._uris = tuple(parse_index(content, self._issuer))
            except DocumentMissingError:
                self._index = None
                return Refused("missing") if in_force else ()
            except DocumentError as error:
                self._uris = Refused(str(error).removeprefix(f"{STATUS_INDEX_FILE}: "))
            except StatusListError as error:
                self._uris = Refused(str(error))
        return self._uris

    def _read_all(
        self, uris: Iterable[str], folder: int, trust: IssuerTrust | None, at: int
    ) -> Iterator[tuple[str, _Read]]:
        """Each file, until what they hold is more than an issuer may have: the rest is not even opened."""
        room = MAX_ALL_LISTS_BYTES
        for uri in uris:
            read = _UNREAD if room <= 0 else self._read(uri, folder, trust, at)
            if isinstance(read.judged, StatusList) and (room := room - len(read.judged.data)) < 0:
                read = _UNREAD
            yield uri, read

    def _read(self, uri: str, folder: int, trust: IssuerTrust | None, at: int) -> _Read:
        name, known = list_name(uri), self._files.get(uri)
        look = fingerprint(name, folder)
        if known is not None and known.look == look and known.settled and not known.worth_judging(trust, at):
            return known
        settled = is_settled(look, at)
        try:
            content = read_document(name, folder, max_bytes=MAX_LIST_TOKEN_BYTES).content
        except DocumentError as error:
            return _Read(look, settled, b"", str(error).removeprefix(f"{name}: "), at, _keys(trust), _revoked(trust))
        digest = hashlib.sha256(content).digest()
        if known is not None and known.digest == digest and not known.worth_judging(trust, at):
            return replace(known, look=look, settled=settled)
        return _Read(look, settled, digest, self._judge(content, uri, trust, at), at, _keys(trust), _revoked(trust))

    def _judge(self, content: bytes, uri: str, trust: IssuerTrust | None, at: int) -> StatusList | str:
        try:
            return read_status_list(
                content, uri, issuer=self._issuer, keys=_keys(trust), revoked=_revoked(trust), now=at
            )
        except StatusListError as error:
            return str(error)


def _keys(trust: IssuerTrust | None) -> Mapping[str, VerificationKey]:
    return _NO_KEYS if trust is None else trust.keys


def _revoked(trust: IssuerTrust | None) -> frozenset[str]:
    return frozenset() if trust is None else trust.revoked


def _outcome(read: _Read, held: StatusList | None) -> StatusList | str | None:
    return None if held is not None and held.digest == read.digest else read.judged
