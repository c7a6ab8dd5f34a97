"""Private keys at rest: AES-256-GCM under a key-encryption key (KEK) that the database never sees.

A sealed key is ``magic(4) kek-id(8) nonce(12) ciphertext tag(16)``. Everything before the ciphertext, and the kid, are
authenticated: a sealed key moved to the row of another kid does not open. The public half of a key that came back from
a published document is sealed too, under a magic of its own, against whoever can write to the database alone.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farseal.errors import FarsealError

KEK_BYTES: Final = 32
MAGIC: Final = b"FSK1"
"""Names the format of a private half, and its version."""
PUBLIC_MAGIC: Final = b"FSP1"
"""Of a public half; neither opens as the other."""
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
"""Random for every seal; a KEK seals a few keys in its life, far from the 2**32 at which collisions matter."""
_MAX_FILE_BYTES: Final = 1024

FORMATS: Final = "64 hex digits, 43 characters of base64url, or 32 raw random bytes"
"""What a KEK file may hold; white space may end the two text forms, and base64 may be padded and standard."""


class KekError(FarsealError):
    """The KEK file cannot be used. The message names the file, never its content."""


class SealError(Exception):
    """A sealed key does not open: altered, cut, or put under another kid."""


class WrongKekError(SealError):
    """Sealed under another KEK than the one this server was given."""


@dataclass(frozen=True, slots=True)
class Kek:
    """A key-encryption key. ``id`` is derived one way and may be stored and logged."""

    secret: bytes = field(repr=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEK_BYTES:
            raise ValueError(f"a KEK is {KEK_BYTES} bytes")
        digest = hmac.digest(self.secret, b"farseal kek id", hashlib.sha256)
        object.__setattr__(self, "id", digest[:_ID_BYTES].hex())


def pepper_of(kek: Kek) -> bytes:
    """What refresh tokens are made with: derived one way from the KEK, so that the database alone makes none."""
    return hmac.digest(kek.secret, b"farseal refresh tokens", hashlib.sha256)


def read_kek(path: Path) -> Kek:
    """The KEK in a file, in one of `FORMATS`.

    Raises:
        KekError: the file is missing, unreadable, too long, or does not hold 32 random bytes in a known form. 32 bytes
            of printable text are refused: they are a pass phrase, not a key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KekError(f"KEK file {path}: {error.strerror or type(error).__name__}") from error
    secret = _decode(content)
    if secret is None:
        raise KekError(f"KEK file {path}: must hold {FORMATS}; this one has {_size(content)} in no such form")
    if len(set(secret)) == 1:
        raise KekError(f"KEK file {path}: all bytes are equal, this is not a random key")
    return Kek(secret)


def _size(content: bytes) -> str:
    return f"over {_MAX_FILE_BYTES} bytes" if len(content) > _MAX_FILE_BYTES else f"{len(content)} bytes"


def _decode(content: bytes) -> bytes | None:
    if len(content) == KEK_BYTES and not all(0x20 <= byte < 0x7F or byte in b"\t\r\n" for byte in content):
        return content
    text = content.rstrip()
    if re.fullmatch(rb"[0-9A-Fa-f]{64}", text):
        return bytes.fromhex(text.decode("ascii"))
    if re.fullmatch(rb"[A-Za-z0-9_+/-]{43}=?", text):
        standard = text.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/") + b"="
        try:
            return base64.b64decode(standard, validate=True)
        except binascii.Error:  # pragma: no cover - the pattern leaves nothing to refuse
            return None
    return None


def exposure(path: Path) -> str | None:
    """A warning when group or others may read the KEK file, else None. The file was readable a moment ago."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return f"KEK file {path} has mode {mode:04o}: others than its owner can reach it; chmod 0600 it"
    return None


def seal(plain: bytes, *, kek: Kek, kid: str, magic: bytes = MAGIC) -> bytes:
    """Encrypt a private key for the row of ``kid``, or with `PUBLIC_MAGIC` a public one."""
    head = magic + bytes.fromhex(kek.id)
    nonce = os.urandom(_NONCE_BYTES)
    return head + nonce + AESGCM(kek.secret).encrypt(nonce, plain, head + kid.encode())


def unseal(sealed: bytes, *, keks: Iterable[Kek], kid: str, magic: bytes = MAGIC) -> bytes:
    """The private key that was sealed for ``kid`` under one of ``keks``, or with `PUBLIC_MAGIC` a public one.

    Raises:
        WrongKekError: none of them did.
        SealError: the bytes are of another format, or were altered, or belong to another kid.
    """
    head, rest = sealed[: len(MAGIC) + _ID_BYTES], sealed[len(MAGIC) + _ID_BYTES :]
    if not head.startswith(magic) or len(rest) <= _NONCE_BYTES:
        raise SealError(f"signing key {kid} is not in the sealed format {magic.decode()}")
    sealed_under, given = head[len(magic) :].hex(), {kek.id: kek for kek in keks}
    if sealed_under not in given:
        ours = f"one is {next(iter(given))}" if len(given) == 1 else f"ones are {', '.join(given)}"
        raise WrongKekError(f"signing key {kid} is sealed under KEK {sealed_under}, the given {ours}")
    try:
        return AESGCM(given[sealed_under].secret).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + kid.encode())
    except InvalidTag:
        raise SealError(f"signing key {kid} was altered in the database, or belongs to another kid") from None
