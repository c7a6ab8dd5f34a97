"""The keys this replica signs with and publishes, made once and kept in step with the database."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from auth_server.keys import generation, lifecycle
from auth_server.keys.lifecycle import KeyState
from auth_server.keys.public_key import PublicKey
from auth_server.keys.sealing import Kek, SealError, seal, unseal
from auth_server.keys.signer import SigningKey
from auth_server.storage import signing_keys
from auth_server.storage.connection import Connection, Pool
from auth_server.storage.signing_keys import StoredKey
from farseal.clock import at
from farseal.errors import FarsealError
from farseal.service.postgres import database_errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

log = structlog.get_logger(__name__)

LOCK_SECONDS: Final = 120
"""How long a replica waits for another one that makes the first keys: two of 4096 bits on a busy machine."""


class KeyringError(FarsealError):
    """The stored keys cannot be used: sealed under another KEK, altered, or none is active."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a keyring holds at one moment; replaced whole."""

    active: SigningKey
    published: tuple[PublicKey, ...]


class Keyring:
    """Loads the signing keys and holds them in memory.

    Signing goes on with what is held while the database is away; `refresh` is what brings news.
    """

    def __init__(self, pool: Pool, kek: Kek, *, bits: int) -> None:
        self._pool = pool
        self._kek = kek
        self._bits = bits
        self._loaded: dict[str, RSAPrivateKey] = {}
        self._keys: Keys | None = None

    @property
    def keys(self) -> Keys:
        """The keys of the last good refresh. `prepare` must have succeeded once."""
        if self._keys is None:
            raise RuntimeError("the keyring is not prepared")
        return self._keys

    def active_key(self) -> SigningKey:
        """The key that signs now."""
        return self.keys.active

    async def prepare(self, *, now: int) -> None:
        """Make the keys that are missing, once among all replicas, and load them.

        The replica that takes the lock first generates; the others wait, look again and find nothing missing.

        Raises:
            KeyringError: stored keys cannot be used.
            DatabaseUnavailable: the database cannot be reached.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                stored = await signing_keys.list_states(conn, list(KeyState))
                if lifecycle.missing(_states(stored)):
                    # Before anything is added, be sure that the KEK is the one of the keys that are there.
                    await asyncio.to_thread(self._load, stored)
                    await self._make_missing(conn, now)
        await self.refresh()

    async def refresh(self) -> bool:
        """Take over what the database says; True when the held keys changed.

        Raises:
            KeyringError: stored keys cannot be used; what was held stays.
            DatabaseUnavailable: the database cannot be reached; what was held stays.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                stored = await signing_keys.list_states(conn, list(KeyState))
        loaded = await asyncio.to_thread(self._load, stored)
        active = next((key.kid for key in stored if key.state == KeyState.ACTIVE), None)
        if active is None:
            raise KeyringError("no signing key is active")
        published = sorted((PublicKey.of(key.public_key()) for key in loaded.values()), key=lambda key: key.kid)
        keys = Keys(SigningKey(active, loaded[active]), tuple(published))
        changed = self._keys is None or _names(keys) != _names(self._keys)
        self._loaded, self._keys = loaded, keys
        return changed

    async def _make_missing(self, conn: Connection, now: int) -> None:
        async with conn.transaction():
            await signing_keys.lock(conn, timeout=LOCK_SECONDS)
            stored = await signing_keys.list_states(conn, list(KeyState))
            for state in lifecycle.missing(_states(stored)):
                key = await asyncio.to_thread(self._make, state, now)
                await signing_keys.insert(conn, key)
                log.info("signing key made", kid=key.kid, state=key.state, bits=self._bits)

    def _make(self, state: KeyState, now: int) -> StoredKey:
        private = generation.generate(self._bits)
        public = PublicKey.of(private.public_key())
        moment = at(now)
        return StoredKey(
            kid=public.kid,
            state=state,
            public_jwk=public.jwk(),
            sealed_private_key=seal(generation.to_der(private), kek=self._kek, kid=public.kid),
            kek_id=self._kek.id,
            created_at=moment,
            announced_at=moment,
            activated_at=moment if state is KeyState.ACTIVE else None,
        )

    def _load(self, stored: tuple[StoredKey, ...]) -> "dict[str, RSAPrivateKey]":
        return {key.kid: self._loaded.get(key.kid) or self._open(key) for key in stored}

    def _open(self, stored: StoredKey) -> "RSAPrivateKey":
        try:
            private = generation.from_der(unseal(stored.sealed_private_key, kek=self._kek, kid=stored.kid))
        except (SealError, generation.KeyMaterialError) as error:
            raise KeyringError(str(error)) from error
        if PublicKey.of(private.public_key()).kid != stored.kid:
            raise KeyringError(f"signing key {stored.kid} is not the key that its kid names")
        return private


def _states(stored: tuple[StoredKey, ...]) -> frozenset[KeyState]:
    return frozenset(KeyState(key.state) for key in stored)


def _names(keys: Keys) -> tuple[str, tuple[str, ...]]:
    return keys.active.kid, tuple(key.kid for key in keys.published)
