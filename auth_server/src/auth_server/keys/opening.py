"""From stored rows to keys, with the KEKs of this server. A key takes milliseconds: call these off the event loop."""

from typing import TYPE_CHECKING

import msgspec

from auth_server.keys import generation
from auth_server.keys.public_key import PublicKey
from auth_server.keys.sealing import PUBLIC_MAGIC, Kek, SealError, seal, unseal
from farseal.errors import FarsealError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from auth_server.storage.signing_keys import StoredKey

Keks = tuple[Kek, ...]
"""The first one seals, all of them open."""


class KeyringError(FarsealError):
    """Stored keys cannot be used: sealed under another KEK, altered, or none is active."""


def open_private(stored: "StoredKey", keks: Keks) -> "RSAPrivateKey":
    """The private half of a key of ours.

    Raises:
        KeyringError: it does not open, is no key to sign with, or not the one that its kid names.
    """
    if stored.sealed_private_key is None:
        raise KeyringError(f"signing key {stored.kid} has no private half")
    try:
        private = generation.from_der(unseal(stored.sealed_private_key, keks=keks, kid=stored.kid))
    except SealError as error:
        raise KeyringError(str(error)) from error
    except generation.KeyMaterialError as error:
        raise KeyringError(f"signing key {stored.kid} is {error}") from error
    if PublicKey.of(private.public_key()).kid != stored.kid:
        raise KeyringError(f"signing key {stored.kid} is not the key that its kid names")
    return private


def open_public(stored: "StoredKey", keks: Keks) -> PublicKey:
    """The public half of a key that came back from a published document.

    Raises:
        KeyringError: it does not open, or is not the key that its kid names.
    """
    if stored.sealed_public_key is None:
        raise KeyringError(f"signing key {stored.kid} has no sealed public half")
    try:
        plain = unseal(stored.sealed_public_key, keks=keks, kid=stored.kid, magic=PUBLIC_MAGIC)
        public = msgspec.json.decode(plain, type=PublicKey)
    except (SealError, msgspec.DecodeError) as error:
        raise KeyringError(str(error)) from error
    if public.kid != stored.kid:
        raise KeyringError(f"signing key {stored.kid} is not the key that its kid names")
    return public


def seal_public(public: PublicKey, keks: Keks) -> bytes:
    """The public half, sealed for its own row."""
    return seal(msgspec.json.encode(public), kek=keks[0], kid=public.kid, magic=PUBLIC_MAGIC)
