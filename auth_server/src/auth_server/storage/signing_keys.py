"""The table ``signing_keys``: SQL in, frozen records out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from auth_server.storage.connection import Connection

if TYPE_CHECKING:
    import asyncpg

_LOCK_ID: Final = 0x6661_7273_6B65_7973
"""Of the advisory lock under which keys are made: "farskeys"."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row. The private half is sealed, see `auth_server.keys.sealing`."""

    kid: str
    state: str
    public_jwk: Mapping[str, str]
    sealed_private_key: bytes = field(repr=False)
    kek_id: str
    created_at: datetime
    announced_at: datetime | None = None
    activated_at: datetime | None = None
    retired_at: datetime | None = None
    gone_at: datetime | None = None
    revoked_at: datetime | None = None


# public_jwk goes as text both ways, so that it does not matter whether the connection has a JSON codec.
_COLUMNS = """kid, state, public_jwk::text AS public_jwk, sealed_private_key, kek_id,
              created_at, announced_at, activated_at, retired_at, gone_at, revoked_at"""

LIST = f"SELECT {_COLUMNS} FROM signing_keys ORDER BY created_at, kid"  # noqa: S608 - no input in it

LIST_STATES = f"""
    SELECT {_COLUMNS}
      FROM signing_keys
     WHERE state = ANY($1::text[])
  ORDER BY created_at, kid
"""  # noqa: S608 - no input in it

INSERT = """
    INSERT INTO signing_keys (kid, state, public_jwk, sealed_private_key, kek_id,
                              created_at, announced_at, activated_at)
         VALUES ($1, $2, $3::text::jsonb, $4, $5, $6, $7, $8)
"""


async def lock(conn: Connection, *, timeout: float) -> None:  # noqa: ASYNC109 - asyncpg's own, per statement
    """Be the only one to make keys until the transaction ends; wait at most ``timeout`` seconds for it."""
    await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_ID, timeout=timeout)


async def list_all(conn: Connection) -> tuple[StoredKey, ...]:
    """Every key there ever was, oldest first."""
    return tuple(map(_record, await conn.fetch(LIST)))


async def list_states(conn: Connection, states: Collection[str]) -> tuple[StoredKey, ...]:
    """The keys in any of ``states``, oldest first."""
    return tuple(map(_record, await conn.fetch(LIST_STATES, list(states))))


async def insert(conn: Connection, key: StoredKey) -> None:
    """Store a new key.

    Raises:
        asyncpg.UniqueViolationError: the kid is there, or a second key would be active.
    """
    await conn.execute(
        INSERT,
        key.kid,
        key.state,
        msgspec.json.encode(dict(key.public_jwk)).decode(),
        key.sealed_private_key,
        key.kek_id,
        key.created_at,
        key.announced_at,
        key.activated_at,
    )


def _record(row: "asyncpg.Record") -> StoredKey:
    columns = dict(row)
    columns["public_jwk"] = msgspec.json.decode(columns["public_jwk"], type=dict[str, str])
    return StoredKey(**columns)
