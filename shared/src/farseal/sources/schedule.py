"""When to look again. Pure: the chance is given, as a number in [0, 1).

Many verifiers of one issuer are started together, by one deployment, and would ask together for ever: each wait is
spread by a tenth at least.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

SPREAD: Final = 0.1
"""Part of a regular wait that chance decides."""

_MAX_DOUBLINGS: Final = 32
"""More would only make a larger number to be cut to the ceiling."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Waits in seconds, all between ``floor`` and ``ceiling`` whatever an answer says.

    Args:
        floor: the issuer is not to be asked more often, however short its ``max-age``; above 0.
        ceiling: it is asked at least so often, however long: the time within which a new key is known. Also the
            longest back-off.
        usual: where the issuer says nothing.
    """

    floor: float = 5.0
    ceiling: float = 300.0
    usual: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.floor <= self.ceiling:
            raise ValueError("0 < floor <= ceiling must hold")

    def regular(self, max_age: int | None, age: int, chance: float) -> float:
        """After an answer that was taken: what is left of its freshness (RFC 9111 section 4.2).

        Args:
            max_age: seconds; None where the answer does not say.
            age: seconds for which the answer has been under way in caches.
            chance: in [0, 1).
        """
        left = self._clamp(self.usual if max_age is None else max_age - age)
        spread = left * SPREAD
        earliest = max(self.floor, left - spread)
        return earliest + chance * (min(self.ceiling, earliest + spread) - earliest)

    def back_off(self, failures: int, retry_after: int | None, chance: float) -> float:
        """After a failure: between half and the whole of what doubles with each, and not before ``retry_after``.

        Args:
            failures: in a row, this one included; 1 or more.
            retry_after: seconds that the issuer asked for; obeyed up to the ceiling.
            chance: in [0, 1).
        """
        whole = min(self.ceiling, self.floor * 2.0 ** min(failures, _MAX_DOUBLINGS))
        return self._clamp(max(whole / 2 * (1 + chance), 0 if retry_after is None else retry_after))

    def _clamp(self, seconds: float) -> float:
        return min(max(seconds, self.floor), self.ceiling)


@dataclass(frozen=True, slots=True)
class ListSchedule:
    """Waits in seconds between two looks for status lists.

    Whoever is logged out is refused after one wait and the fetching: the spread makes a wait shorter, never longer.

    Args:
        refresh: lists are not looked for more often, whatever their ``ttl``; and so often where they have none.
        ceiling: they are looked for at least so often. A ``ttl`` may be of days, and whoever signs says it.
        back_off: the longest back-off, where the lists' ``ttl`` is no longer.
        absent: the longest wait while there is no index: an issuer that has none is not to be asked for ever.
    """

    refresh: float = 5.0
    ceiling: float = 300.0
    back_off: float = 10.0
    absent: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.refresh <= min(self.ceiling, self.back_off, self.absent):
            raise ValueError("0 < refresh <= ceiling, back_off and absent must hold")

    @classmethod
    def every(cls, refresh: float) -> Self:
        """The usual waits, but for those that ``refresh`` makes longer."""
        usual = cls()
        return cls(refresh, max(usual.ceiling, refresh), max(usual.back_off, refresh), max(usual.absent, refresh))

    def interval(self, ttls: Iterable[int | None]) -> float:
        """The time within which to look again, by the ``ttl`` of the lists in force: the shortest counts."""
        shortest = min((ttl for ttl in ttls if ttl is not None), default=0)
        return min(max(shortest, self.refresh), self.ceiling)

    def regular(self, interval: float, spent: float, chance: float) -> float:
        """After a look: what is left of the interval since it began, spread by a tenth, and a tenth of it at least.

        Args:
            interval: seconds.
            spent: seconds that the look took.
            chance: in [0, 1).
        """
        return max(interval * (1 - SPREAD * chance) - spent, interval * SPREAD)

    def after_failures(self, interval: float) -> Schedule:
        """The back-off, short so that an end of the trouble is in force soon."""
        return Schedule(self.refresh, max(self.back_off, interval), self.refresh)

    def while_absent(self, looks: int, chance: float) -> float:
        """After as many looks in a row that found no index: ever longer, up to ``absent``."""
        return Schedule(self.refresh, self.absent, self.refresh).back_off(looks, None, chance)
