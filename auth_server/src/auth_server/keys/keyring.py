"""The keys this replica signs with and publishes, kept in step with the database."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from auth_server.keys.custody import LocalKey, SigningKey
from auth_server.keys.lifecycle import PUBLISHED, KeyState
from auth_server.keys.opening import Keks, KeyringError, open_private, open_public
from auth_server.keys.policy import RotationPolicy
from auth_server.keys.public_key import PublicKey
from auth_server.storage import signing_keys
from auth_server.storage.connection import Connection, Pool
from auth_server.storage.signing_keys import StoredKey
from farseal.clock import uptime
from farseal.problems import ProblemError
from farseal.service.postgres import RETRY_AFTER_SECONDS, database_errors
from farseal.vocabulary import MAX_REVOKED

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

log = structlog.get_logger(__name__)

_LOOKS: Final = 3
"""At the database before giving up: each one more is lost to a key that was replaced in just that moment."""


class KeysUnconfirmed(ProblemError):  # noqa: N818 - a state of the world, as DatabaseUnavailable is
    """The keys in memory may be out of date: nothing is signed until the database has been read. 503, Retry-After."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "keys_unconfirmed",
            "the signing keys have not been confirmed lately",
            {"Retry-After": str(RETRY_AFTER_SECONDS)},
        )


@dataclass(frozen=True, slots=True)
class Keys:
    """What a keyring holds at one moment; replaced whole."""

    active: SigningKey
    published: tuple[PublicKey, ...]
    revoked: tuple[str, ...] = ()
    sequence: int = 0
    """Of the state in the database."""
    unconfirmed: tuple[str, ...] = ()
    """The published keys of which no publication has been confirmed yet."""
    faults: tuple[str, ...] = ()
    """Why keys that are to be published do not open."""
    missing: tuple[str, ...] = ()
    """Their kids."""
    states: Mapping[str, int] | None = None
    """How many keys there are, by state."""

    @property
    def said(self) -> tuple[object, ...]:
        """What others see of it."""
        return self.active.kid, self.sequence, self.published, self.revoked


class Keyring:
    """Loads the signing keys and holds them in memory.

    Signing goes on with what is held while the database is away, for as long as the lease of the policy: whoever has
    not heard of a new key for longer must not sign with the old one, which may not be published any more.

    Args:
        pool: of the database.
        keks: open the keys.
        policy: gives the lease and the longest life of a token.
        monotonic: seconds of a clock that is never set, and goes on while the machine sleeps.
    """

    def __init__(
        self, pool: Pool, keks: Keks, policy: RotationPolicy, *, monotonic: Callable[[], float] = uptime
    ) -> None:
        self._pool = pool
        self._keks = keks
        self._policy = policy
        self._monotonic = monotonic
        self._opened: dict[str, RSAPrivateKey | PublicKey] = {}
        self._keys: Keys | None = None
        self._read_at = 0.0

    @property
    def keys(self) -> Keys:
        """The keys of the last good refresh. There must have been one."""
        if self._keys is None:
            raise RuntimeError("the keyring is not prepared")
        return self._keys

    def active_key(self) -> SigningKey:
        """The key that signs now.

        Raises:
            KeysUnconfirmed: the lease has run out.
        """
        keys = self.keys
        if self._monotonic() - self._read_at > self._policy.lease_seconds:
            raise KeysUnconfirmed
        return keys.active

    async def refresh(self) -> bool:
        """Take over what the database says; True when the held keys changed.

        Before the active key is taken over, its row says how long the tokens of this replica may live: the moment at
        which it may be dropped is reckoned from that.

        Raises:
            KeyringError: no key is active, or the active one does not open; what was held stays.
            DatabaseUnavailable: the database cannot be reached; what was held stays.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                began, sequence, stored = await self._read(conn)
        opened, faults = await asyncio.to_thread(self._open_all, stored)
        keys = _keys(sequence, stored, opened, faults)
        if (before := self._keys) is None or before.faults != faults:
            for fault in faults:
                log.error("a published key does not open", reason=fault)
        self._opened, self._keys, self._read_at = opened, keys, began
        return before is None or before.said != keys.said

    async def flush(self, counts: Mapping[str, int]) -> None:
        """Add to the stored numbers of signatures, by kid.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        if counts:
            with database_errors():
                async with self._pool.acquire() as conn:
                    await signing_keys.count_signatures(conn, counts)

    async def _read(self, conn: Connection) -> tuple[float, int, tuple[StoredKey, ...]]:
        for _ in range(_LOOKS):
            # The lease begins before the question: the answer may be that old.
            began = self._monotonic()
            sequence, stored = await signing_keys.snapshot(conn)
            active = next((one for one in stored if one.state is KeyState.ACTIVE), None)
            if active is None:
                raise KeyringError("no signing key is active")
            if active.key.token_seconds >= self._policy.max_token_seconds or await signing_keys.raise_token_seconds(
                conn, active.kid, self._policy.max_token_seconds
            ):
                return began, sequence, stored
        raise KeyringError("the active key changed at every look")

    def _open_all(
        self, stored: tuple[StoredKey, ...]
    ) -> "tuple[dict[str, RSAPrivateKey | PublicKey], tuple[str, ...]]":
        opened: dict[str, RSAPrivateKey | PublicKey] = {}
        faults: list[str] = []
        for one in stored:
            if one.state not in PUBLISHED:
                continue
            try:
                opened[one.kid] = self._opened.get(one.kid) or self._open(one)
            except KeyringError as error:
                if one.state is KeyState.ACTIVE:
                    raise
                faults.append(str(error))
        return opened, tuple(faults)

    def _open(self, stored: StoredKey) -> "RSAPrivateKey | PublicKey":
        if stored.sealed_private_key is None:
            return open_public(stored, self._keks)
        return open_private(stored, self._keks)


def _keys(
    sequence: int,
    stored: tuple[StoredKey, ...],
    opened: "Mapping[str, RSAPrivateKey | PublicKey]",
    faults: tuple[str, ...],
) -> Keys:
    active = next(one.kid for one in stored if one.state is KeyState.ACTIVE)
    private = opened[active]
    assert not isinstance(private, PublicKey)  # noqa: S101 - the database refuses an active key without a private half
    # What is published comes from what was sealed, never from a column that anybody may write.
    published = (one if isinstance(one, PublicKey) else PublicKey.of(one.public_key()) for one in opened.values())
    revoked = sorted((one for one in stored if one.state is KeyState.REVOKED), key=lambda one: one.key.revoked_at or 0)
    return Keys(
        active=LocalKey(active, private),
        published=tuple(sorted(published, key=lambda key: key.kid)),
        revoked=tuple(sorted(one.kid for one in revoked[-MAX_REVOKED:])),
        sequence=sequence,
        unconfirmed=tuple(one.kid for one in stored if one.kid in opened and one.key.published_at is None),
        faults=faults,
        missing=tuple(one.kid for one in stored if one.state in PUBLISHED and one.kid not in opened),
        states=Counter(str(one.state) for one in stored),
    )
