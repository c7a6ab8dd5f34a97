"""What every source of trust has in common, whether it reads a directory, polls a static host or is made in a test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from farseal.trust import TrustSnapshot


@dataclass(frozen=True, slots=True)
class WorkerState:
    """How a worker is doing with its one issuer. Times are in seconds since the epoch, by the worker's clock.

    Args:
        origin: where it looks, in words for people: a path or a URL, never with credentials.
        next_at: when it will look again by itself; None where that is not known, or too soon to tell.
        last_attempt_at: when it last looked.
        last_success_at: when a look last came to its end, whatever was found. A document that was read and refused is
            the keeper's to report, not a failure of the worker.
        attempts: looks since the start.
        failures: those that came to no end.
        failure: why the last one did not; None after one that did. Quotes nothing that was received.
        from_disk: whether what is in force came from a copy on the disk, and not yet from its origin.
        lists: the same of the looks for status lists; None where those are found by the same looks, or not looked for.
    """

    origin: str
    next_at: int | None = None
    last_attempt_at: int | None = None
    last_success_at: int | None = None
    attempts: int = 0
    failures: int = 0
    failure: str | None = None
    from_disk: bool = False
    lists: "WorkerState | None" = None


class Worker(Protocol):
    """Brings the documents of one issuer to a `TrustKeeper`, in the background of an event loop.

    A worker is made with the keeper that it feeds, and calls ``follow_clock`` and ``learn`` there, from the loop's
    thread only. Several workers share one keeper; none knows another, and the trouble of one is no other's.
    """

    @property
    def issuer(self) -> str:
        """Whose documents it brings; one of those that the keeper was made for."""
        ...

    async def start(self) -> None:
        """Look once, so that the first request finds trust where there is some, then go on in the background.

        Bounded in time. Nothing to be found is not an error: a service must be able to start while its issuer is down.

        Raises:
            RuntimeError: it runs already.
        """
        ...

    async def stop(self) -> None:
        """End the background work and give back what it holds. Nothing is taught afterwards. Twice is once."""
        ...

    def hint(self) -> None:
        """Somebody met a kid or a status list that is unknown: look sooner, as far as the worker's own bounds allow.

        Called on the way of a request, with whatever kids strangers write: never blocks, awaits, raises or queues, and
        however often it is called, the looks that follow are bounded. Before `start` and after `stop` it does nothing.
        """
        ...

    def state(self) -> WorkerState:
        """How it is doing."""
        ...


@dataclass(frozen=True, slots=True)
class ListsStatus:
    """What became of the status lists of one issuer.

    Args:
        taken: how often a list was taken into force.
        refused: how often what was found was not taken, and the list before it kept.
        rollbacks: how many of the refused were older than the latest that was seen, or another under its version.
        refusal: why what is there now is not taken; None while all is well.
    """

    taken: int = 0
    refused: int = 0
    rollbacks: int = 0
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class IssuerStatus:
    """What became of the documents of one issuer.

    Args:
        refused: how often what was found was not taken, and the set before it kept.
        refusal: why what is there now is not taken; None while all is well.
        rollbacks: how many of the refused were older than the set in force, or another under its number.
        lists: what became of its status lists.
    """

    refused: int = 0
    refusal: str | None = None
    rollbacks: int = 0
    lists: ListsStatus = ListsStatus()


NO_ISSUERS: Final[Mapping[str, IssuerStatus]] = MappingProxyType({})
NO_WORKERS: Final[Mapping[str, WorkerState]] = MappingProxyType({})
"""Of a source that does not tell."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is doing, for probes, metrics and people.

    Args:
        generation: of the snapshot in force.
        loads: how often a set of keys was taken into force; a mere change of its age does not count.
        refused: how often what was found was not taken, and the set before it kept.
        refusal: why what is there now is not taken; None while all is well.
        ages: seconds since publication, for each issuer that has any.
        rollbacks: how many of the refused were older than the set in force, or another under its number.
        issuers: the same by issuer, for each that the source was made for; empty where a source does not tell.
        workers: how those that bring the documents are doing, by issuer; empty where a source does not tell.
    """

    generation: int
    loads: int
    refused: int
    refusal: str | None
    ages: Mapping[str, int]
    rollbacks: int = 0
    issuers: Mapping[str, IssuerStatus] = field(default_factory=lambda: NO_ISSUERS)
    workers: Mapping[str, WorkerState] = field(default_factory=lambda: NO_WORKERS)


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

    def hint(self, issuer: str) -> None:
        """A token of this issuer names a key or a status list that is not known: it may be worth an early look.

        Called on the way of a request: never blocks, awaits or raises. Strangers can bring it about as often as they
        like, so what follows from it must be bounded.
        """
        ...

    def status(self) -> SourceStatus:
        """How it is doing."""
        ...
