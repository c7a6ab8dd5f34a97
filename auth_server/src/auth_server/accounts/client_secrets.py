"""Secrets of clients: made by us with 256 bits of chance, shown once, stored as SHA-256.

A slow hash guards what people can think of. There is nothing to guess here, and argon2 on every token request would
cost client_credentials its throughput.

For the same reason wrong secrets are not throttled at the token endpoint. A thousand guesses a second for the age of
the universe find one of 2**256 with a chance below 2**-185; each costs us a look-up and a SHA-256. A limit on failures
would let anybody who knows a client's id, which is no secret, keep that client out. Failures are counted and logged
(`invalid_client`) for those who watch.
"""

import hashlib
import hmac
import secrets
from typing import Final

PREFIX: Final = "fsc_"
"""Lets scanners of leaked secrets recognise one."""
SECRET_BYTES: Final = 32

_NOBODYS_HASH: Final = bytes(32)
"""Compared with when there is no client or no secret. No known text hashes to it."""


def new_secret() -> str:
    """Make a secret: the prefix and 43 characters of base64url."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret: SHA-256 of its UTF-8 bytes; a lone surrogate is hashed, not refused."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def matches(presented: str, stored: bytes | None) -> bool:
    """Tell whether this is the secret, in the same time when there is none (``stored`` None, always False)."""
    equal = hmac.compare_digest(hash_secret(presented), _NOBODYS_HASH if stored is None else stored)
    return equal and stored is not None
