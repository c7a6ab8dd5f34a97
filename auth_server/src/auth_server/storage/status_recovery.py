"""What a recovery does to the tables of status lists and grants."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from auth_server.storage.connection import Connection, affected, plain_uuid
from auth_server.storage.status_lists import CHANNEL, NOTIFY

_SECONDS: Final = 600
"""Bound of one statement: a million revocations take some ten seconds."""

ADD = """
    INSERT INTO status_lists (id, size, permutation_key, taken, version, published_at, open_after, closed_at)
         VALUES ($1, $2, $3, $2, $4, $5, $5, $5)
    ON CONFLICT (id) DO NOTHING
"""
RAISE = "UPDATE status_lists SET version = greatest(version, $2) + 1 WHERE id = $1 RETURNING version"
REVOKE = """
    INSERT INTO status_revocations (list_id, index, version)
         SELECT list.id, given.index, $3
           FROM status_lists AS list, unnest($2::integer[]) AS given (index)
          WHERE list.id = $1
            AND given.index < list.size
    ON CONFLICT DO NOTHING
"""
LIVING = """
    SELECT id FROM grants WHERE status_list = $1 AND status_index = ANY($2::integer[]) AND ended_at IS NULL
"""
LOCK_GRANTS = "SELECT FROM grants WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
LOCK_LISTS = "SELECT FROM status_lists ORDER BY id FOR NO KEY UPDATE"
COUNT = "SELECT count(*) FROM status_revocations WHERE list_id = ANY($1::text[])"
CLOSE_ALL = """
    UPDATE status_lists SET closed_at = $1 WHERE closed_at IS NULL
"""


async def add(conn: Connection, list_id: str, *, size: int, version: int, now: datetime) -> bool:
    """Add a list from which nothing is given out; False when it is there."""
    return affected(await conn.execute(ADD, list_id, size, os.urandom(16), version, now)) == 1


async def raise_above(conn: Connection, list_id: str, published: int) -> int:
    """Give a list a version above its own and above ``published``, which locks its row."""
    found: int = await conn.fetchval(RAISE, list_id, published)
    return found


async def revoke(conn: Connection, list_id: str, indexes: Sequence[int], *, version: int) -> None:
    """Set entries."""
    await conn.execute(REVOKE, list_id, indexes, version, timeout=_SECONDS)


async def living(conn: Connection, list_id: str, indexes: Sequence[int]) -> list[UUID]:
    """The grants that have these entries, and that nothing has ended."""
    rows = await conn.fetch(LIVING, list_id, indexes, timeout=_SECONDS)
    return [plain_uuid(row["id"]) for row in rows]


async def lock(conn: Connection, ids: Sequence[UUID]) -> None:
    """Lock these grants and all lists, in the order in which everybody does."""
    await conn.execute(LOCK_GRANTS, ids, timeout=_SECONDS)
    await conn.execute(LOCK_LISTS, timeout=_SECONDS)


async def count(conn: Connection, ids: Sequence[str]) -> int:
    """How many entries of these lists are set."""
    found: int = await conn.fetchval(COUNT, ids, timeout=_SECONDS)
    return found


async def close_all(conn: Connection, *, now: datetime) -> int:
    """Give out nothing of any list any more, and say so; gives how many lists were not closed."""
    closed = affected(await conn.execute(CLOSE_ALL, now))
    await conn.execute(NOTIFY, CHANNEL)
    return closed
