"""Rows of people: `users` and `user_roles`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from auth_server.storage.connection import Connection, affected, plain_uuid

if TYPE_CHECKING:
    from asyncpg import Record as Row


@dataclass(frozen=True, slots=True)
class User:
    """A person. ``id`` is the ``sub`` of their tokens and outlives every change of name."""

    id: UUID
    username: str
    attributes: Mapping[str, Any]
    roles: tuple[str, ...]
    has_password: bool
    password_changed_at: datetime | None
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against. The hash stays out of every repr."""

    user: User
    password_hash: str | None = field(repr=False)


# The attributes go over the wire as text and are parsed here, so that no codec of the connection matters.
_COLUMNS = """
    u.id, u.username, u.attributes::text AS attributes, u.password_hash IS NOT NULL AS has_password,
    u.password_changed_at, u.disabled_at, u.created_at, u.updated_at,
    ARRAY(SELECT r.role FROM user_roles r WHERE r.user_id = u.id ORDER BY r.role) AS roles
"""


def _user(row: "Row") -> User:
    return User(
        id=plain_uuid(row["id"]),
        username=row["username"],
        attributes=json.loads(row["attributes"]),
        roles=tuple(row["roles"]),
        has_password=row["has_password"],
        password_changed_at=row["password_changed_at"],
        disabled_at=row["disabled_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def credentials(conn: Connection, username: str) -> Credentials | None:
    """The account of this (normalised) name and its hash, disabled or not."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS}, u.password_hash FROM users u WHERE u.username = $1",  # noqa: S608 - a constant
        username,
    )
    return None if row is None else Credentials(_user(row), row["password_hash"])


async def find(conn: Connection, username: str) -> User | None:
    """The user of this normalised name."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM users u WHERE u.username = $1", username)  # noqa: S608 - a constant
    return None if row is None else _user(row)


async def find_by_id(conn: Connection, user_id: UUID) -> User | None:
    """The user whose tokens carry this ``sub``."""
    row = await conn.fetchrow(f"SELECT {_COLUMNS} FROM users u WHERE u.id = $1", user_id)  # noqa: S608 - a constant
    return None if row is None else _user(row)


async def every(conn: Connection) -> list[User]:
    """All users, by name."""
    rows = await conn.fetch(f"SELECT {_COLUMNS} FROM users u ORDER BY u.username")  # noqa: S608 - a constant
    return [_user(row) for row in rows]


async def create(
    conn: Connection,
    user_id: UUID,
    username: str,
    *,
    password_hash: str | None,
    attributes: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Add a user; False when the name is taken, whoever else is adding it at the same time."""
    status = await conn.execute(
        """
        INSERT INTO users (id, username, password_hash, attributes, created_at, updated_at)
        VALUES ($1, $2, $3, $4::text::jsonb, $5, $5)
        ON CONFLICT (username) DO NOTHING
        """,
        user_id, username, password_hash, json.dumps(attributes, allow_nan=False), now,
    )  # fmt: skip
    return affected(status) == 1


async def set_password(conn: Connection, user_id: UUID, password_hash: str, *, now: datetime) -> bool:
    """Replace the hash; False when the user is gone.

    The moment of the change moves on even when two fall together: a login that began before either is refused.
    """
    status = await conn.execute(
        """
        UPDATE users SET password_hash = $2, updated_at = $3,
               password_changed_at = greatest($3, password_changed_at + interval '1 microsecond')
         WHERE id = $1
        """,
        user_id, password_hash, now,
    )  # fmt: skip
    return affected(status) == 1


async def replace_hash(conn: Connection, user_id: UUID, *, old: str, new: str) -> bool:
    """Put a stronger hash of the same password in place of ``old``.

    False when ``old`` is no longer there: somebody set another password meanwhile, and theirs stays.
    """
    status = await conn.execute(
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2", user_id, old, new
    )
    return affected(status) == 1


async def set_disabled(conn: Connection, user_id: UUID, disabled_at: datetime | None, *, now: datetime) -> bool:
    """Disable (a moment) or enable (None); False when it was so already."""
    status = await conn.execute(
        """
        UPDATE users SET disabled_at = $2, updated_at = $3
         WHERE id = $1 AND (disabled_at IS NULL) <> ($2::timestamptz IS NULL)
        """,
        user_id, disabled_at, now,
    )  # fmt: skip
    return affected(status) == 1


async def set_attributes(conn: Connection, user_id: UUID, attributes: Mapping[str, Any], *, now: datetime) -> None:
    """Replace all attributes."""
    await conn.execute(
        "UPDATE users SET attributes = $2::text::jsonb, updated_at = $3 WHERE id = $1",
        user_id, json.dumps(attributes, allow_nan=False), now,
    )  # fmt: skip


async def add_role(conn: Connection, user_id: UUID, role: str) -> bool:
    """Give a role; False when the user had it."""
    status = await conn.execute(
        "INSERT INTO user_roles (user_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING", user_id, role
    )
    return affected(status) == 1


async def remove_role(conn: Connection, user_id: UUID, role: str) -> bool:
    """Take a role away; False when the user did not have it."""
    return affected(await conn.execute("DELETE FROM user_roles WHERE user_id = $1 AND role = $2", user_id, role)) == 1


async def set_roles(conn: Connection, user_id: UUID, roles: Sequence[str]) -> None:
    """Leave the user with exactly these roles. Run it inside a transaction."""
    await conn.execute("DELETE FROM user_roles WHERE user_id = $1 AND role <> ALL ($2::text[])", user_id, roles)
    await conn.execute(
        "INSERT INTO user_roles (user_id, role) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING", user_id, roles
    )


async def delete(conn: Connection, user_id: UUID) -> bool:
    """Remove the user and everything they held; False when they were gone."""
    return affected(await conn.execute("DELETE FROM users WHERE id = $1", user_id)) == 1
