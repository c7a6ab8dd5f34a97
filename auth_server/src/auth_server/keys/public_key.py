"""The public half of a signing key, as it is published (RFC 7517, RFC 7518 section 6.3.1)."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import msgspec

from farseal.encoding import b64url_encode
from farseal.vocabulary import ALGORITHM

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An RSA public key; ``n`` and ``e`` are base64url of the shortest big-endian bytes."""

    n: str
    e: str

    @classmethod
    def of(cls, key: "RSAPublicKey") -> Self:
        """The same key, as JWK members."""
        numbers = key.public_numbers()
        return cls(n=_base64url_uint(numbers.n), e=_base64url_uint(numbers.e))

    @property
    def bits(self) -> int:
        """Of the modulus, in whole bytes: 2048, 3072 or 4096 for keys that are made here."""
        return len(self.n) * 6 // 8 * 8

    @property
    def kid(self) -> str:
        """RFC 7638 SHA-256 thumbprint: the same key has the same name everywhere."""
        canonical = msgspec.json.encode({"e": self.e, "kty": "RSA", "n": self.n})
        return b64url_encode(hashlib.sha256(canonical).digest())

    def jwk(self) -> dict[str, str]:
        """The members that are published: for RS256 signatures and nothing else."""
        return {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": self.kid, "n": self.n, "e": self.e}


def _base64url_uint(number: int) -> str:
    return b64url_encode(number.to_bytes((number.bit_length() + 7) // 8))
