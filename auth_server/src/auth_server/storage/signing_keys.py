"""The table ``signing_keys``: SQL in, frozen records out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from auth_server.keys.lifecycle import Key, KeyState
from auth_server.storage.connection import Connection, affected
from farseal.clock import at

if TYPE_CHECKING:
    import asyncpg

LOCK_ID: Final = 0x6661_7273_6B65_7973
"""Of the advisory lock under which keys are changed: "farskeys"."""

SILENCE_SECONDS: Final = 10
"""How long who has locked keys may ask nothing before the database ends it and lets the others on. A process that is
stopped, or cut off, would hold up every replica and the operator who revokes; and what it had decided would be stored
as of a moment that is long past. Between two statements of a change lie milliseconds."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row. What is sealed opens with the KEK of ``kek_id`` alone, see `auth_server.keys.sealing`.

    A key of ours has its private half. One that came back from a published document has its public half, sealed too;
    of a revoked one there may be nothing but the kid: then ``public_jwk`` is empty, and ``bits`` and ``kek_id`` None.
    """

    key: Key
    public_jwk: Mapping[str, str]
    sealed_private_key: bytes | None = field(repr=False)
    kek_id: str | None
    bits: int | None
    sealed_public_key: bytes | None = field(repr=False, default=None)
    signatures: int = 0
    revoked_reason: str | None = None

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint."""
        return self.key.kid

    @property
    def state(self) -> KeyState:
        """Where it stands."""
        return self.key.state


_MOMENTS: Final = (
    "created_at", "announced_at", "published_at", "activate_after", "activated_at", "retired_at", "keep_until",
    "gone_at", "revoked_at",
)  # fmt: skip

_KEY_COLUMNS: Final = f"kid, state, token_seconds, {', '.join(_MOMENTS)}"

# public_jwk goes as text both ways, so that it does not matter whether the connection has a JSON codec.
_COLUMNS: Final = f"""{_KEY_COLUMNS}, public_jwk::text AS public_jwk, sealed_private_key, sealed_public_key, kek_id,
              bits, signatures, revoked_reason"""

LIST = f"SELECT {_COLUMNS} FROM signing_keys ORDER BY created_at, kid"  # noqa: S608 - no input in it

LIST_STATES = f"""
    SELECT {_COLUMNS}
      FROM signing_keys
     WHERE state = ANY($1::text[])
  ORDER BY created_at, kid
"""  # noqa: S608 - no input in it

KEYS = f"SELECT {_KEY_COLUMNS} FROM signing_keys ORDER BY created_at, kid"  # noqa: S608 - no input in it

LOCKED_KEYS = f"{KEYS} FOR UPDATE"

SNAPSHOT = f"""
    SELECT {_COLUMNS}, (SELECT sequence FROM publication) AS sequence
      FROM signing_keys
     WHERE state <> 'gone'
  ORDER BY created_at, kid
"""  # noqa: S608 - no input in it

INSERT = """
    INSERT INTO signing_keys (kid, state, token_seconds, created_at, announced_at, published_at, activate_after,
                              activated_at, retired_at, keep_until, gone_at, revoked_at, public_jwk,
                              sealed_private_key, sealed_public_key, kek_id, bits, revoked_reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::text::jsonb, $14, $15, $16, $17, $18)
"""

UPDATE = """
    UPDATE signing_keys
       SET state = $2, token_seconds = greatest(token_seconds, $3), announced_at = $4, published_at = $5,
           activate_after = $6, activated_at = $7, retired_at = $8, keep_until = $9, gone_at = $10, revoked_at = $11,
           revoked_reason = CASE WHEN $2 = 'revoked' THEN coalesce(revoked_reason, $12) END
     WHERE kid = $1
"""

PROMISE_LIFE = """
    UPDATE signing_keys
       SET token_seconds = greatest(token_seconds, $2)
     WHERE kid = $1
       AND state = 'active'
"""

COUNT_SIGNATURES = "UPDATE signing_keys SET signatures = signatures + $2 WHERE kid = $1"

NOT_SEALED_UNDER = f"""
    SELECT {_COLUMNS}
      FROM signing_keys
     WHERE kek_id <> $1
       AND kid <> ALL($2::text[])
  ORDER BY created_at, kid
     LIMIT $3
       FOR UPDATE
"""  # noqa: S608 - no input in it

LOCK = "SELECT pg_advisory_xact_lock($1), set_config('idle_in_transaction_session_timeout', $2, true)"
TRY_LOCK = """
    SELECT pg_try_advisory_xact_lock($1), set_config('idle_in_transaction_session_timeout', $2, true)
"""
LIMIT_SILENCE = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"

COUNT_NOT_SEALED_UNDER = "SELECT count(*) FROM signing_keys WHERE kek_id <> $1"

RESEAL = """
    UPDATE signing_keys SET sealed_private_key = $2, sealed_public_key = $3, kek_id = $4 WHERE kid = $1
"""


async def lock(conn: Connection, *, timeout: float, silence_seconds: int = SILENCE_SECONDS) -> None:  # noqa: ASYNC109 - asyncpg's own, per statement
    """Be the only one to change keys until the transaction ends; wait at most ``timeout`` seconds for it.

    Args:
        conn: a connection in a transaction.
        timeout: in seconds.
        silence_seconds: see `SILENCE_SECONDS`; longer for who makes a key meanwhile.
    """
    await conn.execute(LOCK, LOCK_ID, _milliseconds(silence_seconds), timeout=timeout)


