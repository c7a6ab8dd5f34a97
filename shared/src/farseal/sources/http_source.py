"""The source of a service with one issuer, whose keys come from an address."""

from farseal.clock import Clock, now
from farseal.sources.address import shown
from farseal.sources.http import HttpWorker
from farseal.sources.keeper import TrustKeeper
from farseal.sources.options import HttpOptions
from farseal.sources.several import Sources
from farseal.trust import AgeLimits, StatusLimits


class HttpSource(Sources):
    """Keeps a snapshot of one issuer and its status lists, fetched in the background.

    Args:
        url: of the key set; None asks the issuer's metadata for it, once.
        issuer: whose keys they are.
        limits: of the age.
        options: of the fetching.
        status_limits: of the age of status lists, since they were issued.
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
        status_limits: StatusLimits = StatusLimits(),  # noqa: B008 - frozen
        clock: Clock = now,
    ) -> None:
        self.issuer = issuer
        origin = f"the metadata of {issuer}" if url is None else shown(url)
        keeper = TrustKeeper({issuer: origin}, limits, status_limits)
        self._worker = HttpWorker(keeper, issuer, url, options, limits=limits, clock=clock)
        super().__init__(keeper, (self._worker,), clock=clock)

    @property
    def disk_failures(self) -> int:
        """How often a disk copy could not be kept."""
        return self._worker.disk_failures
