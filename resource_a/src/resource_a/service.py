"""What can be done with notes. Refusals are values; the database being away is the only exception."""

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from farseal.clock import at
from farseal.service.postgres import database_errors
from resource_a.callers import Caller
from resource_a.cursor import MAX_POSITION
from resource_a.notes import Note, Page, Refusal
from resource_a.preconditions import Tags
from resource_a.storage import notes as table

if TYPE_CHECKING:
    import asyncpg

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
"""Notes in a page: with titles of 200 characters a page stays well under half a megabyte."""


class Notes:
    """The notes of everybody, each method showing those of its caller.

    Raises from every method:
        DatabaseUnavailable: the database is away, or has no connection to spare.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def create(self, caller: Caller, *, title: str, body: str, now: int) -> Note:
        """Store a new note, the caller's own, in its organisation."""
        async with database_errors(), self._pool.acquire() as conn:
            return await table.insert(conn, uuid4(), caller, title=title, body=body, now=at(now))

    async def read(self, caller: Caller, note_id: UUID) -> Note | Refusal:
        """Give a note of the caller's own, or one of its organisation where it may read those."""
        async with database_errors(), self._pool.acquire() as conn:
            return await table.fetch(conn, note_id, caller) or Refusal.NOT_FOUND

    async def page(self, caller: Caller, *, before: int | None, limit: int, only_own: bool) -> Page:
        """Up to ``limit`` of the notes that the caller may read, newest first."""
        async with database_errors(), self._pool.acquire() as conn:
            return await table.list_page(conn, caller, before=before or MAX_POSITION, limit=limit, only_own=only_own)

    async def replace(
        self, caller: Caller, note_id: UUID, *, expected: Tags, title: str, body: str, now: int
    ) -> Note | Refusal:
        """Write a new version over an expected one."""
        async with database_errors(), self._pool.acquire() as conn:
            written = await table.replace(
                conn, note_id, caller, versions=_versions(expected), title=title, body=body, now=at(now)
            )
            return written or await self._why_not(conn, caller, note_id)

    async def delete(self, caller: Caller, note_id: UUID, *, expected: Tags | None) -> Refusal | None:
        """Delete a note; with ``expected``, only in one of those versions."""
        async with database_errors(), self._pool.acquire() as conn:
            if await table.delete(conn, note_id, caller, versions=_versions(expected)):
                return None
            return await self._why_not(conn, caller, note_id)

    async def _why_not(self, conn: "table.Connection", caller: Caller, note_id: UUID) -> Refusal:
        """Tell why a change matched no row, from what the caller may see and nothing else.

        A note that was changed back and forth in between is told as stale: its version only ever grows, so the answer
        is true at least of the moment the change was tried.
        """
        visible = await table.fetch(conn, note_id, caller)
        if visible is None:
            return Refusal.NOT_FOUND
        return Refusal.NOT_OWNER if visible.owner != caller.subject else Refusal.STALE


def _versions(expected: Tags | None) -> list[int] | None:
    if expected is None or expected.anything:
        return None
    return sorted(expected.strong)
