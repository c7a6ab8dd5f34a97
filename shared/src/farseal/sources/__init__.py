"""Where published documents come from, in the background: the verifier's only I/O, never on the way of a request."""

from farseal.sources.file import DirectorySource
from farseal.sources.source import IssuerStatus, SourceStatus, TrustSource, Worker, WorkerState

__all__ = ["DirectorySource", "IssuerStatus", "SourceStatus", "TrustSource", "Worker", "WorkerState"]
