"""The list's cursor: a position, spelled so that nobody reads a meaning into it."""

import hashlib
from typing import Final

from farseal.encoding import EncodingError, b64url_decode, b64url_encode

POSITION_BYTES: Final = 8
CHECKSUM_BYTES: Final = 8
CHECKSUM_CONTEXT: Final = b"resource_a notes cursor 1"
MAX_POSITION: Final = 2**63 - 1
"""The largest ``bigint``."""


class CursorError(ValueError):
    """Not a cursor that this service made."""


def encode_cursor(position: int) -> str:
    """Spell the position of the last note of a page."""
    raw = position.to_bytes(POSITION_BYTES, "big")
    return b64url_encode(raw + _checksum(raw))


def decode_cursor(cursor: str) -> int:
    """Read a cursor back; only its one canonical spelling passes.

    The checksum is no signature. It turns a truncated or edited cursor into an error, where a list that silently began
    elsewhere would be believed. Nothing is to be gained by forging one: every page shows the caller's own view.

    Raises:
        CursorError: anything but a cursor made by `encode_cursor`.
    """
    try:
        raw = b64url_decode(cursor)
    except EncodingError as error:
        raise CursorError("not a cursor of this list") from error
    position = raw[:POSITION_BYTES]
    if len(raw) != POSITION_BYTES + CHECKSUM_BYTES or raw[POSITION_BYTES:] != _checksum(position):
        raise CursorError("not a cursor of this list")
    number = int.from_bytes(position, "big")
    if not 1 <= number <= MAX_POSITION:
        raise CursorError("not a cursor of this list")
    return number


def _checksum(raw: bytes) -> bytes:
    return hashlib.sha256(CHECKSUM_CONTEXT + raw).digest()[:CHECKSUM_BYTES]
