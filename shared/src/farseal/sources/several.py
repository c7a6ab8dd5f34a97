"""Trust in several issuers, each fed by a worker of its own, all of it in one snapshot."""

import asyncio
from collections.abc import Iterable
from types import MappingProxyType
from typing import Self

from farseal.clock import Clock, now
from farseal.sources.keeper import TrustKeeper
from farseal.sources.source import SourceStatus, Worker
from farseal.trust import TrustSnapshot


class Sources:
    """Keeps the snapshot of a service: one `TrustKeeper`, and a worker for each issuer that feeds it.

    An async context manager, or `start` and `stop`. ``snapshot`` may be read from any thread at any time. What one
    worker meets is no other's trouble: they share the number of the snapshot and nothing else.

    Args:
        keeper: of all the issuers.
        workers: one for each issuer, made with this keeper.
        clock: seconds since the epoch, for ages.

    Raises:
        ValueError: two workers bring the documents of one issuer.
    """

    def __init__(self, keeper: TrustKeeper, workers: Iterable[Worker], *, clock: Clock = now) -> None:
        all_workers = tuple(workers)
        self._keeper = keeper
        self._clock = clock
        self._started = False
        self._workers = {worker.issuer: worker for worker in all_workers}
        if len(self._workers) != len(all_workers):
            raise ValueError("an issuer has one worker")

    @property
    def snapshot(self) -> TrustSnapshot:
        """What is trusted now."""
        return self._keeper.snapshot

    async def start(self) -> None:
        """Start every worker, all at once, so that a slow origin holds nobody else up.

        Cancelled, or broken by one of them, it stops them all before it ends: nothing runs half.

        Raises:
            RuntimeError: they run already.
            Exception: a worker broke while it started, which its contract does not allow.
        """
        if self._started:
            raise RuntimeError("the source runs already")
        self._started = True
        try:
            outcomes = await asyncio.gather(
                *(worker.start() for worker in self._workers.values()), return_exceptions=True
            )
        except BaseException:
            await self.stop()
            raise
        broken = next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
        if broken is not None:
            await self.stop()
            raise broken

    async def stop(self) -> None:
        """Stop every worker. The snapshot stays."""
        self._started = False
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()), return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def hint(self, issuer: str) -> None:
        """Hand it on to the issuer's worker; nobody else hears of it."""
        worker = self._workers.get(issuer)
        if worker is not None:
            worker.hint()

    def status(self) -> SourceStatus:
        """How they are doing, by this source's own clock."""
        workers = MappingProxyType({issuer: worker.state() for issuer, worker in self._workers.items()})
        return self._keeper.status(self._clock(), workers)
