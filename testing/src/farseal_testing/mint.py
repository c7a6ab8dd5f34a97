"""Documents and tokens of any shape, however bad, signed with real keys: what `farseal_testing.issuer` is made of.

Nothing is decided here, so that a test can have whatever it names: a claim or a header member given as None is left
out, one given as anything else is taken as it is. Encodings are the standard library's own, so that the code under test
is not its own witness.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Undo it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact_json(value: object) -> bytes:
    """JSON without white space."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@cache
def private_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:  # noqa: ARG001 - the cache has it
    """The same key for the same name within a process: generation is the slow part of most tests."""
    return rsa.generate_private_key(65537, bits)


def jwk(key: rsa.RSAPrivateKey, kid: str, **members: Any) -> dict[str, Any]:
    """The public half as a member of a key set (RFC 7517), with other members if wanted."""
    numbers = key.public_key().public_numbers()
    return {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": kid,
        "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
        "e": "AQAB",
    } | members


def sign(header: bytes, payload: bytes, key: rsa.RSAPrivateKey) -> str:
    """A compact JWS over exactly these bytes, however bad they are."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    return f"{signing_input}.{b64(key.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def packed(data: bytes) -> str:
    """An ``lst``."""
    return b64(zlib.compress(data, 9))


def bits_of(revoked: Iterable[int], size: int) -> bytes:
    """Entries of one bit each."""
    data = bytearray(size // 8)
    for index in revoked:
        data[index // 8] |= 1 << index % 8
    return bytes(data)


def write(file: Path, data: bytes) -> None:
    """In the place of what is there, whole."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_bytes(data)
    temporary.replace(file)


def thumbprint(key: rsa.RSAPrivateKey) -> str:
    """The kid that an issuer of ours gives to a key (RFC 7638)."""
    said = jwk(key, "")
    return b64(hashlib.sha256(compact_json({name: said[name] for name in ("e", "kty", "n")})).digest())


def digest(document: bytes) -> str:
    """Of a status list, as the index of lists has it."""
    return b64(hashlib.sha256(document).digest())
