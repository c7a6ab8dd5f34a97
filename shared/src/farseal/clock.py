"""The one place that reads the process clock; everything else is given ``now``."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

Clock = Callable[[], int]
"""Gives seconds since the epoch. Tests pass their own."""


def now() -> int:
    """Seconds since the epoch, whole, rounded down."""
    return int(time.time())  # noqa: TID251 - the one home of the clock


def at(seconds: int) -> datetime:
    """The same moment as an aware UTC datetime, as PostgreSQL wants it."""
    return datetime.fromtimestamp(seconds, UTC)


_AWAKE_OR_NOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps.

    `time.monotonic` stands still meanwhile on Linux: what is good for so many seconds would be good for days.
    """
    return time.clock_gettime(_AWAKE_OR_NOT)
