"""Where published documents come from, in the background: the verifier's only I/O, never on the way of a request."""

from farseal.sources.address import AddressError, AddressPolicy
from farseal.sources.fetch import Timeouts
from farseal.sources.file import DirectorySource, DirectoryWorker
from farseal.sources.http import HttpWorker
from farseal.sources.http_source import HttpSource
from farseal.sources.keeper import TrustKeeper
from farseal.sources.lists import FoundLists
from farseal.sources.options import HttpOptions
from farseal.sources.schedule import ListSchedule, Schedule
from farseal.sources.several import Sources
from farseal.sources.source import IssuerStatus, ListsStatus, SourceStatus, TrustSource, Worker, WorkerState

__all__ = [
    "AddressError",
    "AddressPolicy",
    "DirectorySource",
    "DirectoryWorker",
    "FoundLists",
    "HttpOptions",
    "HttpSource",
    "HttpWorker",
    "IssuerStatus",
    "ListSchedule",
    "ListsStatus",
    "Schedule",
    "SourceStatus",
    "Sources",
    "Timeouts",
    "TrustKeeper",
    "TrustSource",
    "Worker",
    "WorkerState",
]
