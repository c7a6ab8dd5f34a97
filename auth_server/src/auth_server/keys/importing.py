"""A private key from outside becomes a ready key."""

import asyncio
from typing import Final

import asyncpg
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from auth_server.keys.generation import KeyMaterialError, check
from auth_server.keys.opening import Keks
from auth_server.keys.pool import add_ready, ready_key
from auth_server.keys.requests import Refused
from auth_server.storage.connection import Connection
from auth_server.storage.signing_keys import StoredKey

MAX_BYTES: Final = 16 * 1024
"""A key of 4096 bits is 3.3 KiB as PEM."""

DISTANCE_BITS: Final = 100
"""By how many bits the difference of the factors may be shorter than they are (FIPS 186-5 appendix A.1.3): Fermat's
method finds factors that lie close together at once."""


def read_private_key(content: bytes) -> RSAPrivateKey:
    """An RSA private key in PEM or DER, PKCS #8 or PKCS #1, without a pass phrase.

    It comes from outside, and so OpenSSL proves its factors prime: half a second at 3072 bits, in a thread please.
    OpenSSL takes factors of any size: a short one, or two that lie close together, are found from the public half.

    Raises:
        KeyMaterialError: it cannot be read, is protected by a pass phrase, is not RSA, not of a size and exponent that
            verifiers take, its numbers do not belong together, or its factors are easily found. Nothing of it is
            quoted.
    """
    if len(content) > MAX_BYTES:
        raise KeyMaterialError(f"longer than {MAX_BYTES} bytes")
    load = load_pem_private_key if content.lstrip().startswith(b"-----BEGIN ") else load_der_private_key
    try:
        key = load(content, password=None)
    except TypeError:
        raise KeyMaterialError("protected by a pass phrase; take it off first") from None
    except Exception:  # noqa: BLE001 - of many kinds; none may carry on what it was given
        raise KeyMaterialError("not a private key in PEM or DER, or one that is not valid") from None
    private = check(key)
    if not _is_hard(private):
        raise KeyMaterialError("an RSA key whose factors are easily found")
    return private


async def import_key(
    conn: Connection, content: bytes, keks: Keks, *, actor: str, reason: str | None, now: int
) -> StoredKey | Refused:
    """Store a private key as a ready one, sealed under the first KEK. It is published nowhere yet.

    Returns:
        The row, or why it was refused: the key is there already, whatever state it is in.

    Raises:
        KeyMaterialError: as `read_private_key`.
    """
    private = await asyncio.to_thread(read_private_key, content)
    stored = await asyncio.to_thread(ready_key, private, keks, now=now)
    try:
        await add_ready(conn, stored, actor=actor, action="import", reason=reason, now=now)
    except asyncpg.UniqueViolationError:
        return Refused(f"key {stored.kid} is there already")
    return stored


def _is_hard(key: RSAPrivateKey) -> bool:
    """Whether both factors have half of the bits, and lie apart (FIPS 186-5 appendix A.1.3)."""
    numbers, half = key.private_numbers(), key.key_size // 2
    return (
        numbers.p.bit_length() == numbers.q.bit_length() == half
        and abs(numbers.p - numbers.q).bit_length() > half - DISTANCE_BITS
    )
