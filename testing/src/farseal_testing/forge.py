"""What an attacker can make without the private key, out of an honest token and the published keys."""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from farseal_testing.mint import b64, compact_json, jwk, unb64


class Forgery(StrEnum):
    """What can be made of an honest token and the published keys, without the private one."""

    ALG_NONE = "alg none"
    HS256 = "HS256 keyed with the public key"
    TYPE = "typ JWT"
    CRITICAL = "unknown crit"
    EMBEDDED_KEY = "key embedded in the token"
    ALTERED = "claims altered"
    STOLEN_KID = "signed by another key under the same kid"
    UNKNOWN_KEY = "signed by a key that nobody publishes"

    @property
    def code(self) -> str:
        """The ``code`` of the refusal, which is always 401."""
        return {
            Forgery.ALG_NONE: "algorithm_refused",
            Forgery.HS256: "algorithm_refused",
            Forgery.TYPE: "type_refused",
            Forgery.CRITICAL: "critical_refused",
            Forgery.UNKNOWN_KEY: "key_unknown",
        }.get(self, "signature_invalid")


Sign = Callable[[bytes], bytes]
"""The signing input to a signature."""


def encode(value: Mapping[str, Any]) -> str:
    """Spell one part of a token."""
    return b64(compact_json(value))


def decode(part: str) -> dict[str, Any]:
    """Read one part of a token."""
    value: dict[str, Any] = json.loads(unb64(part))
    return value


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
    return f"{head}.{payload}.{b64(sign(f'{head}.{payload}'.encode()))}"


def unsigned(_: bytes) -> bytes:
    """No signature at all (``alg`` none)."""
    return b""


def with_public_key_as_secret(public: Mapping[str, str]) -> Sign:
    """HMAC keyed with the text of the public key, which everybody has (algorithm confusion)."""
    numbers = rsa.RSAPublicNumbers(int.from_bytes(unb64(public["e"]), "big"), int.from_bytes(unb64(public["n"]), "big"))
    pem = numbers.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return lambda data: hmac.digest(pem, data, "sha256")


class OwnKey:
    """A key pair of the attacker's."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)

    def jwk(self, kid: str) -> dict[str, Any]:
        """Give the public half, as a token would carry it in ``jwk``."""
        return jwk(self._key, kid)

    def sign(self, data: bytes) -> bytes:
        """Sign as RS256."""
        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def random_kid() -> str:
    """Give a kid nobody publishes, of the length of a thumbprint."""
    return secrets.token_urlsafe(32)


def forged(forgery: Forgery, token: str, jwks: dict[str, Any]) -> str:
    """Make of an honest token and the published keys what somebody can make who has not the private one.

    Raises:
        LookupError: the key of the token is not published.
    """
    kid = decode(token.split(".", 1)[0])["kid"]
    published = {key["kid"]: key for key in jwks["keys"]}
    own = OwnKey()
    match forgery:
        case Forgery.ALG_NONE:
            return resigned(token, unsigned, header={"alg": "none"})
        case Forgery.HS256:
            return resigned(token, with_public_key_as_secret(published[kid]), header={"alg": "HS256"})
        case Forgery.TYPE:
            return altered(token, header={"typ": "JWT"})
        case Forgery.CRITICAL:
            return altered(token, header={"crit": ["https://example.com/unknown"]})
        case Forgery.EMBEDDED_KEY:
            return resigned(token, own.sign, header={"jwk": own.jwk(kid)})
        case Forgery.ALTERED:
            return altered(token, claims={"sub": "somebody-else", "roles": ["org_admin"]})
        case Forgery.STOLEN_KID:
            return resigned(token, own.sign, header={})
        case Forgery.UNKNOWN_KEY:
            return resigned(token, own.sign, header={"kid": random_kid()})
