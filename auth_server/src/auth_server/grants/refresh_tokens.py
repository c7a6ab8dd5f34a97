"""Refresh tokens: how they are spelled, and how the server makes each one from what it keeps. Pure.

``fsr_`` + base64url(session id (16 bytes) || generation (4, big endian) || secret (32)) + base64url(CRC-32 of all
before it (4)). The prefix is for scanners that look for leaked secrets; with the checksum a slip costs no query.

``secret = HMAC-SHA256(pepper, nonce || session id || generation)``: the nonce (32 random bytes) is in the database, the
pepper comes from a key that the database never sees. Neither alone makes a token, and no token makes another one. The
database keeps SHA-256 of the token that is good, which is enough to take it, even when its pepper has been lost.
"""

import hashlib
import hmac
from binascii import crc32
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from farseal.encoding import EncodingError, b64url_decode, b64url_encode

PREFIX: Final = "fsr_"
NONCE_BYTES: Final = 32
MAX_GENERATION: Final = 2**31 - 1
"""As the column holds it: a rotation every second for 68 years."""

_GENERATION_BYTES: Final = 4
_SECRET_BYTES: Final = 32
_BODY_CHARACTERS: Final = 70
_CHECKSUM_CHARACTERS: Final = 6
CHARACTERS: Final = len(PREFIX) + _BODY_CHARACTERS + _CHECKSUM_CHARACTERS
"""Length of every refresh token."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a token says of itself. That it is spelled well does not make it genuine."""

    session_id: UUID
    generation: int
    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text, which is what the database has."""
        return hashlib.sha256(self.text.encode()).digest()


def parse(text: str) -> RefreshToken | None:
    """The token in its one spelling; None for everything else. Every slip in one character is noticed."""
    if len(text) != CHARACTERS or not text.startswith(PREFIX) or not text.isascii():
        return None
    head, checksum = text[:-_CHECKSUM_CHARACTERS], text[-_CHECKSUM_CHARACTERS:]
    if checksum != _checksum(head):
        return None
    try:
        body = b64url_decode(head[len(PREFIX) :])
    except EncodingError:
        return None
    generation = int.from_bytes(body[16 : 16 + _GENERATION_BYTES], "big")
    if generation > MAX_GENERATION:
        return None
    return RefreshToken(UUID(bytes=body[:16]), generation, text)


def derive(pepper: bytes, nonce: bytes, session_id: UUID, generation: int) -> RefreshToken:
    """The one token of this generation under this pepper.

    Raises:
        OverflowError: the generation does not fit into four bytes.
    """
    said = session_id.bytes + generation.to_bytes(_GENERATION_BYTES, "big")
    head = PREFIX + b64url_encode(said + hmac.digest(pepper, nonce + said, "sha256"))
    return RefreshToken(session_id, generation, head + _checksum(head))


def is_genuine(token: RefreshToken, peppers: Sequence[bytes], nonce: bytes) -> bool:
    """Whether the server made it, under any of its peppers. Takes the same time whatever is wrong with it."""
    text, genuine = token.text.encode(), False
    for pepper in peppers:
        made = derive(pepper, nonce, token.session_id, token.generation)
        genuine |= hmac.compare_digest(made.text.encode(), text)
    return genuine


def rebuild(
    digest: bytes, peppers: Sequence[bytes], nonce: bytes, session_id: UUID, generation: int
) -> RefreshToken | None:
    """The token whose ``digest`` the database has; None when none of the peppers made it."""
    for pepper in peppers:
        made = derive(pepper, nonce, session_id, generation)
        if hmac.compare_digest(made.digest, digest):
            return made
    return None


def _checksum(head: str) -> str:
    return b64url_encode(crc32(head.encode()).to_bytes(4, "big"))
