"""Rows of `throttle`: GCRA in one statement, so that however many arrive at once, no more than the burst pass."""

from dataclasses import dataclass
from typing import Final

from auth_server.storage.connection import Connection, affected

CLOCK_SECONDS: Final = 60
"""How far the clocks of replicas may be apart. A row further ahead than this and its limit allow was written by a clock
that was wrong and has been set back; nobody waits until its time comes again."""

# The row lock of ON CONFLICT serialises callers of one key; each judges the row its predecessor left. All times are
# whole seconds since the epoch, $2 is now, $3 the interval, $4 how far ahead `whole_at` may lie and still admit,
# $5 `CLOCK_SECONDS`. `whole_at` is never written further ahead than $2 + $4 + $3.
_BEFORE: Final = """
    (CASE WHEN t.whole_at > $2::bigint + $4::bigint + $3::bigint + $5::bigint
          THEN $2::bigint + $4::bigint + $3::bigint
          ELSE t.whole_at END)
"""
_TAKE: Final = f"""
    INSERT INTO throttle AS t (key, whole_at, admitted) VALUES ($1, $2::bigint + $3::bigint, true)
    ON CONFLICT (key) DO UPDATE
       SET whole_at = CASE WHEN {_BEFORE} <= $2::bigint + $4::bigint
                           THEN GREATEST(t.whole_at, $2::bigint) + $3::bigint
                           ELSE {_BEFORE} END,
           admitted = {_BEFORE} <= $2::bigint + $4::bigint
    RETURNING whole_at, admitted
"""  # noqa: S608 - constants

# SKIP LOCKED: a row that somebody is counting on right now is not old, and nobody waits for the cleaner.
_SWEEP = """
    DELETE FROM throttle WHERE key IN (
        SELECT key FROM throttle WHERE whole_at <= $1 ORDER BY whole_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """The row after an attempt: was it admitted, and when is the allowance whole again (seconds since the epoch)."""

    admitted: bool
    whole_at: int


async def take(conn: Connection, key: bytes, *, interval: int, tolerance: int, now: int) -> Taken:
    """Count one attempt of ``key``, or refuse it and count nothing.

    Args:
        interval: seconds that one attempt costs.
        tolerance: seconds of cost that may be outstanding before an attempt and still admit it.
    """
    row = await conn.fetchrow(_TAKE, key, now, interval, tolerance, CLOCK_SECONDS)
    assert row is not None  # noqa: S101 - an upsert without WHERE always returns its row
    return Taken(row["admitted"], row["whole_at"])


async def forget(conn: Connection, key: bytes) -> None:
    """Forget the attempts of ``key``."""
    await conn.execute("DELETE FROM throttle WHERE key = $1", key)


async def give_back(conn: Connection, key: bytes, *, seconds: int) -> None:
    """Take ``seconds`` of cost off what is outstanding for ``key``."""
    await conn.execute("UPDATE throttle SET whole_at = whole_at - $2 WHERE key = $1", key, seconds)


async def sweep(conn: Connection, *, now: int, limit: int) -> int:
    """Delete at most ``limit`` rows that no longer say anything; returns how many."""
    return affected(await conn.execute(_SWEEP, now, limit))
