"""The one place that reads the process clock; everything else is given ``now``."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]
"""Gives seconds since the epoch. Tests pass their own."""


def now() -> int:
    """Seconds since the epoch, whole, rounded down."""
    return int(time.time())  # noqa: TID251 - the one home of the clock


def at(seconds: int) -> datetime:
    """The same moment as an aware UTC datetime, as PostgreSQL wants it."""
    return datetime.fromtimestamp(seconds, UTC)
