"""Sessions as an operator looks for them: rows of `grants` beside who they belong to. No secret is read."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from auth_server.grants.refresh_rules import ClientTerms
from auth_server.storage.clients import terms_in
from auth_server.storage.connection import Connection, plain_uuid

if TYPE_CHECKING:
    from asyncpg import Record as Row


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session, living or not.

    Args:
        user_id: None for a client's own.
        username: None too when the person is gone.
        refreshable: it has a refresh token.
        terms: of its client; those of any other one when that is gone.
        revoked_in: the version of its status list that says that it has ended; None: none does.
    """

    id: UUID
    client_id: str
    user_id: UUID | None
    username: str | None
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime
    address: str
    agent: str
    refreshable: bool
    generation: int
    standing: bool
    status_list: str
    status_index: int
    revoked_in: int | None
    ended_at: datetime | None
    ended_by: str | None
    keep_until: datetime
    terms: ClientTerms


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions: those of a person, of a client, of both, or all; None stands for anybody.

    ``ended`` False leaves out those that something has ended.
    """

    user_id: UUID | None = None
    client_id: str | None = None
    ended: bool = True


_SELECT: Final = """
    SELECT g.id, g.client_id, g.user_id, u.username, g.audience, g.scopes, g.created_at, g.expires_at, g.last_used_at,
           g.address, g.agent, g.refresh_hash IS NOT NULL AS refreshable, g.generation, g.standing,
           g.status_list, g.status_index, r.version AS revoked_in, g.ended_at, g.ended_by, g.keep_until,
           c.refresh_policy, c.session_idle_seconds, c.session_absolute_seconds, c.refresh_grace_seconds
      FROM grants g
      LEFT JOIN users u ON u.id = g.user_id
      LEFT JOIN clients c ON c.id = g.client_id
      LEFT JOIN status_revocations r ON r.list_id = g.status_list AND r.index = g.status_index
"""
_OF_WANTED: Final = "($1::uuid IS NULL OR g.user_id = $1) AND ($2::text IS NULL OR g.client_id = $2)"


def _row(row: "Row") -> SessionRow:
    return SessionRow(
        id=plain_uuid(row["id"]),
        client_id=row["client_id"],
        user_id=None if row["user_id"] is None else plain_uuid(row["user_id"]),
        username=row["username"],
        audience=tuple(row["audience"]),
        scopes=tuple(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        address=row["address"],
        agent=row["agent"],
        refreshable=row["refreshable"],
        generation=row["generation"],
        standing=row["standing"],
        status_list=row["status_list"],
        status_index=row["status_index"],
        revoked_in=row["revoked_in"],
        ended_at=row["ended_at"],
        ended_by=row["ended_by"],
        keep_until=row["keep_until"],
        terms=ClientTerms() if row["refresh_policy"] is None else terms_in(row),
    )


async def find(conn: Connection, session_id: UUID) -> SessionRow | None:
    """The session of this id."""
    row = await conn.fetchrow(f"{_SELECT} WHERE g.id = $1", session_id)
    return None if row is None else _row(row)


async def last_used_first(conn: Connection, wanted: Wanted) -> AsyncGenerator[SessionRow]:
    """Sessions one after the other, for who stops when they have enough. Run it inside a transaction."""
    living = "" if wanted.ended else "AND g.ended_at IS NULL"
    statement = f"{_SELECT} WHERE {_OF_WANTED} {living} ORDER BY g.last_used_at DESC, g.id"
    async for row in conn.cursor(statement, wanted.user_id, wanted.client_id, prefetch=200):
        yield _row(row)


async def unended(conn: Connection, wanted: Wanted) -> list[UUID]:
    """Every session that nothing has ended, those whose time has come included: a token of theirs may be alive."""
    rows = await conn.fetch(
        f"SELECT g.id FROM grants g WHERE {_OF_WANTED} AND g.ended_at IS NULL ORDER BY g.id",  # noqa: S608 - a constant
        wanted.user_id, wanted.client_id,
    )  # fmt: skip
    return [plain_uuid(row["id"]) for row in rows]
