"""The table ``audit``: who changed which key, when and why. Entries are added and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from auth_server.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A row. ``before`` and ``after`` hold what differs, with moments in seconds since the epoch; never a secret."""

    id: int
    at: datetime
    actor: str
    action: str
    kid: str | None
    reason: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


# JSON goes as text both ways, so that it does not matter whether the connection has a codec.
APPEND = """
    INSERT INTO audit (at, actor, action, kid, reason, before, after)
         VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb)
"""

LIST = """
    SELECT id, at, actor, action, kid, reason, before::text AS before, after::text AS after
      FROM audit
     WHERE ($1::text IS NULL OR kid = $1)
       AND ($2::timestamptz IS NULL OR at >= $2)
       AND ($3::text IS NULL OR action = $3)
  ORDER BY id DESC
     LIMIT $4
"""

ACTIONS = "SELECT DISTINCT action FROM audit ORDER BY action"


async def append(
    conn: Connection,
    *,
    at: datetime,
    actor: str,
    action: str,
    kid: str | None = None,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry, in the transaction of what it tells of."""
    await conn.execute(APPEND, at, actor, action, kid, reason, _json(before), _json(after))


async def entries(
    conn: Connection,
    *,
    kid: str | None = None,
    since: datetime | None = None,
    action: str | None = None,
    limit: int = 100,
) -> tuple[AuditEntry, ...]:
    """The newest entries first, of one key or of all, of one action or of all."""
    rows = await conn.fetch(LIST, kid, since, action, limit)
    return tuple(
        AuditEntry(**{**dict(row), "before": _mapping(row["before"]), "after": _mapping(row["after"])}) for row in rows
    )


async def actions(conn: Connection) -> tuple[str, ...]:
    """What there are entries of, in order."""
    return tuple(row["action"] for row in await conn.fetch(ACTIONS))


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else msgspec.json.encode(dict(value)).decode()


def _mapping(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
