"""Rows of sessions: `grants`, and what their ends leave in `status_revocations`.

Whoever changes several tables in one transaction goes in this order, which is what keeps them from waiting for one
another in a circle: users and clients, then grants (by id), then status lists (by id).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID

from auth_server.grants.refresh_rules import ClientTerms
from auth_server.storage.clients import terms_in
from auth_server.storage.connection import Connection, affected, plain_uuid
from auth_server.storage.status_lists import CHANNEL, NOTIFY
from auth_server.terms import ACCESS_TOKEN_SECONDS

if TYPE_CHECKING:
    from asyncpg import Record as Row

EndedBy: TypeAlias = Literal[
    "logout",
    "revoked",
    "replay",
    "password_changed",
    "user_disabled",
    "user_deleted",
    "client_disabled",
    "client_deleted",
    "operator",
    "recovered",
]
"""What can end a session before its deadline."""

ADDRESS_BYTES: Final = 64
AGENT_CHARACTERS: Final = 256

_TOKENS_ARE_DEAD: Final = timedelta(seconds=ACCESS_TOKEN_SECONDS[1] + 3600)
"""After the end of a session: the longest life of any access token, with room for clocks and leeway."""


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A session. What makes its refresh token stays out of every repr.

    Args:
        user_id: None for a client's own.
        terms: of its client; None when that is gone.
    """

    id: UUID
    client_id: str
    user_id: UUID | None
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime
    address: str
    agent: str
    refresh_hash: bytes | None = field(repr=False)
    refresh_nonce: bytes | None = field(repr=False)
    generation: int
    recent_uses: tuple[datetime, ...]
    standing: bool
    status_list: str
    status_index: int
    ended_at: datetime | None
    ended_by: str | None
    keep_until: datetime
    terms: ClientTerms | None


@dataclass(frozen=True, slots=True)
class NewGrant:
    """A session that begins. ``history`` is how long it is shown after its end."""

    id: UUID
    client_id: str
    user_id: UUID | None
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    address: str
    agent: str
    status_list: str
    status_index: int
    history: timedelta
    refresh_hash: bytes | None = field(default=None, repr=False)
    refresh_nonce: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ending:
    """Which living sessions end, and why: those of these ids, of these users, of these clients."""

    by: EndedBy
    ids: tuple[UUID, ...] = ()
    users: tuple[UUID, ...] = ()
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndedGrant:
    """A session that has just ended."""

    id: UUID
    client_id: str
    user_id: UUID | None
    by: str
    status_list: str
    status_index: int


_COLUMNS: Final = """
    g.id, g.client_id, g.user_id, g.audience, g.scopes, g.created_at, g.expires_at, g.last_used_at, g.address, g.agent,
    g.refresh_hash, g.refresh_nonce, g.generation, g.recent_uses, g.standing, g.status_list, g.status_index,
    g.ended_at, g.ended_by, g.keep_until,
    c.refresh_policy, c.session_idle_seconds, c.session_absolute_seconds, c.refresh_grace_seconds
"""
_FROM: Final = "FROM grants g LEFT JOIN clients c ON c.id = g.client_id"