async def try_lock(conn: Connection) -> bool:
    """The same lock if nobody has it; never waits."""
    got: bool = await conn.fetchval(TRY_LOCK, LOCK_ID, _milliseconds(SILENCE_SECONDS))
    return got


async def limit_silence(conn: Connection) -> None:
    """The same limit, `SILENCE_SECONDS`, for a transaction that locks rows and does not take the lock."""
    await conn.execute(LIMIT_SILENCE, _milliseconds(SILENCE_SECONDS))


async def list_all(conn: Connection) -> tuple[StoredKey, ...]:
    """Every key there ever was, oldest first."""
    return tuple(map(_record, await conn.fetch(LIST)))


async def list_states(conn: Connection, states: Collection[str]) -> tuple[StoredKey, ...]:
    """The keys in any of ``states``, oldest first."""
    return tuple(map(_record, await conn.fetch(LIST_STATES, list(states))))


async def snapshot(conn: Connection) -> tuple[int, tuple[StoredKey, ...]]:
    """The number of the stored state and its keys but those that are gone, of one moment; 0 where there is no key."""
    rows = await conn.fetch(SNAPSHOT)
    return (rows[0]["sequence"] if rows else 0), tuple(map(_record, rows))


async def keys(conn: Connection) -> tuple[Key, ...]:
    """What the lifecycle knows of every key, oldest first."""
    return tuple(map(_key, await conn.fetch(KEYS)))


async def locked_keys(conn: Connection) -> tuple[Key, ...]:
    """What the lifecycle knows of every key, their rows locked: nobody raises ``token_seconds`` beside a retirement."""
    return tuple(map(_key, await conn.fetch(LOCKED_KEYS)))


async def insert(conn: Connection, stored: StoredKey) -> None:
    """Store a new key.

    Raises:
        asyncpg.UniqueViolationError: the kid is there, or a second key would be active.
    """
    key = stored.key
    await conn.execute(
        INSERT,
        key.kid,
        key.state,
        key.token_seconds,
        *(_moment(getattr(key, name)) for name in _MOMENTS),
        msgspec.json.encode(dict(stored.public_jwk)).decode(),
        stored.sealed_private_key,
        stored.sealed_public_key,
        stored.kek_id,
        stored.bits,
        stored.revoked_reason,
    )


async def update(conn: Connection, key: Key, *, revoked_reason: str | None = None) -> None:
    """Store where a key stands now. ``token_seconds`` never falls; the reason counts for a revoked key only.

    Raises:
        asyncpg.IntegrityConstraintViolationError: a second key would be active, or a state lacks its moment.
    """
    moments = (_moment(getattr(key, name)) for name in _MOMENTS if name != "created_at")
    await conn.execute(UPDATE, key.kid, key.state, key.token_seconds, *moments, revoked_reason)


async def raise_token_seconds(conn: Connection, kid: str, token_seconds: int) -> bool:
    """Promise that tokens of the active key live so long at most; False when it is not the active one any more."""
    return affected(await conn.execute(PROMISE_LIFE, kid, token_seconds)) == 1


async def count_signatures(conn: Connection, counts: Mapping[str, int]) -> None:
    """Add to the number of signatures by kid."""
    await conn.executemany(COUNT_SIGNATURES, sorted(counts.items()))


async def not_sealed_under(
    conn: Connection, kek_id: str, *, except_kids: Collection[str], limit: int
) -> tuple[StoredKey, ...]:
    """Some of the keys that are sealed under another KEK, their rows locked."""
    return tuple(map(_record, await conn.fetch(NOT_SEALED_UNDER, kek_id, list(except_kids), limit)))


async def count_not_sealed_under(conn: Connection, kek_id: str) -> int:
    """How many keys are sealed under another KEK."""
    found: int = await conn.fetchval(COUNT_NOT_SEALED_UNDER, kek_id)
    return found


async def reseal(conn: Connection, stored: StoredKey) -> None:
    """Store what is sealed anew."""
    await conn.execute(RESEAL, stored.kid, stored.sealed_private_key, stored.sealed_public_key, stored.kek_id)


def _milliseconds(seconds: int) -> str:
    return str(seconds * 1000)


def _record(row: "asyncpg.Record") -> StoredKey:
    return StoredKey(
        key=_key(row),
        public_jwk=msgspec.json.decode(row["public_jwk"], type=dict[str, str]),
        sealed_private_key=row["sealed_private_key"],
        sealed_public_key=row["sealed_public_key"],
        kek_id=row["kek_id"],
        bits=row["bits"],
        signatures=row["signatures"],
        revoked_reason=row["revoked_reason"],
    )


def _key(row: "asyncpg.Record") -> Key:
    moments = {name: _seconds(row[name]) for name in _MOMENTS if name != "created_at"}
    return Key(
        kid=row["kid"],
        state=KeyState(row["state"]),
        token_seconds=row["token_seconds"],
        created_at=int(row["created_at"].timestamp()),
        **moments,
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else at(seconds)
