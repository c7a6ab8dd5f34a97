"""From settings to the source of trust that they describe."""

from farseal.clock import Clock, now
from farseal.environment import SettingsError
from farseal.settings.issuer import IssuerSettings
from farseal.settings.origins import PREFIX, addresses
from farseal.settings.trust import TrustSettings
from farseal.sources import DirectoryWorker, Sources, TrustKeeper, Worker
from farseal.sources.http import HttpWorker
from farseal.sources.options import HttpOptions
from farseal.sources.schedule import ListSchedule, Schedule
from farseal.status_list import StatusPolicy


def source_of(settings: TrustSettings, *, clock: Clock = now) -> Sources:
    """A source for every issuer of the settings: one keeper, and a worker for each. Not started.

    Raises:
        SettingsError: they do not say where the documents of an issuer are.
    """
    origins = {one.issuer: one.origin for one in settings.trusted}
    if faults := [
        f"{PREFIX}TRUST_DIRECTORY: is not set, nor is another place of the documents of {issuer}"
        for issuer, origin in origins.items()
        if origin is None
    ]:
        raise SettingsError(faults)
    keeper = TrustKeeper(
        {issuer: origin or "" for issuer, origin in origins.items()}, settings.limits, settings.status_limits
    )
    return Sources(keeper, [_worker(one, keeper, settings, clock) for one in settings.trusted], clock=clock)


def _worker(one: IssuerSettings, keeper: TrustKeeper, settings: TrustSettings, clock: Clock) -> Worker:
    if one.trust_directory is not None:
        return DirectoryWorker(keeper, one.issuer, one.trust_directory, clock=clock)
    options = _options(settings, one.status)
    return HttpWorker(keeper, one.issuer, one.trust_url, options, limits=settings.limits, clock=clock)


def _options(settings: TrustSettings, status: StatusPolicy) -> HttpOptions:
    floor, ceiling = settings.refresh_floor_seconds, settings.refresh_ceiling_seconds
    usual = min(max(Schedule().usual, floor), ceiling)
    return HttpOptions(
        schedule=Schedule(floor=floor, ceiling=ceiling, usual=usual),
        lists=None if status is StatusPolicy.OFF else ListSchedule.every(settings.status_refresh_seconds),
        addresses=addresses(settings.trust_http_hosts),
        ca_file=settings.trust_ca_file,
        snapshot_directory=settings.trust_snapshot_directory,
    )
