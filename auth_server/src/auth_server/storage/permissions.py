"""Who may have which scopes where: `client_resources`, `client_scopes`, `user_resources`, `user_scopes`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar
from uuid import UUID

from auth_server.grants.refresh_rules import ClientTerms
from auth_server.grants.rules import Holding
from auth_server.storage.clients import terms_in
from auth_server.storage.connection import Connection, affected, plain_uuid

if TYPE_CHECKING:
    from asyncpg import Record as Row

Id = TypeVar("Id", UUID, str)

Permissions = Mapping[str, tuple[str, ...]]
"""Audience to the scopes held there; an audience without scopes may be named in a token all the same."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything a grant is decided from, read in one statement and so at one moment."""

    active: bool
    """The subject exists enabled, and so does the client that acts for it."""
    attributes: Mapping[str, Any]
    roles: tuple[str, ...]
    access_token_seconds: int | None
    terms: ClientTerms
    """Of the client that acts."""
    holdings: tuple[Holding, ...]


_OF_USER = """
    SELECT u.disabled_at IS NULL AND c.disabled_at IS NULL AS active,
           u.attributes::text AS attributes,
           ARRAY(SELECT r.role FROM user_roles r WHERE r.user_id = u.id ORDER BY r.role) AS roles,
           c.access_token_seconds,
           c.refresh_policy, c.session_idle_seconds, c.session_absolute_seconds, c.refresh_grace_seconds,
           h.audience,
           ARRAY(SELECT s.scope FROM resource_scopes s WHERE s.audience = h.audience) AS defined,
           ARRAY(SELECT ARRAY[m.claim, m.attribute] FROM resource_claims m WHERE m.audience = h.audience) AS claims,
           ARRAY(SELECT s.scope FROM user_scopes s WHERE s.user_id = u.id AND s.audience = h.audience) AS permitted,
           EXISTS (SELECT FROM client_resources d
                    WHERE d.client_id = c.id AND d.audience = h.audience AND d.is_default) AS is_default
      FROM users u
      JOIN clients c ON c.id = $2
      LEFT JOIN user_resources h ON h.user_id = u.id
     WHERE u.id = $1
     ORDER BY h.audience
"""

# A client has no attributes, so no resource is shown any.
_OF_CLIENT = """
    SELECT c.disabled_at IS NULL AND 'client_credentials' = ANY (c.grant_types) AS active,
           '{}' AS attributes,
           ARRAY[]::text[] AS roles,
           c.access_token_seconds,
           c.refresh_policy, c.session_idle_seconds, c.session_absolute_seconds, c.refresh_grace_seconds,
           h.audience,
           ARRAY(SELECT s.scope FROM resource_scopes s WHERE s.audience = h.audience) AS defined,
           ARRAY[]::text[] AS claims,
           ARRAY(SELECT s.scope FROM client_scopes s WHERE s.client_id = c.id AND s.audience = h.audience)
               AS permitted,
           COALESCE(h.is_default, false) AS is_default
      FROM clients c
      LEFT JOIN client_resources h ON h.client_id = c.id
     WHERE c.id = $1
     ORDER BY h.audience
"""


def _standing(rows: Sequence["Row"]) -> Standing | None:
    if not rows:
        return None
    first = rows[0]
    holdings = tuple(
        Holding(
            audience=row["audience"],
            defined=frozenset(row["defined"]),
            permitted=frozenset(row["permitted"]),
            claims=dict(row["claims"]),
            is_default=row["is_default"],
        )
        for row in rows
        if row["audience"] is not None
    )
    return Standing(
        active=first["active"],
        attributes=json.loads(first["attributes"]),
        roles=tuple(first["roles"]),
        access_token_seconds=first["access_token_seconds"],
        terms=terms_in(first),
        holdings=holdings,
    )


async def of_user(conn: Connection, user_id: UUID, *, client_id: str) -> Standing | None:
    """What a person holds who acts through ``client_id``; None when either is gone."""
    return _standing(await conn.fetch(_OF_USER, user_id, client_id))


async def of_client(conn: Connection, client_id: str) -> Standing | None:
    """What a client holds for itself; inactive without ``client_credentials`` too; None when it is gone."""
    return _standing(await conn.fetch(_OF_CLIENT, client_id))


async def every_user(conn: Connection, only: UUID | None = None) -> dict[UUID, Permissions]:
    """Permissions of all users that have any, or of one."""
    statement = """
        SELECT h.user_id AS id, h.audience,
               ARRAY(SELECT s.scope FROM user_scopes s
                      WHERE s.user_id = h.user_id AND s.audience = h.audience ORDER BY s.scope) AS scopes
          FROM user_resources h
         WHERE $1::uuid IS NULL OR h.user_id = $1
         ORDER BY h.audience
    """
    rows = await conn.fetch(statement, only)
    found: dict[UUID, dict[str, tuple[str, ...]]] = {}
    for row in rows:
        found.setdefault(plain_uuid(row["id"]), {})[row["audience"]] = tuple(row["scopes"])
    return dict(found)


