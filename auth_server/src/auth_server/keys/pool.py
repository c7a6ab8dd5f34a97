"""Makes keys in advance: generation takes seconds and is done outside of every transaction, lock and turn."""

import asyncio
from typing import TYPE_CHECKING

import structlog

from auth_server.keys import generation
from auth_server.keys.lifecycle import Key, KeyState
from auth_server.keys.opening import Keks
from auth_server.keys.planner import Action, plan
from auth_server.keys.public_key import PublicKey
from auth_server.keys.sealing import seal
from auth_server.keys.store import changing
from auth_server.storage import audit, signing_keys
from auth_server.storage.connection import Connection, Pool
from auth_server.storage.signing_keys import StoredKey
from farseal.clock import at
from farseal.service.postgres import DatabaseUnavailable, database_errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from auth_server.keys.policy import RotationPolicy

log = structlog.get_logger(__name__)


def ready_key(private: "RSAPrivateKey", keks: Keks, *, now: int) -> StoredKey:
    """A row for a private key that nobody knows of yet, sealed under the first KEK."""
    public = PublicKey.of(private.public_key())
    return StoredKey(
        key=Key(kid=public.kid, state=KeyState.READY, created_at=now),
        public_jwk=public.jwk(),
        sealed_private_key=seal(generation.to_der(private), kek=keks[0], kid=public.kid),
        kek_id=keks[0].id,
        bits=private.key_size,
    )


async def add_ready(
    conn: Connection, stored: StoredKey, *, actor: str, action: str, reason: str | None, now: int
) -> None:
    """Store a ready key with its audit entry. It is published nowhere, and so the sequence stays.

    Raises:
        asyncpg.UniqueViolationError: the key is there already.
    """
    async with conn.transaction():
        await signing_keys.insert(conn, stored)
        await audit.append(
            conn,
            at=at(now),
            actor=actor,
            action=action,
            kid=stored.kid,
            reason=reason,
            after={"state": stored.state, "bits": stored.bits, "kek_id": stored.kek_id},
        )


class KeyPool:
    """Keeps ready keys in the database, one attempt at a time in this process."""

    def __init__(self, pool: Pool, keks: Keks, policy: "RotationPolicy", *, bits: int, actor: str) -> None:
        self._pool = pool
        self._keks = keks
        self._policy = policy
        self._bits = bits
        self._actor = actor
        self._making: asyncio.Task[None] | None = None

    def begin(self, *, now: int) -> None:
        """Make one key in the background, unless one is being made."""
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make_one(now), name="key pool")

    async def settled(self) -> None:
        """Until nothing is being made."""
        if self._making is not None:
            await asyncio.wait({self._making})

    async def close(self) -> None:
        """Give up what is being made; the thread that generates ends by itself."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait({self._making})

    async def make(self, *, now: int) -> StoredKey:
        """A new key, in a thread; not stored."""
        private = await asyncio.to_thread(generation.generate, self._bits)
        return await asyncio.to_thread(ready_key, private, self._keks, now=now)

    async def _make_one(self, now: int) -> None:
        try:
            stored = await self.make(now=now)
            with database_errors():
                async with self._pool.acquire() as conn, changing(conn) as change:
                    # Another replica may have been faster: the key is thrown away, nobody has seen it.
                    if not any(step.action is Action.MAKE for step in plan(change.keys, self._policy, now)):
                        return
                    await add_ready(
                        conn, stored, actor=self._actor, action="make", reason="the pool is not full", now=now
                    )
            log.info("signing key made", kid=stored.kid, bits=stored.bits)
        except DatabaseUnavailable:
            log.warning("a signing key was made and could not be stored; another one will be")
        except Exception:
            log.exception("making a signing key failed")
