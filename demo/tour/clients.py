"""The clients of acts 4 and 4b: several at each server, all asking as fast as they get answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from demo.seed import CLIENT
from demo.tour.stage import Stage, StageError
from demo.traffic import GOOD, Desk, Shelf, keep_asking, keep_fetching

EACH: Final = 4
"""Connections to each resource server."""
EVERY_SECONDS: Final = 0.05
"""Between two fresh tokens: 20 a second."""
USE_SECONDS: Final = 240.0
"""The tokens live 300 s."""
MOST_TOKENS: Final = 2000
PATIENCE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What the clients saw."""

    answers: Counter[tuple[str, str]]
    """By server and kind."""
    signed: Counter[str]
    """Tokens by the key that signed them, in the order in which the keys came."""
    overlapping: int
    """Requests with a token of an older key after a newer one had signed."""
    seconds: float
    p99_ms: float

    @property
    def sent(self) -> int:
        """All requests."""
        return self.answers.total()

    @property
    def failures(self) -> dict[tuple[str, str], int]:
        """All that are not 200, by server and kind."""
        return {where: count for where, count in self.answers.items() if where[1] != GOOD}

    @property
    def failed(self) -> int:
        """How many those are."""
        return sum(self.failures.values())

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return self.sent / self.seconds if self.seconds else 0.0

    @property
    def by_server(self) -> Counter[str]:
        """Good answers of each server."""
        good: Counter[str] = Counter()
        for (server, kind), count in self.answers.items():
            if kind == GOOD:
                good[server] += count
        return good


@dataclass(slots=True)
class Notes:
    """What is being noted."""

    began: float = field(default_factory=time.monotonic)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    overlapping: int = 0
    first_failure: float | None = None
    last_failure: float | None = None
    """When they were told (``time.monotonic``)."""


class Clients:
    """Running as long as the context lasts."""

    def __init__(self, stage: Stage) -> None:
        addresses = stage.addresses
        self._scenery = stage.scenery
        self._desk = Desk([addresses.issuer], CLIENT, "")
        self._shelf = Shelf(most=MOST_TOKENS)
        self._notes = Notes()
        self._targets = (
            ("resource_a", addresses.notes, "/notes?limit=1"),
            ("resource_b", addresses.reports, "/reports/mine"),
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._desk.secret = await self._scenery.client_secret(CLIENT)
        fetching = keep_fetching(self._desk, self._shelf, every=EVERY_SECONDS, use_seconds=USE_SECONDS)
        self._tasks.append(asyncio.create_task(fetching))
        for server, url, path in self._targets:
            for _ in range(EACH):
                self._tasks.append(asyncio.create_task(keep_asking(server, url, path, self._shelf, self._note)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._desk.close()

    @property
    def notes(self) -> Notes:
        """What is being noted."""
        return self._notes

    def begin_anew(self) -> Observed:
        """Give what was seen so far, and forget it."""
        seen = self.observed()
        self._notes = Notes()
        return seen

    def observed(self) -> Observed:
        """Give what was seen so far."""
        notes = self._notes
        took = sorted(notes.took)
        p99 = took[min(len(took) - 1, len(took) * 99 // 100)] if took else 0.0
        seconds = time.monotonic() - notes.began
        return Observed(Counter(notes.answers), Counter(self._shelf.signed), notes.overlapping, seconds, p99 * 1000)

    async def settle(self) -> str:
        """Wait until every server has answered; give the key that signs.

        Raises:
            StageError: that does not happen, or a client broke.
        """
        servers = {server for server, _, _ in self._targets}
        await self._until(lambda: {server for server, _ in self._notes.answers} == servers, "no request is answered")
        return self._signer

    async def signer_after(self, kid: str) -> str:
        """Wait until another key than this one has signed; give it.

        Raises:
            StageError: that does not happen, or a client broke.
        """
        await self._until(lambda: self._signer != kid, "the new key does not sign")
        return self._signer

    @property
    def _signer(self) -> str:
        return next(reversed(self._shelf.signed))

    async def _until(self, holds: Callable[[], bool], fault: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            for task in self._tasks:
                if task.done():
                    raise StageError(f"a client of the load ended: {task.exception()!r}")
            if time.monotonic() >= deadline:
                raise StageError(f"{fault} within {PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(0.01)

    def _note(self, server: str, kid: str, kind: str, began: float, took: float) -> None:
        notes = self._notes
        notes.answers[server, kind] += 1
        notes.took.append(took)
        if kind != GOOD:
            notes.last_failure = began + took
            notes.first_failure = notes.first_failure or notes.last_failure
        if kid != self._signer:
            notes.overlapping += 1
