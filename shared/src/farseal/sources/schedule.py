"""When to look again. Pure: the chance is given, as a number in [0, 1).

Many verifiers of one issuer are started together, by one deployment, and would ask together for ever: each wait is
spread by a tenth at least.
"""

from dataclasses import dataclass
from typing import Final

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
