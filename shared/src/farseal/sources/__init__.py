"""Where published documents come from, in the background: the verifier's only I/O, never on the way of a request."""

from farseal.sources.file import DirectorySource, DirectoryWorker
from farseal.sources.keeper import TrustKeeper
from farseal.sources.several import Sources
from farseal.sources.source import IssuerStatus, SourceStatus, TrustSource, Worker, WorkerState

__all__ = [
    "DirectorySource",
    "DirectoryWorker",
    "IssuerStatus",
    "SourceStatus",
    "Sources",
    "TrustKeeper",
    "TrustSource",
    "Worker",
    "WorkerState",
]
