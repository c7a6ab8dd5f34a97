"""What an address answered for the status lists of an issuer, and so which of them are worth a question now. No I/O.

The digests of an index are hints. Behind a load balancer it may come from another replica than the lists do, older or
newer, and then names documents that differ from the one in force for ever: each is fetched once, and recognised after.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from farseal.sources.fetch import UNCONDITIONAL, Validators
from farseal.status_list import StatusList

REMEMBERED: Final = 8
"""Good documents of one list, in force or not: one for each replica that publishes, and more."""

AGAIN_SECONDS: Final = 30.0
"""After which a document that was no list is fetched and judged again: one from the future is good a little later."""


BEHIND_LOOKS: Final = 3
"""In a row that found a step back from the list in force, until it is told. One replica that lags is no news."""


@dataclass(frozen=True, slots=True)
class _Good:
    """A document that is a list. ``other`` says something else than the one in force did under the same version."""

    version: int | None
    issued_at: int
    other: bool

    def stands_behind(self, held: StatusList | None) -> str | None:
        """Why it would be a step back from the list in force, or None."""
        if held is None:
            return None
        if self.version is None or held.version is None:
            older = self.version is held.version and self.issued_at < held.issued_at
        elif self.other and self.version == held.version:
            return f"It is another list under the same version {self.version}"
        else:
            older = self.version < held.version
        return "It is older than the one in force" if older else None


@dataclass(slots=True)
class _Met:
    """What is known of one list. Times are in seconds by a clock that nobody can set.

    ``digest`` is of the document that came last, ``validators`` are its own where it was good, and ``keys`` the digest
    of the key set by which it was judged where it was not. ``good`` are those that were, by their digests, the last one
    last. ``behind`` is how many looks in a row found one that would be a step back, and ``why`` says how.
    """

    digest: bytes = b""
    validators: Validators = UNCONDITIONAL
    words: str | None = None
    keys: bytes = b""
    judged_at: float = 0.0
    good: dict[bytes, _Good] = field(default_factory=dict)
    behind: int = 0
    why: str | None = None
    failures: int = 0
    not_before: float = 0.0
    asked_at: float = 0.0


class ListsMemory:
    """Of the lists of one issuer, by URI."""

    def __init__(self) -> None:
        self._met: dict[str, _Met] = {}

    def wanted(
        self, index: Mapping[str, bytes | None], in_force: Mapping[str, StatusList], keys: bytes, uptime: float
    ) -> list[str]:
        """The lists to ask for now, and first those that were asked for the longest ago. Others are forgotten.

        Args:
            index: what it names, with the digests that it gives.
            in_force: the lists that are.
            keys: digest of the key set to judge by.
            uptime: seconds.
        """
        self._met = {uri: self._met.get(uri) or _Met() for uri in index}
        for uri, hint in index.items():
            met = self._met[uri]
            there = met.good.get(met.digest if hint is None else hint)
            met.why = None if there is None else there.stands_behind(in_force.get(uri))
            met.behind = 0 if met.why is None else met.behind + 1
        found = [uri for uri, hint in index.items() if self._is_wanted(uri, hint, in_force.get(uri), keys, uptime)]
        return sorted(found, key=lambda uri: self._met[uri].asked_at)

    def _is_wanted(self, uri: str, hint: bytes | None, held: StatusList | None, keys: bytes, uptime: float) -> bool:
        met = self._met[uri]
        if hint is not None and held is not None and (hint == held.digest or hint in met.good):
            met.words, met.failures, met.not_before = None, 0, 0.0
            return False
        return uptime >= met.not_before and not (hint is not None and self.is_bad(uri, hint, keys, uptime))

    def ask(self, uri: str, held: StatusList | None, uptime: float) -> Validators:
        """By what to ask for a list now; nothing where none is in force, or the document that came last was none."""
        met = self._met[uri]
        met.asked_at = uptime
        return UNCONDITIONAL if held is None or met.digest not in met.good else met.validators

    def is_good(self, uri: str, digest: bytes) -> bool:
        """Whether a document was judged, and found to be the list."""
        return digest in self._met[uri].good

    def is_bad(self, uri: str, digest: bytes, keys: bytes, uptime: float) -> bool:
        """Whether a document was judged lately by these keys, and found not to be the list."""
        met = self._met[uri]
        judged = met.words is not None and (met.digest, met.keys) == (digest, keys)
        return judged and uptime - met.judged_at < AGAIN_SECONDS

    def good(self, made: StatusList, validators: Validators, held: StatusList | None = None) -> None:
        """The list came, and is one, whether or not it takes the place of the one that is held."""
        met = self._met[made.uri]
        met.good.pop(made.digest, None)
        same = held is None or held.version != made.version or (held.bits, held.data) == (made.bits, made.data)
        met.good[made.digest] = _Good(made.version, made.issued_at, not same)
        for digest in [*met.good][:-REMEMBERED]:
            del met.good[digest]
        met.digest, met.validators, met.words = made.digest, validators, None

    def again(self, uri: str, digest: bytes, validators: Validators) -> None:
        """A document came that is known to be the list."""
        met = self._met[uri]
        met.digest, met.validators, met.words = digest, validators, None

    def words(self, uri: str) -> str | None:
        """What is wrong with a list as it was seen last; None where nothing is."""
        met = self._met[uri]
        return met.why if met.words is None and met.behind >= BEHIND_LOOKS else met.words

    def bad(self, uri: str, digest: bytes, words: str, keys: bytes, uptime: float) -> None:
        """A document came that is not the list."""
        met = self._met[uri]
        met.digest, met.validators, met.words, met.keys, met.judged_at = digest, UNCONDITIONAL, words, keys, uptime

    def judge_again(self) -> None:
        """The clock was set: what was from the future by it, or past its end, may be good now."""
        for met in self._met.values():
            met.keys = b""

    def unchanged(self, uri: str) -> None:
        """The document that came last is the one there is, and it was good: others are not asked about."""
        self._met[uri].words = None

    def answered(self, uri: str) -> None:
        """Something came, good or bad: the next failure is the first."""
        self._met[uri].failures, self._met[uri].not_before = 0, 0.0

    def failed(self, uri: str, words: str) -> int:
        """Nothing came. Gives how often in a row."""
        met = self._met[uri]
        met.words, met.keys = words, b""
        met.failures += 1
        return met.failures

    def wait(self, uri: str, until: float) -> None:
        """Do not ask for a list again before a moment."""
        self._met[uri].not_before = until
