"""Rows of machines: `clients`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from auth_server.grants.refresh_rules import ClientTerms
from auth_server.storage.connection import Connection, affected

if TYPE_CHECKING:
    from asyncpg import Record as Row


@dataclass(frozen=True, slots=True)
class Client:
    """A program that asks for tokens. ``access_token_seconds`` None means the server's own setting.

    ``terms`` are those of the sessions that are opened through it.
    """

    id: str
    name: str
    grant_types: tuple[str, ...]
    access_token_seconds: int | None
    terms: ClientTerms
    has_secret: bool
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a client is authenticated against. The hash stays out of every repr."""

    client: Client
    secret_hash: bytes | None = field(repr=False)


_USUAL: Final = ClientTerms()

_COLUMNS = """
    id, name, grant_types, access_token_seconds, secret_hash IS NOT NULL AS has_secret,
    disabled_at, created_at, updated_at,
    refresh_policy, session_idle_seconds, session_absolute_seconds, refresh_grace_seconds
"""


def terms_in(row: "Row") -> ClientTerms:
    """The terms in a row that has the columns of `clients` for them."""
    return ClientTerms(
        policy=row["refresh_policy"],
        idle_seconds=row["session_idle_seconds"],
        absolute_seconds=row["session_absolute_seconds"],
        grace_seconds=row["refresh_grace_seconds"],
    )


def _client(row: "Row") -> Client:
    return Client(
        id=row["id"],
        name=row["name"],
        grant_types=tuple(row["grant_types"]),
        access_token_seconds=row["access_token_seconds"],
        terms=terms_in(row),
        has_secret=row["has_secret"],
        disabled_at=row["disabled_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def credentials(conn: Connection, client_id: str) -> ClientCredentials | None:
    """The client of this id and the hash of its secret, disabled or not."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS}, secret_hash FROM clients WHERE id = $1", client_id)  # noqa: S608 - a constant
    return None if row is None else ClientCredentials(_client(row), row["secret_hash"])


async def find(conn: Connection, client_id: str) -> Client | None:
    """The client of this id."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM clients WHERE id = $1", client_id)  # noqa: S608 - a constant
    return None if row is None else _client(row)


async def every(conn: Connection) -> list[Client]:
    """All clients, by id."""
    return [_client(row) for row in await conn.fetch(f"SELECT {_COLUMNS} FROM clients ORDER BY id")]  # noqa: S608 - a constant


async def create(
    conn: Connection,
    client_id: str,
    name: str,
    *,
    secret_hash: bytes | None,
    grant_types: Sequence[str],
    access_token_seconds: int | None,
    now: datetime,
    terms: ClientTerms = _USUAL,
) -> bool:
    """Add a client; False when the id is taken, whoever else is adding it at the same time."""
    status = await conn.execute(
        """
        INSERT INTO clients (id, name, secret_hash, grant_types, access_token_seconds, created_at, updated_at,
                             refresh_policy, session_idle_seconds, session_absolute_seconds, refresh_grace_seconds)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10)
        ON CONFLICT (id) DO NOTHING
        """,
        client_id, name, secret_hash, grant_types, access_token_seconds, now,
        terms.policy, terms.idle_seconds, terms.absolute_seconds, terms.grace_seconds,
    )  # fmt: skip
    return affected(status) == 1


async def update(
    conn: Connection,
    client_id: str,
    *,
    name: str,
    grant_types: Sequence[str],
    access_token_seconds: int | None,
    now: datetime,
) -> bool:
    """Replace what describes the client; False when it is gone. The secret and the terms stay."""
    status = await conn.execute(
        """
        UPDATE clients SET name = $2, grant_types = $3, access_token_seconds = $4, updated_at = $5 WHERE id = $1
        """,
        client_id, name, grant_types, access_token_seconds, now,
    )  # fmt: skip
    return affected(status) == 1


async def set_terms(conn: Connection, client_id: str, terms: ClientTerms, *, now: datetime) -> bool:
    """Replace how its sessions behave, those that are open too; False when the client is gone."""
    status = await conn.execute(
        """
        UPDATE clients SET refresh_policy = $2, session_idle_seconds = $3, session_absolute_seconds = $4,
               refresh_grace_seconds = $5, updated_at = $6
         WHERE id = $1
        """,
        client_id, terms.policy, terms.idle_seconds, terms.absolute_seconds, terms.grace_seconds, now,
    )  # fmt: skip
    return affected(status) == 1


async def set_secret(conn: Connection, client_id: str, secret_hash: bytes, *, now: datetime) -> bool:
    """Replace the secret, at once and for good; False when the client is gone."""
    status = await conn.execute(
        "UPDATE clients SET secret_hash = $2, updated_at = $3 WHERE id = $1", client_id, secret_hash, now
    )
    return affected(status) == 1


async def set_disabled(conn: Connection, client_id: str, disabled_at: datetime | None, *, now: datetime) -> bool:
    """Disable (a moment) or enable (None); False when it was so already."""
    status = await conn.execute(
        """
        UPDATE clients SET disabled_at = $2, updated_at = $3
         WHERE id = $1 AND (disabled_at IS NULL) <> ($2::timestamptz IS NULL)
        """,
        client_id, disabled_at, now,
    )  # fmt: skip
    return affected(status) == 1


async def delete(conn: Connection, client_id: str) -> bool:
    """Remove the client and its permissions; False when it was gone."""
    return affected(await conn.execute("DELETE FROM clients WHERE id = $1", client_id)) == 1
