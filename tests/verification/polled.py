"""What the tests of trust from an address have in common: two keys, quick options, and honest requests meanwhile."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from farseal.sources import HttpOptions, Schedule, Timeouts, TrustSource
from farseal.status_list import StatusPolicy
from farseal.verify import Expectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, jwk

NOW = 1_795_000_000
GOOD = Issuer(NOW, kid="first")
NEXT = Issuer(NOW, kid="second")
FIRST = jwk(GOOD.key, "first")

OPTIONS = HttpOptions(schedule=Schedule(floor=0.05, ceiling=0.2), lists=None)
IMPATIENT = replace(OPTIONS, timeouts=Timeouts(connect=1.0, head=0.4, chunk=0.4, whole=0.8))
"""For servers that never come to an end; a busy machine may make it miss an honest answer, and take the next."""
SLOW = HttpOptions(schedule=Schedule(floor=60, ceiling=60), lists=None)
"""Looks once, and then only where something else than time makes it."""

BLOCKED_SECONDS = 0.05
"""Of processor time that the loop's thread may take at one go."""


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def kids(source: TrustSource) -> set[str]:
    trust = source.snapshot.issuers.get(ISSUER)
    return set() if trust is None else set(trust.keys)


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come about in time"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def honest_requests(source: TrustSource, issuer: Issuer = GOOD) -> AsyncIterator[list[float]]:
    """Requests with a good token meanwhile: each is answered, and none finds the loop held up.

    Gives the processor seconds that the loop's thread took between two of them, which other processes cannot spoil.
    """
    token = issuer.mint()
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF))
    spans: list[float] = []

    async def ask() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.002)
            spans.append(time.thread_time() - began)
            verifier.verify(token, source.snapshot, now=NOW)

    task = asyncio.create_task(ask())
    # A collection walks over all that other tests have left in this process.
    gc.disable()
    try:
        yield spans
    finally:
        gc.enable()
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError), outcome
    assert max(spans) < BLOCKED_SECONDS, f"the loop was held up for {max(spans):.3f} s"
