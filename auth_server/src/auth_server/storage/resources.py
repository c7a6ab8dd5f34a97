"""Rows of what tokens are for: `resources`, `resource_scopes`, `resource_claims`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from auth_server.storage.connection import Connection, affected

if TYPE_CHECKING:
    from asyncpg import Record as Row


@dataclass(frozen=True, slots=True)
class Resource:
    """A service that takes tokens.

    Args:
        claims: a claim's name to the user attribute that it shows.
        introspection_client: the client that may introspect access tokens for it (RFC 7662).
    """

    audience: str
    name: str
    scopes: tuple[str, ...]
    claims: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
    introspection_client: str | None = None


_SELECT = """
    SELECT r.audience, r.name, r.created_at, r.updated_at, r.introspection_client,
           ARRAY(SELECT s.scope FROM resource_scopes s WHERE s.audience = r.audience ORDER BY s.scope) AS scopes,
           ARRAY(SELECT ARRAY[c.claim, c.attribute] FROM resource_claims c
                  WHERE c.audience = r.audience ORDER BY c.claim) AS claims
      FROM resources r
"""


def _resource(row: "Row") -> Resource:
    return Resource(
        audience=row["audience"],
        name=row["name"],
        scopes=tuple(row["scopes"]),
        claims=dict(row["claims"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        introspection_client=row["introspection_client"],
    )


async def find(conn: Connection, audience: str) -> Resource | None:
    """The resource of exactly this URI."""
    row = await conn.fetchrow(f"{_SELECT} WHERE r.audience = $1", audience)
    return None if row is None else _resource(row)


async def every(conn: Connection) -> list[Resource]:
    """All resources, by URI."""
    return [_resource(row) for row in await conn.fetch(f"{_SELECT} ORDER BY r.audience")]


async def may_introspect(conn: Connection, client_id: str, audience: Sequence[str]) -> bool:
    """Whether one of these resources lets the client introspect its access tokens."""
    statement = "SELECT EXISTS (SELECT FROM resources WHERE introspection_client = $1 AND audience = ANY ($2::text[]))"
    return bool(await conn.fetchval(statement, client_id, audience))


async def all_scopes(conn: Connection) -> list[str]:
    """Every scope that any resource defines, once, sorted: ``scopes_supported`` of RFC 8414 section 2."""
    return [row["scope"] for row in await conn.fetch("SELECT DISTINCT scope FROM resource_scopes ORDER BY scope")]


async def create(conn: Connection, audience: str, name: str, *, now: datetime) -> bool:
    """Add a resource; False when the URI is taken, whoever else is adding it at the same time."""
    status = await conn.execute(
        """
        INSERT INTO resources (audience, name, created_at, updated_at) VALUES ($1, $2, $3, $3)
        ON CONFLICT (audience) DO NOTHING
        """,
        audience, name, now,
    )  # fmt: skip
    return affected(status) == 1


async def rename(conn: Connection, audience: str, name: str, *, now: datetime) -> bool:
    """Give another name for people; False when the resource is gone."""
    status = await conn.execute(
        "UPDATE resources SET name = $2, updated_at = $3 WHERE audience = $1", audience, name, now
    )
    return affected(status) == 1


async def set_introspection_client(conn: Connection, audience: str, client_id: str | None, *, now: datetime) -> bool:
    """Let a client, which must be there, introspect the resource's tokens, or nobody; False when it was so already."""
    status = await conn.execute(
        """
        UPDATE resources SET introspection_client = $2, updated_at = $3
         WHERE audience = $1 AND introspection_client IS DISTINCT FROM $2
        """,
        audience, client_id, now,
    )  # fmt: skip
    return affected(status) == 1


async def add_scope(conn: Connection, audience: str, scope: str) -> bool:
    """Define a scope; False when it was defined."""
    status = await conn.execute(
        "INSERT INTO resource_scopes (audience, scope) VALUES ($1, $2) ON CONFLICT DO NOTHING", audience, scope
    )
    return affected(status) == 1


async def remove_scope(conn: Connection, audience: str, scope: str) -> bool:
    """Undefine a scope and so withdraw it from everyone; False when it was not defined."""
    status = await conn.execute("DELETE FROM resource_scopes WHERE audience = $1 AND scope = $2", audience, scope)
    return affected(status) == 1


async def set_scopes(conn: Connection, audience: str, scopes: Sequence[str]) -> None:
    """Leave the resource with exactly these scopes. Run it inside a transaction."""
    await conn.execute(
        "DELETE FROM resource_scopes WHERE audience = $1 AND scope <> ALL ($2::text[])", audience, scopes
    )
    await conn.execute(
        "INSERT INTO resource_scopes (audience, scope) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
        audience, scopes,
    )  # fmt: skip


async def map_claim(conn: Connection, audience: str, claim: str, attribute: str) -> bool:
    """Show an attribute of users as a claim; False when it was so already."""
    status = await conn.execute(
        """
        INSERT INTO resource_claims AS c (audience, claim, attribute) VALUES ($1, $2, $3)
        ON CONFLICT (audience, claim) DO UPDATE SET attribute = excluded.attribute
         WHERE c.attribute <> excluded.attribute
        """,
        audience, claim, attribute,
    )  # fmt: skip
    return affected(status) == 1


async def unmap_claim(conn: Connection, audience: str, claim: str) -> bool:
    """Stop showing a claim; False when it was not shown."""
    status = await conn.execute("DELETE FROM resource_claims WHERE audience = $1 AND claim = $2", audience, claim)
    return affected(status) == 1


async def set_claims(conn: Connection, audience: str, claims: Mapping[str, str]) -> None:
    """Leave the resource with exactly these claims. Run it inside a transaction."""
    await conn.execute(
        "DELETE FROM resource_claims WHERE audience = $1 AND claim <> ALL ($2::text[])", audience, list(claims)
    )
    for claim, attribute in claims.items():
        await map_claim(conn, audience, claim, attribute)


async def delete(conn: Connection, audience: str) -> bool:
    """Remove the resource, its scopes and every permission on it; False when it was gone."""
    return affected(await conn.execute("DELETE FROM resources WHERE audience = $1", audience)) == 1
