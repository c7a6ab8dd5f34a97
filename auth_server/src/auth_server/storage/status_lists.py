"""The tables ``status_lists`` and ``status_revocations``: SQL in, frozen records out.

Whoever adds a revocation locks the list's row FOR NO KEY UPDATE and raises its version in the same transaction. So
revocations become visible in the order of their versions, and who has read all up to a version misses none below it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from auth_server.storage.connection import Connection, affected

CHANNEL: Final = "farseal_status"
"""Of the notices that something about a list has changed."""

LOCK_ID: Final = 0x6661_7273_6C69_7374
"""Of the advisory lock under which lists are made: "farslist"."""

RANGE: Final = 1 << 20
"""Indexes that one query looks at: their answer is 4 MiB at most."""

_RETIRE_SECONDS: Final = 120
"""Bound of the statement that takes a list away, and each of its revocations with it: four million take four seconds,
and nobody waits for them. At the bound of all other statements the largest lists would stay for ever."""

_LOOKS: Final = 3
"""For an open list: one that somebody else fills up in this moment is found, waited for, and then not there."""


@dataclass(frozen=True, slots=True)
class StoredList:
    """A row, as of the moment of the query.

    Args:
        id: part of its address.
        size: how many entries it has.
        version: grows with every revocation.
        taken: how many entries have been given out.
        published: whether a publication that holds it was confirmed.
        open: whether entries are given out.
        closed: no entry is given out any more.
        closed_long: closed so long ago that nobody may hold an entry of it that is still to be used.
    """

    id: str
    size: int
    version: int
    taken: int
    published: bool
    open: bool
    closed: bool
    closed_long: bool

    @property
    def left(self) -> int:
        """Entries that are still to be given out."""
        return 0 if self.closed else self.size - self.taken

    @property
    def usable(self) -> bool:
        """Whether entries may be used that were taken before. Not of a list that was closed before it was full: that is
        a recovery, after which nobody knows which of its entries are somebody's."""
        return not self.closed_long and (not self.closed or self.taken == self.size)


@dataclass(frozen=True, slots=True)
class Block:
    """Positions of a list that are the caller's alone: ``first`` and the ``count - 1`` that follow."""

    list_id: str
    size: int
    permutation_key: bytes = field(repr=False)
    first: int
    count: int


LISTS = """
    SELECT id, size, version, taken, published_at IS NOT NULL AS published,
           closed_at IS NULL AND coalesce(open_after <= now(), false) AS open,
           closed_at IS NOT NULL AS closed, coalesce(closed_at < now() - $1 * interval '1 second', false) AS closed_long
      FROM status_lists
  ORDER BY id
"""

# Four bytes for each, so that half a million of them do not become as many objects of the event loop's thread.
REVOKED = """
    SELECT string_agg(int4send(index), ''::bytea)
      FROM status_revocations
     WHERE list_id = $1
       AND version > $2
       AND version <= $3
       AND index >= $4
       AND index < $5
"""

# The oldest list is filled first, so that it is retired first. The lock is the one of an UPDATE that changes no key:
# it does not hold up who inserts a grant. Who waited for it sees the row as it was left.
TAKE = """
      WITH chosen AS (
        SELECT id, taken AS first, least($1::integer, size - taken) AS count
          FROM status_lists
         WHERE open_after <= now()
           AND closed_at IS NULL
           AND taken < size
           AND id <> ALL($2::text[])
      ORDER BY open_after, id
         LIMIT 1
           FOR NO KEY UPDATE
      )
    UPDATE status_lists AS list
       SET taken = chosen.first + chosen.count,
           closed_at = CASE WHEN chosen.first + chosen.count = list.size THEN now() END
      FROM chosen
     WHERE list.id = chosen.id
 RETURNING list.id, list.size, list.permutation_key, chosen.first, chosen.count
"""

TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)"
LEFT = "SELECT coalesce(sum(size - taken), 0) FROM status_lists WHERE closed_at IS NULL"
INSERT = "INSERT INTO status_lists (id, size, permutation_key) VALUES ($1, $2, $3)"

# The very first list opens at once: there is no verifier that could hold an older index.
CONFIRM = """
    UPDATE status_lists AS list
       SET published_at = now(),
           open_after = now() + CASE
               WHEN EXISTS (SELECT FROM status_lists AS other WHERE other.published_at IS NOT NULL)
               THEN $2 * interval '1 second' ELSE interval '0' END
     WHERE id = ANY($1::text[])
       AND published_at IS NULL
"""

RETIRE = """
    DELETE FROM status_lists WHERE id IN (
        SELECT id
          FROM status_lists AS list
         WHERE closed_at < $1
           AND NOT EXISTS (SELECT FROM grants WHERE status_list = list.id)
      ORDER BY id
         LIMIT 1
           FOR UPDATE SKIP LOCKED
    )
 RETURNING id
"""

NOTIFY = "SELECT pg_notify($1, '')"

SWEEP_GRANTS = """
    DELETE FROM grants WHERE id IN (
        SELECT id FROM grants WHERE keep_until < $1 ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


async def lists(conn: Connection, *, closed_long_seconds: int) -> tuple[StoredList, ...]:
    """Every list, in the order of the ids."""
    return tuple(StoredList(**dict(row)) for row in await conn.fetch(LISTS, closed_long_seconds))


async def revoked(conn: Connection, list_id: str, size: int, *, above: int, up_to: int) -> tuple[bytes, ...]:
    """The indexes whose revocation has a version in (above, up_to]: big-endian, four bytes each, in no order."""
    found = []
    for first in range(0, size, RANGE):
        packed: bytes | None = await conn.fetchval(REVOKED, list_id, above, up_to, first, first + RANGE)
        if packed:
            found.append(packed)
    return tuple(found)


async def take(conn: Connection, count: int, *, without: Collection[str] = ()) -> Block | None:
    """Up to ``count`` positions that nobody had before, of an open list; None where none is open.

    Args:
        conn: a connection outside of a transaction, or the row stays locked.
        count: 1 or more.
        without: lists of which none are wanted.
    """
    for _ in range(_LOOKS):
        if (row := await conn.fetchrow(TAKE, count, list(without))) is not None:
            return Block(*row)
    return None


async def make(conn: Connection, list_id: str, *, size: int, permutation_key: bytes, enough: int) -> bool:
    """Add a list, unless ``enough`` entries are left or somebody else is adding one; True when it was added."""
    async with conn.transaction():
        if not await conn.fetchval(TRY_LOCK, LOCK_ID) or await conn.fetchval(LEFT) >= enough:
            return False
        await conn.execute(INSERT, list_id, size, permutation_key)
        await conn.execute(NOTIFY, CHANNEL)
    return True


async def confirm(conn: Connection, ids: Collection[str], *, lead_seconds: int) -> int:
    """Note that lists are published, by the database's clock; gives how many were not before.

    They open ``lead_seconds`` later, the very first one at once.
    """
    return affected(await conn.execute(CONFIRM, list(ids), lead_seconds))


async def retire(conn: Connection, *, closed_before: datetime) -> str | None:
    """Take away a list that was closed before then and that no grant names; gives its id, None where there is none.

    Raises:
        asyncpg.ForeignKeyViolationError: a grant of it was made in this moment; nothing was taken away.
    """
    async with conn.transaction():
        found: str | None = await conn.fetchval(RETIRE, closed_before, timeout=_RETIRE_SECONDS)
        if found is not None:
            await conn.execute(NOTIFY, CHANNEL)
    return found


async def sweep_grants(conn: Connection, *, now: datetime, limit: int) -> int:
    """Delete at most ``limit`` grants of which nothing matters any more; gives how many."""
    return affected(await conn.execute(SWEEP_GRANTS, now, limit))
