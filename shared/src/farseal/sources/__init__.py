"""Where published documents come from, in the background: the verifier's only I/O, never on the way of a request."""

from farseal.sources.file import DirectorySource
from farseal.sources.source import SourceStatus, TrustSource

__all__ = ["DirectorySource", "SourceStatus", "TrustSource"]
