"""What the load saw, in slots of a tenth of a second: small enough to stream, and to tell one moment from another.

Latencies are counted in buckets that grow by 5 %, so a percentile is right within that, over any set of slots, however
many requests they hold (pure).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SLOT_SECONDS: Final = 0.1
GROWTH: Final = math.log(1.05)
LEAST_MICROSECONDS: Final = 1.0


def slot_of(moment: float) -> int:
    """Number the slot that a moment (``time.monotonic``) falls into; a slot begins at its number times its length."""
    return math.floor(moment / SLOT_SECONDS)


def bucket_of(seconds: float) -> int:
    """Number the bucket of a latency."""
    return math.floor(math.log(max(LEAST_MICROSECONDS, seconds * 1e6)) / GROWTH)


def bucket_milliseconds(bucket: int) -> float:
    """Give the upper end of a bucket."""
    return math.exp((bucket + 1) * GROWTH) / 1000


@dataclass(slots=True)
class Slot:
    """Requests that ended in one slot."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By server and kind."""
    took: Counter[int] = field(default_factory=Counter)
    """By bucket of the latency, of the good ones: a refusal is quick and would flatter."""

    def add(self, server: str, kind: str, seconds: float, *, good: bool) -> None:
        """Count one."""
        self.answers[server, kind] += 1
        if good:
            self.took[bucket_of(seconds)] += 1

    def encoded(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "answers": [[server, kind, count] for (server, kind), count in self.answers.items()],
            "took": [[bucket, count] for bucket, count in self.took.items()],
        }

    @classmethod
    def decoded(cls, value: Mapping[str, Any]) -> "Slot":
        """Read it again."""
        answers = Counter({(server, kind): count for server, kind, count in value["answers"]})
        return cls(answers, Counter(dict(value["took"])))


def merged(slots: Iterable[Slot]) -> Slot:
    """Add slots up."""
    total = Slot()
    for slot in slots:
        total.answers.update(slot.answers)
        total.took.update(slot.took)
    return total


def percentile_milliseconds(took: Mapping[int, int], share: float) -> float | None:
    """Give the latency that this share of requests does not exceed; None without requests.

    Args:
        took: requests by bucket.
        share: 0 to 1; 0.99 for p99.
    """
    total = sum(took.values())
    if total == 0:
        return None
    rank, passed = max(1, math.ceil(share * total)), 0
    for bucket in sorted(took):
        passed += took[bucket]
        if passed >= rank:
            return bucket_milliseconds(bucket)
    raise AssertionError("the counts add up to their sum")


def within(windows: Iterable[tuple[float, float]], number: int) -> bool:
    """Tell whether a slot touches one of these spans of time; their ends are out."""
    begin, end = number * SLOT_SECONDS, (number + 1) * SLOT_SECONDS
    return any(since < end and begin < until for since, until in windows)
