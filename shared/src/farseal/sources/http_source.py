"""The source of a service with one issuer, whose keys come from an address."""

from dataclasses import replace
from types import MappingProxyType
from typing import Self

from farseal.clock import Clock, now
from farseal.sources.http import HttpWorker
from farseal.sources.keeper import TrustKeeper
from farseal.sources.options import HttpOptions
from farseal.sources.source import SourceStatus
from farseal.trust import AgeLimits, TrustSnapshot


class HttpSource:
    """Keeps a snapshot of one issuer, fetched in the background.

    An async context manager, or `start` and `stop`. ``snapshot`` may be read from any thread at any time.

    Args:
        url: of the key set; None asks the issuer's metadata for it, once.
        issuer: whose keys they are.
        limits: of the age.
        options: of the fetching.
        clock: seconds since the epoch.

    Raises:
        AddressError: keys must not be fetched from there.
    """

    def __init__(
        self,
        url: str | None,
        issuer: str,
        limits: AgeLimits = AgeLimits(),  # noqa: B008 - frozen
        options: HttpOptions = HttpOptions(),  # noqa: B008 - frozen
        *,
        clock: Clock = now,
    ) -> None:
        self.issuer = issuer
        self._clock = clock
        self._keeper = TrustKeeper({issuer: url or f"the metadata of {issuer}"}, limits)
        self._worker = HttpWorker(self._keeper, issuer, url, options, limits=limits, clock=clock)

    @property
    def snapshot(self) -> TrustSnapshot:
        """What is trusted now."""
        return self._keeper.snapshot

    @property
    def disk_failures(self) -> int:
        """How often the disk copy could not be kept."""
        return self._worker.disk_failures

    async def start(self) -> None:
        """Load what the disk has and look once, for a few seconds at most; then go on in the background.

        Raises:
            RuntimeError: it runs already.
        """
        await self._worker.start()

    async def stop(self) -> None:
        """End the background work. The snapshot stays."""
        await self._worker.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def hint(self, issuer: str) -> None:
        """A token of the issuer names a key that is not known. Of another issuer: nothing."""
        if issuer == self.issuer:
            self._worker.hint()

    def status(self) -> SourceStatus:
        """How it is doing, by the source's own clock."""
        workers = MappingProxyType({self.issuer: self._worker.state()})
        return replace(self._keeper.status(self._clock()), workers=workers)
