"""How the keys of an issuer are fetched: what an operator can choose, and what is safe where nobody chose."""

from dataclasses import dataclass, field
from pathlib import Path

from farseal.sources.address import AddressPolicy
from farseal.sources.fetch import Timeouts
from farseal.sources.schedule import ListSchedule, Schedule


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Of an `HttpWorker`; one set of them may serve many.

    Args:
        schedule: when to look again for keys.
        lists: when to look again for status lists; None never looks.
        addresses: where to, beside https.
        timeouts: of each fetch.
        ca_file: PEM certificates to trust in place of the system's.
        snapshot_directory: where copies of the last good key set and status lists are kept for the next start; None
            keeps none. Made where it is missing, for this user alone.
        hint_burst: how many looks unknown kids and lists can bring about at once, for keys and for lists each.
        hint_seconds: in which they can bring about one more.
        start_seconds: the longest that a start waits for the first looks; they go on in the background.
    """

    schedule: Schedule = field(default_factory=Schedule)
    lists: ListSchedule | None = field(default_factory=ListSchedule)
    addresses: AddressPolicy = field(default_factory=AddressPolicy)
    timeouts: Timeouts = field(default_factory=Timeouts)
    ca_file: Path | None = None
    snapshot_directory: Path | None = None
    hint_burst: int = 3
    hint_seconds: float = 30.0
    start_seconds: float = 3.0
