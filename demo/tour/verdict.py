"""What an act ends with."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim, whether it held, and the figures that say so."""

    number: int | str
    """``4b`` is a number too: the control of act 4."""
    title: str
    figures: str
    faults: tuple[str, ...]
    """What contradicts the claim, in words; empty when it holds."""

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts the claim."""
        return not self.faults


def faults_of(claims: Mapping[str, bool]) -> tuple[str, ...]:
    """Give the sentences that are true among those that must all be false."""
    return tuple(sentence for sentence, contradicts in claims.items() if contradicts)