def _grant(row: "Row") -> StoredGrant:
    return StoredGrant(
        id=plain_uuid(row["id"]),
        client_id=row["client_id"],
        user_id=None if row["user_id"] is None else plain_uuid(row["user_id"]),
        audience=tuple(row["audience"]),
        scopes=tuple(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        address=row["address"],
        agent=row["agent"],
        refresh_hash=row["refresh_hash"],
        refresh_nonce=row["refresh_nonce"],
        generation=row["generation"],
        recent_uses=tuple(row["recent_uses"]),
        standing=row["standing"],
        status_list=row["status_list"],
        status_index=row["status_index"],
        ended_at=row["ended_at"],
        ended_by=row["ended_by"],
        keep_until=row["keep_until"],
        terms=None if row["refresh_policy"] is None else terms_in(row),
    )


async def find(conn: Connection, grant_id: UUID) -> StoredGrant | None:
    """The session of this id, living or not."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS} {_FROM} WHERE g.id = $1", grant_id)
    return None if row is None else _grant(row)


async def of_user(
    conn: Connection, user_id: UUID, *, living_at: datetime, idle: int, absolute: int, limit: int
) -> list[StoredGrant]:
    """The sessions of a person that live at a moment, the newest first, and no more than ``limit``.

    Args:
        conn: a connection.
        user_id: of the person.
        living_at: see `auth_server.grants.refresh_rules.over`, which this follows.
        idle: seconds, for clients without a term of their own.
        absolute: the same.
        limit: 1 or more.
    """
    rows = await conn.fetch(
        f"""
        SELECT {_COLUMNS} FROM grants g JOIN clients c ON c.id = g.client_id
         WHERE g.user_id = $1 AND g.ended_at IS NULL AND g.expires_at > $2
           AND (g.refresh_hash IS NULL
                OR (g.created_at + coalesce(c.session_absolute_seconds, $4) * interval '1 second' > $2
                    AND g.last_used_at + coalesce(c.session_idle_seconds, $3) * interval '1 second' > $2))
      ORDER BY g.created_at DESC, g.id
         LIMIT $5
        """,  # noqa: S608 - constants
        user_id, living_at, idle, absolute, limit,
    )  # fmt: skip
    return [_grant(row) for row in rows]


async def standing_of(conn: Connection, client_id: str) -> StoredGrant | None:
    """The client's own that its next token belongs to."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS} {_FROM} WHERE g.client_id = $1 AND g.standing", client_id)
    return None if row is None else _grant(row)


_INSERTED: Final = """
    INSERT INTO grants (id, client_id, user_id, audience, scopes, created_at, expires_at, last_used_at, address, agent,
                        refresh_hash, refresh_nonce, standing, status_list, status_index, keep_until)
    SELECT $1, $2, {user}, $3, $4, $5, $6, $5, $7, $8, $9, $10, {standing}, $11, $12, $6::timestamptz + $13::interval
"""


def _values(new: NewGrant) -> tuple[object, ...]:
    return (
        new.id, new.client_id, new.audience, new.scopes, new.created_at, new.expires_at,
        printable(new.address, ADDRESS_BYTES), printable(new.agent, AGENT_CHARACTERS),
        new.refresh_hash, new.refresh_nonce, new.status_list, new.status_index, max(new.history, _TOKENS_ARE_DEAD),
    )  # fmt: skip


def printable(text: str, length: int) -> str:
    """What a peer says of itself, as a column takes it: printable ASCII and no more than its length."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:length])


async def add_login(conn: Connection, new: NewGrant, *, password_changed_at: datetime | None) -> bool:
    """Begin a session of a person; False when they have been disabled or deleted, or their password has been changed.

    The person's row is locked meanwhile: whoever disables it or sets a password either comes before, and this is
    refused, or afterwards, and finds the session to end.
    """
    statement = _INSERTED.format(user="u.id", standing="false") + (
        " FROM users u WHERE u.id = $14 AND u.disabled_at IS NULL AND u.password_changed_at IS NOT DISTINCT FROM $15"
        " FOR SHARE"
    )
    return affected(await conn.execute(statement, *_values(new), new.user_id, password_changed_at)) == 1


async def add_standing(conn: Connection, new: NewGrant, *, instead_of: UUID | None) -> bool:
    """Begin a client's own, and let the one before live on to its deadline without further tokens.

    Run it inside a transaction. False when the client may not act for itself any more; another one may have begun its
    own at the same moment, which then stands: read it.
    """
    allowed = await conn.fetchrow(
        """
        SELECT FROM clients
         WHERE id = $1 AND disabled_at IS NULL AND 'client_credentials' = ANY (grant_types) FOR SHARE
        """,
        new.client_id,
    )
    if allowed is None:
        return False
    if instead_of is not None:
        await conn.execute("UPDATE grants SET standing = false WHERE id = $1 AND standing", instead_of)
    statement = _INSERTED.format(user="NULL", standing="true") + " ON CONFLICT (client_id) WHERE standing DO NOTHING"
    await conn.execute(statement, *_values(new))
    return True


async def end(conn: Connection, endings: Sequence[Ending], *, at: datetime) -> tuple[EndedGrant, ...]:
    """End sessions, and set their bits in the status lists: the one way in which any session ends.

    Run it inside a transaction, after every change of users and clients. One that has ended already stays as it is.
    The version of each list grows under a lock that is held to the commit: who has read the revocations up to a version
    misses none of them.
    """
    reasons: dict[UUID, str] = {}
    for ending in endings:
        for grant_id in await _chosen(conn, ending):
            reasons.setdefault(grant_id, ending.by)
    if not reasons:
        return ()
    rows = await conn.fetch(
        """
        UPDATE grants g
           SET ended_at = $3, ended_by = w.by, standing = false,
               keep_until = $3::timestamptz + (g.keep_until - g.expires_at)
          FROM (SELECT l.id, r.by
                  FROM (SELECT id FROM grants WHERE id = ANY ($1::uuid[]) AND ended_at IS NULL
                         ORDER BY id FOR UPDATE) l
                  JOIN unnest($1::uuid[], $2::text[]) AS r (id, by) ON r.id = l.id) w
         WHERE g.id = w.id
        RETURNING g.id, g.client_id, g.user_id, g.ended_by, g.status_list, g.status_index
        """,
        list(reasons), list(reasons.values()), at,
    )  # fmt: skip
    ended = tuple(
        EndedGrant(
            id=plain_uuid(row["id"]),
            client_id=row["client_id"],
            user_id=None if row["user_id"] is None else plain_uuid(row["user_id"]),
            by=row["ended_by"],
            status_list=row["status_list"],
            status_index=row["status_index"],
        )
        for row in rows
    )
    await _revoke(conn, ended)
    return ended


async def _chosen(conn: Connection, ending: Ending) -> list[UUID]:
    found = list(ending.ids)
    if ending.users:
        rows = await conn.fetch(
            "SELECT id FROM grants WHERE user_id = ANY ($1::uuid[]) AND user_id IS NOT NULL AND ended_at IS NULL",
            ending.users,
        )
        found += [plain_uuid(row["id"]) for row in rows]
    if ending.clients:
        rows = await conn.fetch(
            "SELECT id FROM grants WHERE client_id = ANY ($1::text[]) AND ended_at IS NULL", ending.clients
        )
        found += [plain_uuid(row["id"]) for row in rows]
    return found


async def _revoke(conn: Connection, ended: Sequence[EndedGrant]) -> None:
    if not ended:
        return
    lists = sorted({grant.status_list for grant in ended})
    await conn.execute("SELECT FROM status_lists WHERE id = ANY ($1::text[]) ORDER BY id FOR NO KEY UPDATE", lists)
    await conn.execute(
        """
        WITH raised AS (
            UPDATE status_lists SET version = version + 1 WHERE id = ANY ($1::text[]) RETURNING id, version
        )
        INSERT INTO status_revocations (list_id, index, version)
        SELECT r.id, e.index, r.version
          FROM unnest($2::text[], $3::integer[]) AS e (list_id, index)
          JOIN raised r ON r.id = e.list_id
        ON CONFLICT DO NOTHING
        """,
        lists, [grant.status_list for grant in ended], [grant.status_index for grant in ended],
    )  # fmt: skip
    await conn.execute(NOTIFY, CHANNEL)


async def begun_too_late(conn: Connection, *, since: datetime) -> list[UUID]:
    """Living sessions of clients that were disabled after ``since``: they began while that was being done."""
    rows = await conn.fetch(
        """
        SELECT g.id FROM clients c JOIN grants g ON g.client_id = c.id
         WHERE c.disabled_at >= $1 AND g.ended_at IS NULL
        """,
        since,
    )
    return [plain_uuid(row["id"]) for row in rows]
