"""Who holds a private key and signs with it: the one home of signatures.

A key that lies in a security module or at a cloud's key service is another `SigningKey`; nothing around it changes.
"""

from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256


class SigningKey(Protocol):
    """A private key, wherever it is. ``kid`` goes into every header."""

    @property
    def kid(self) -> str: ...

    def sign(self, message: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256 over ``message`` (RFC 7518 section 3.3).

        Called in threads, several at a time. May take as long as a call over a network; what it raises ends the request
        with a 500.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A private key in the memory of this process, loaded once."""

    kid: str
    private: RSAPrivateKey = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """See `SigningKey`; two milliseconds at 3072 bits, without the interpreter's lock."""
        return self.private.sign(message, PKCS1v15(), SHA256())
