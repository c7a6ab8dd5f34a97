"""Rows of `throttle`: GCRA in one statement, so that however many arrive at once, no more than the burst pass."""

from dataclasses import dataclass

from auth_server.storage.connection import Connection, affected

# The row lock of ON CONFLICT serialises callers of one key; each judges the row its predecessor left. All times are
# whole seconds since the epoch, $2 is now, $3 the interval, $4 how far ahead `whole_at` may lie and still admit.
_TAKE = """
    INSERT INTO throttle AS t (key, whole_at, admitted) VALUES ($1, $2::bigint + $3::bigint, true)
    ON CONFLICT (key) DO UPDATE
       SET whole_at = CASE WHEN t.whole_at <= $2::bigint + $4::bigint
                           THEN GREATEST(t.whole_at, $2::bigint) + $3::bigint
                           ELSE t.whole_at END,
           admitted = t.whole_at <= $2::bigint + $4::bigint
    RETURNING whole_at, admitted
"""

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
    row = await conn.fetchrow(_TAKE, key, now, interval, tolerance)
    assert row is not None  # noqa: S101 - an upsert without WHERE always returns its row
    return Taken(row["admitted"], row["whole_at"])


async def forgive(conn: Connection, key: bytes) -> None:
    """Forget the attempts of ``key``."""
    await conn.execute("DELETE FROM throttle WHERE key = $1", key)


async def sweep(conn: Connection, *, now: int, limit: int) -> int:
    """Delete at most ``limit`` rows that no longer say anything; returns how many."""
    return affected(await conn.execute(_SWEEP, now, limit))
