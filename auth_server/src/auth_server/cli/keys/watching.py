"""What `keys watch` has seen: the last look, how fast keys sign, and since when the database says nothing."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from auth_server.cli.keys.access import Look
from auth_server.cli.keys.live import Row, rows_of
from auth_server.keys.policy import RotationPolicy

WINDOW_SECONDS: Final = 10.0
"""Over which signatures per second are counted: servers add theirs to the database every second or so."""


class Watching:
    """Between two looks time goes on by the monotonic clock, so that ages and countdowns do, too."""

    def __init__(self, policy: RotationPolicy, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.policy = policy
        self.trouble: str | None = None
        self._monotonic = monotonic
        self._last: tuple[float, Look] | None = None
        self._counts: deque[tuple[float, dict[str, int]]] = deque()

    @property
    def sequence(self) -> int | None:
        """Of the last look."""
        return None if self._last is None else self._last[1].sequence

    def saw(self, found: Look) -> None:
        """Take over a look."""
        at = self._monotonic()
        self.trouble = None
        self._last = (at, found)
        self._counts.append((at, {one.kid: one.signatures for one in found.stored}))
        while len(self._counts) > 2 and self._counts[1][0] <= at - WINDOW_SECONDS:
            self._counts.popleft()

    def missed(self, trouble: str) -> None:
        """The database could not be asked."""
        self.trouble = trouble

    def silent_seconds(self) -> int:
        """Since the last look."""
        return 0 if self._last is None else int(self._monotonic() - self._last[0])

    def now(self) -> int | None:
        """Seconds since the epoch by the database's clock; None before the first look."""
        return None if self._last is None else self._last[1].now + self.silent_seconds()

    def rate(self, kid: str) -> float | None:
        """Signatures a second over the window; None before the second look at the key."""
        seen = [(at, counts[kid]) for at, counts in tuple(self._counts) if kid in counts]
        if len(seen) < 2 or seen[-1][0] <= seen[0][0]:
            return None
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])

    def rows(self) -> tuple[Row, ...]:
        """A row for each living key, as of `now`."""
        now = self.now()
        if self._last is None or now is None:
            return ()
        return rows_of(self._last[1].stored, self.policy, now, self.rate)
