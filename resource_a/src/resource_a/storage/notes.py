"""The table ``notes``. Who may see a row is part of every statement, so that no code path can forget to ask."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

import asyncpg

from resource_a.callers import Caller
from resource_a.notes import Note, NoteSummary, Page

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

INSERT: Final = """
    INSERT INTO notes (id, issuer, owner, org_id, title, body, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
 RETURNING id, owner, org_id, title, body, created_at, updated_at, version
"""

FETCH: Final = """
    SELECT id, owner, org_id, title, body, created_at, updated_at, version
      FROM notes
     WHERE id = $1
       AND issuer = $2
       AND (owner = $3 OR org_id = $4)
"""

LIST_OWN: Final = """
    SELECT position, id, owner, org_id, title, characters, created_at, updated_at, version
      FROM notes
     WHERE issuer = $1
       AND owner = $2
       AND position < $3
  ORDER BY position DESC
     LIMIT $4
"""

# Two walks down two indexes, each of a page at most: an OR would sort all that the caller may see for every page.
LIST_OWN_AND_ORG: Final = """
    SELECT position, id, owner, org_id, title, characters, created_at, updated_at, version
      FROM (
            (SELECT * FROM notes
              WHERE issuer = $1 AND owner = $2 AND position < $3
           ORDER BY position DESC LIMIT $4)
          UNION ALL
            (SELECT * FROM notes
              WHERE issuer = $1 AND org_id = $5 AND owner <> $2 AND position < $3
           ORDER BY position DESC LIMIT $4)
           ) AS visible
  ORDER BY position DESC
     LIMIT $4
"""

REPLACE: Final = """
    UPDATE notes
       SET title = $5,
           body = $6,
           updated_at = greatest($7, created_at),
           version = version + 1
     WHERE id = $1
       AND issuer = $2
       AND owner = $3
       AND ($4::integer[] IS NULL OR version = ANY ($4))
 RETURNING id, owner, org_id, title, body, created_at, updated_at, version
"""

DELETE: Final = """
    DELETE FROM notes
     WHERE id = $1
       AND issuer = $2
       AND owner = $3
       AND ($4::integer[] IS NULL OR version = ANY ($4))
 RETURNING id
"""


async def insert(conn: "Connection", note_id: UUID, caller: Caller, *, title: str, body: str, now: datetime) -> Note:
    """Store a new note of the caller's."""
    row = await conn.fetchrow(INSERT, note_id, caller.issuer, caller.subject, caller.org_id, title, body, now)
    assert row is not None, "INSERT ... RETURNING gives its row"  # noqa: S101 - for the type checker
    return Note(**row)


async def fetch(conn: "Connection", note_id: UUID, caller: Caller) -> Note | None:
    """The note, if it exists and the caller may read it; the two cases of ``None`` cannot be told apart."""
    row = await conn.fetchrow(FETCH, note_id, caller.issuer, caller.subject, caller.readable_org)
    return None if row is None else Note(**row)


async def list_page(conn: "Connection", caller: Caller, *, before: int, limit: int, only_own: bool) -> Page:
    """At most ``limit`` notes created before position ``before``, newest first.

    The order is that of creation and never changes, so a page neither repeats nor skips a note that was there when the
    first page was read, whatever is created or deleted meanwhile.
    """
    asked = limit + 1
    if only_own or caller.readable_org is None:
        rows = await conn.fetch(LIST_OWN, caller.issuer, caller.subject, before, asked)
    else:
        rows = await conn.fetch(LIST_OWN_AND_ORG, caller.issuer, caller.subject, before, asked, caller.readable_org)
    shown = rows[:limit]
    return Page(
        notes=tuple(_summary(row) for row in shown),
        next_position=shown[-1]["position"] if len(rows) > limit else None,
    )


async def replace(
    conn: "Connection",
    note_id: UUID,
    caller: Caller,
    *,
    versions: Sequence[int] | None,
    title: str,
    body: str,
    now: datetime,
) -> Note | None:
    """Write a new version over one of ``versions`` (``None``: over any), if the note is the caller's own.

    One statement: of two writers that hold the same version the second waits on the row, looks again and matches
    nothing (READ COMMITTED). Why nothing matched is for the service to find out.
    """
    row = await conn.fetchrow(REPLACE, note_id, caller.issuer, caller.subject, versions, title, body, now)
    return None if row is None else Note(**row)


async def delete(conn: "Connection", note_id: UUID, caller: Caller, *, versions: Sequence[int] | None) -> bool:
    """Delete the caller's own note in one of ``versions`` (``None``: in any); whether there was one to delete."""
    return await conn.fetchval(DELETE, note_id, caller.issuer, caller.subject, versions) is not None


def _summary(row: asyncpg.Record) -> NoteSummary:
    values = dict(row)
    del values["position"]
    return NoteSummary(**values)
