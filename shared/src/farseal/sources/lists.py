"""What becomes of the status lists of one issuer as they come in, good and bad. No I/O and no clock."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from farseal.sources.source import ListsStatus
from farseal.status_index import MAX_ALL_LISTS_BYTES, MAX_LISTS
from farseal.status_list import StatusList
from farseal.trust import IssuerTrust
from farseal.vocabulary import STATUS_DIRECTORY, STATUS_INDEX_FILE

NO_ROOM: Final = f"There are lists of more than {MAX_ALL_LISTS_BYTES} bytes before it"
"""Why a list is not taken that would be past the bound of all of an issuer's."""

NAMED_LISTS: Final = 3
"""Of those that are not taken. There may be thousands, and one fault is mostly that of all."""

_log = logging.getLogger("farseal")


@dataclass(frozen=True, slots=True)
class FoundLists:
    """What is published of an issuer's lists, by URI: one that is not named is not published any more.

    Args:
        lists: a list that was judged good; or in words for people why what is there is none; or None where the same
            document is there as is in force.
    """

    lists: Mapping[str, StatusList | str | None]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the latest of a list said of itself, also after it is not in force any more."""

    kid: str
    version: int | None
    issued_at: int


@dataclass(slots=True)
class IssuerLists:
    """Decides which lists take the place of those in force, and remembers what may not come back.

    Lists are in force as part of the `IssuerTrust` that they are given to and returned from here; a list that is there
    counts as issued at its ``iat``, or when it was found, where that is before it.
    """

    taken: int = 0
    refused: int = 0
    rollbacks: int = 0
    index_refusal: str | None = None
    refusals: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def status(self) -> ListsStatus:
        """How it is doing."""
        return ListsStatus(self.taken, self.refused, self.rollbacks, self.refusal)

    @property
    def refusal(self) -> str | None:
        """Why what is there now is not taken, or None."""
        words = [] if self.index_refusal is None else [f"{STATUS_INDEX_FILE}: {self.index_refusal}"]
        words += [f"{STATUS_DIRECTORY}/{_name(uri)}: {why}" for uri, why in [*self.refusals.items()][:NAMED_LISTS]]
        if (more := len(self.refusals) - NAMED_LISTS) > 0:
            words.append(f"and {more} more lists")
        return "; ".join(words) or None

    def refuse_index(self, reason: str) -> None:
        """The index cannot be read: which lists there are is not known, and those in force stay."""
        if self.index_refusal != reason:
            self.index_refusal = reason
            self.refused += 1

    def learn(self, found: FoundLists, trust: IssuerTrust | None, now: int) -> Mapping[str, StatusList]:
        """The lists that are in force from now on.

        Args:
            found: what is there.
            trust: in the issuer. Without any there is no key that could have signed a list.
            now: seconds since the epoch.
        """
        held: Mapping[str, StatusList] = {} if trust is None else trust.lists
        lists: dict[str, StatusList] = {}
        refusals: dict[str, str] = {}
        room = MAX_ALL_LISTS_BYTES
        for uri, one in found.lists.items():
            old = held.get(uri)
            words, rollback = (one, False) if isinstance(one, str) else (None, False)
            if isinstance(one, StatusList):
                words = _unfit(one, trust)
                if words is None:
                    words = self._rollback(one, old)
                    rollback = words is not None
                if words is None and not self._is_older_copy(one, old):
                    self._seen[uri] = _Seen(one.kid, one.version, one.issued_at)
                    self.taken += 1
                    old = one if one.issued_at <= now else replace(one, issued_at=now)
            if old is not None and (room := room - len(old.data)) >= 0:
                lists[uri] = old
            elif old is not None:
                words = NO_ROOM
            if words is not None:
                refusals[uri] = words
                if self.refusals.get(uri) != words:
                    self.refused += 1
                    self.rollbacks += rollback
        self.index_refusal, self.refusals = None, refusals
        self._forget(lists)
        return MappingProxyType(lists)

    def without_withdrawn(self, lists: Mapping[str, StatusList], revoked: frozenset[str]) -> Mapping[str, StatusList]:
        """The lists but for those signed by a withdrawn key: whoever has it may have said anything in them.

        What such a list said of its version is forgotten as well: it could be so high that no other ever came in.
        """
        for uri in [uri for uri, seen in self._seen.items() if seen.kid in revoked]:
            del self._seen[uri]
        if not any(one.kid in revoked for one in lists.values()):
            return lists
        return MappingProxyType({uri: one for uri, one in lists.items() if one.kid not in revoked})

    def dated_again(self, lists: Mapping[str, StatusList], jump: int, now: int) -> Mapping[str, StatusList]:
        """The lists after the clock was set by ``jump`` seconds: none is from the future, none older than its date."""
        return MappingProxyType(dict(self._dated_again(lists, jump, now)))

    def _dated_again(self, lists: Mapping[str, StatusList], jump: int, now: int) -> Iterator[tuple[str, StatusList]]:
        for uri, one in lists.items():
            issued_at, dated = one.issued_at, self._seen[uri].issued_at
            if issued_at < dated:
                issued_at = min(dated, issued_at + jump)
            issued_at = min(issued_at, now)
            yield uri, one if issued_at == one.issued_at else replace(one, issued_at=issued_at)

    def _rollback(self, new: StatusList, old: StatusList | None) -> str | None:
        """Why a list goes back behind the latest that was seen of it, or None.

        Who lays an old list back makes revoked tokens good again, also by taking the list away in between.
        """
        seen = self._seen.get(new.uri)
        if seen is None:
            return None
        if seen.version is None:
            before = new.version is None and new.issued_at < seen.issued_at
            return "It was issued before the one that was there" if before else None
        if new.version is None:
            return f"It has no version, and the latest has {seen.version}"
        if new.version < seen.version:
            return f"Its version {new.version} is older than {seen.version}"
        if new.version == seen.version and old is not None and (old.bits, old.data) != (new.bits, new.data):
            return f"It is another list under the same version {seen.version}"
        return None

    def _is_older_copy(self, new: StatusList, old: StatusList | None) -> bool:
        """Whether it says what is in force, and was signed before: of two replicas that publish, one was slower."""
        return old is not None and old.version == new.version and new.issued_at < self._seen[new.uri].issued_at

    def _forget(self, lists: Mapping[str, StatusList]) -> None:
        """Keep what is known of lists that left within bounds; the longest known go first."""
        gone = [uri for uri in self._seen if uri not in lists]
        for uri in gone[: max(0, len(gone) - MAX_LISTS)]:
            del self._seen[uri]


def _unfit(new: StatusList, trust: IssuerTrust | None) -> str | None:
    # It was judged by the keys of a moment ago, in a thread.
    if trust is None or new.kid not in trust.keys:
        return "Its key is not one of the issuer"
    return "Its key has been withdrawn" if new.kid in trust.revoked else None


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]
