"""What every source of trust has in common, whether it reads a directory, polls a static host or is made in a test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from farseal.trust import TrustSnapshot


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is doing, for probes, metrics and people.

    Args:
        generation: of the snapshot in force.
        loads: how often a set of keys was taken into force; a mere change of its age does not count.
        refused: how often what was found was not taken, and the set before it kept.
        refusal: why what is there now is not taken; None while all is well.
        ages: seconds since publication, for each issuer.
    """

    generation: int
    loads: int
    refused: int
    refusal: str | None
    ages: Mapping[str, int]


class TrustSource(Protocol):
    """Holds the snapshot in force and keeps it fresh from the background.

    A request reads ``snapshot`` and nothing else: an attribute, whole and immutable, never awaited. A source that
    learns something puts a new snapshot in its place; one that fails keeps the old one, whose age then tells.
    """

    @property
    def snapshot(self) -> TrustSnapshot:
        """What is trusted now; empty until something was read."""
        ...

    async def start(self) -> None:
        """Load once, so that the first request finds trust where there is some, then go on in the background.

        Nothing to load is not an error: a service must be able to start while its issuer is down.
        """
        ...

    async def stop(self) -> None:
        """End the background work. The snapshot stays readable."""
        ...

    def status(self) -> SourceStatus:
        """How it is doing."""
        ...
