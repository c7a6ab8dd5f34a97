"""What happens to the keys, as a verifier sees it: in the published document and nowhere else."""

import asyncio
import json
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.05
BEFORE_SECONDS, AFTER_SECONDS = 0.5, 1.5
"""Around a change: the replicas prepare it, and the verifiers learn it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A key set."""

    kids: frozenset[str]
    sequence: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the document, and what it shows."""

    at: float
    """``time.monotonic``."""
    announced: tuple[str, ...]
    """Keys that were not there before."""
    retired: tuple[str, ...]
    """Keys that are there no more."""
    sequence: int
    """With no key come or gone it moves when one begins to sign."""


@dataclass(slots=True)
class Watch:
    """Looks at the folder, again and again.

    Args:
        file: the key set.
    """

    file: Path
    changes: list[Change] = field(default_factory=list)
    _known: Document | None = None
    _stamp: tuple[int, int] = (0, 0)

    async def run(self) -> None:
        """Watch until cancelled. A moment without the file, or with half of one, is none of a publisher that renames;
        it is passed over here and would be a failure at the verifiers."""
        while True:
            try:
                stat = self.file.stat()
                if (stat.st_mtime_ns, stat.st_ino) != self._stamp:
                    self._stamp = (stat.st_mtime_ns, stat.st_ino)
                    self.learn(read(self.file.read_bytes()), time.monotonic())
            except (OSError, ValueError):
                pass
            await asyncio.sleep(LOOK_SECONDS)

    def learn(self, document: Document, at: float) -> None:
        """Take note of a document."""
        known, self._known = self._known, document
        if known is not None and known != document:
            self.changes.append(changed(known, document, at))


def read(body: bytes) -> Document:
    """Read a key set.

    Raises:
        ValueError: it is none.
    """
    try:
        value = json.loads(body)
        return Document(frozenset(key["kid"] for key in value["keys"]), value["farseal"]["sequence"])
    except (LookupError, TypeError) as error:
        raise ValueError("no key set of ours") from error


def changed(before: Document, after: Document, at: float) -> Change:
    """Tell two documents apart (pure)."""
    return Change(at, tuple(sorted(after.kids - before.kids)), tuple(sorted(before.kids - after.kids)), after.sequence)


def windows(changes: Collection[Change]) -> list[tuple[float, float]]:
    """Give the spans of time around changes; what overlaps is one span (pure)."""
    spans: list[tuple[float, float]] = []
    for change in sorted(changes, key=lambda change: change.at):
        since, until = change.at - BEFORE_SECONDS, change.at + AFTER_SECONDS
        if spans and since <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(until, spans[-1][1]))
        else:
            spans.append((since, until))
    return spans
