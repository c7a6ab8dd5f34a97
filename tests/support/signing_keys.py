"""Signing keys at every point of their lives, as rows; what is sealed in them opens nowhere."""

from auth_server.keys import lifecycle
from auth_server.keys.lifecycle import Key, KeyState
from auth_server.keys.policy import RotationPolicy
from auth_server.storage import signing_keys
from auth_server.storage.signing_keys import StoredKey

DAY = 86400
POLICY = RotationPolicy(
    rotation_seconds=30 * DAY, announce_seconds=DAY, max_token_seconds=DAY, verifier_refresh_seconds=300,
    leeway_seconds=300, clock_skew_seconds=30, cache_seconds=60, publication_seconds=30, lease_seconds=60,
)  # fmt: skip
"""What an empty environment says."""


def kid(name: str) -> str:
    """A kid that can be read."""
    return f"{name:_<43}"


def ready(name: str, made: int) -> Key:
    """In the pool."""
    return Key(kid=kid(name), state=KeyState.READY, created_at=made)


def announced(name: str, at: int, *, published: bool = True) -> Key:
    """Announced at a moment, and with its publication confirmed then."""
    key = lifecycle.announced(ready(name, at - 60), now=at)
    return lifecycle.confirmed(key, POLICY, now=at - 1) if published else key


def active(name: str, at: int) -> Key:
    """Signs since a moment, announced long before."""
    return lifecycle.activated(announced(name, at - 2 * DAY), POLICY, now=at)


def retiring(name: str, at: int) -> Key:
    """Retired at a moment."""
    return lifecycle.retired(active(name, at - 30 * DAY), POLICY, now=at)


def stored(key: Key, *, signatures: int = 0, revoked_reason: str | None = None) -> StoredKey:
    """A row of the key."""
    return StoredKey(
        key=key, public_jwk={"kty": "RSA"}, sealed_private_key=b"sealed", kek_id="4b454b", bits=3072,
        signatures=signatures, revoked_reason=revoked_reason,
    )  # fmt: skip


async def insert(conn, *keys: Key | StoredKey) -> None:
    """Store keys as if they had come there by themselves."""
    for key in keys:
        row = key if isinstance(key, StoredKey) else stored(key)
        await signing_keys.insert(conn, row)
        await signing_keys.count_signatures(conn, {row.kid: row.signatures})