async def every_client(conn: Connection, only: str | None = None) -> dict[str, tuple[Permissions, tuple[str, ...]]]:
    """Permissions and default audiences of all clients that have any, or of one."""
    statement = """
        SELECT h.client_id AS id, h.audience, h.is_default,
               ARRAY(SELECT s.scope FROM client_scopes s
                      WHERE s.client_id = h.client_id AND s.audience = h.audience ORDER BY s.scope) AS scopes
          FROM client_resources h
         WHERE $1::text IS NULL OR h.client_id = $1
         ORDER BY h.audience
    """
    rows = await conn.fetch(statement, only)
    scopes: dict[str, dict[str, tuple[str, ...]]] = {}
    defaults: dict[str, list[str]] = {}
    for row in rows:
        scopes.setdefault(row["id"], {})[row["audience"]] = tuple(row["scopes"])
        if row["is_default"]:
            defaults.setdefault(row["id"], []).append(row["audience"])
    return {client: (held, tuple(defaults.get(client, ()))) for client, held in scopes.items()}


@dataclass(frozen=True, slots=True)
class _Holders(Generic[Id]):
    """Users or clients: ``KIND`` in a statement stands for the word that their tables and columns begin with."""

    kind: Literal["user", "client"]

    async def permit(self, conn: Connection, holder: Id, audience: str, scopes: Sequence[str]) -> bool:
        """Let them name the resource and have these scopes there; False when nothing was new.

        Run it inside a transaction. A scope that the resource does not define is a foreign key violation.
        """
        opened = await self._execute(
            conn,
            "INSERT INTO KIND_resources (KIND_id, audience) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            holder, audience,
        )  # fmt: skip
        added = await self._execute(
            conn,
            """
            INSERT INTO KIND_scopes (KIND_id, audience, scope) SELECT $1, $2, unnest($3::text[])
            ON CONFLICT DO NOTHING
            """,
            holder, audience, scopes,
        )  # fmt: skip
        return opened + added > 0

    async def withdraw(self, conn: Connection, holder: Id, audience: str, scopes: Sequence[str] | None) -> bool:
        """Take scopes away, or with None the whole resource; False when there was nothing to take."""
        if scopes is None:
            taken = await self._execute(
                conn, "DELETE FROM KIND_resources WHERE KIND_id = $1 AND audience = $2", holder, audience
            )
        else:
            taken = await self._execute(
                conn,
                "DELETE FROM KIND_scopes WHERE KIND_id = $1 AND audience = $2 AND scope = ANY ($3::text[])",
                holder, audience, scopes,
            )  # fmt: skip
        return taken > 0

    async def replace(self, conn: Connection, holder: Id, permissions: Permissions) -> None:
        """Leave them with exactly these permissions. Run it inside a transaction."""
        await self._execute(
            conn,
            "DELETE FROM KIND_resources WHERE KIND_id = $1 AND audience <> ALL ($2::text[])",
            holder, list(permissions),
        )  # fmt: skip
        for audience, scopes in permissions.items():
            await self._execute(
                conn,
                "DELETE FROM KIND_scopes WHERE KIND_id = $1 AND audience = $2 AND scope <> ALL ($3::text[])",
                holder, audience, scopes,
            )  # fmt: skip
            await self.permit(conn, holder, audience, scopes)

    async def _execute(self, conn: Connection, statement: str, *arguments: object) -> int:
        return affected(await conn.execute(statement.replace("KIND", self.kind), *arguments))


_USERS: Final[_Holders[UUID]] = _Holders("user")
permit_user, withdraw_user, set_user = _USERS.permit, _USERS.withdraw, _USERS.replace

_CLIENTS: Final[_Holders[str]] = _Holders("client")
permit_client, withdraw_client = _CLIENTS.permit, _CLIENTS.withdraw


async def set_client(conn: Connection, client_id: str, permissions: Permissions, defaults: Sequence[str]) -> None:
    """Leave the client with exactly these permissions and default audiences. Run it inside a transaction."""
    await _CLIENTS.replace(conn, client_id, permissions)
    await set_defaults(conn, client_id, defaults)


async def set_defaults(conn: Connection, client_id: str, defaults: Sequence[str]) -> None:
    """Leave the client with exactly these default audiences, among those that it holds."""
    await conn.execute(
        """
        UPDATE client_resources SET is_default = (audience = ANY ($2::text[]))
         WHERE client_id = $1 AND is_default <> (audience = ANY ($2::text[]))
        """,
        client_id, defaults,
    )  # fmt: skip
