"""The source of a service with one issuer, whose keys come from an address."""

from farseal.clock import Clock, now
from farseal.sources.address import shown
from farseal.sources.http import HttpWorker
from farseal.sources.keeper import TrustKeeper
from farseal.sources.options import HttpOptions
from farseal.sources.several import Sources
from farseal.trust import AgeLimits


class HttpSource(Sources):
    """Keeps a snapshot of one issuer, fetched in the background.

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
        keeper = TrustKeeper({issuer: f"the metadata of {issuer}" if url is None else shown(url)}, limits)
        self._worker = HttpWorker(keeper, issuer, url, options, limits=limits, clock=clock)
        super().__init__(keeper, (self._worker,), clock=clock)

    @property
    def disk_failures(self) -> int:
        """How often the disk copy could not be kept."""
        return self._worker.disk_failures
