"""The one module that signs.

The signature of `cryptography` releases the GIL, so threads give as many signatures as there are cores. A gate in front
of them bounds how many may wait: past it a caller is told to come back, instead of everybody waiting longer.
"""

import os
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.api_jws import PyJWS

from auth_server.gate import Gate
from farseal.vocabulary import ALGORITHM

MAX_WAITING: Final = 256
"""Signatures that may wait. At 2 ms each (3072 bits) on two cores the last one waits a quarter of a second."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in memory, loaded once; ``kid`` goes into every header."""

    kid: str
    private: RSAPrivateKey = field(repr=False)


class Signer:
    """Threads that sign, behind a bounded gate. Close it when the service ends."""

    def __init__(self, *, threads: int | None = None, max_waiting: int = MAX_WAITING) -> None:
        self._jws = PyJWS(algorithms=[ALGORITHM])
        self._gate = Gate("sign", threads=threads or os.cpu_count() or 1, waiting=max_waiting)

    async def sign(self, payload: bytes, key: SigningKey, *, token_type: str) -> str:
        """A compact JWS over ``payload``, byte for byte as given (RFC 7515 section 3.1).

        The header holds ``alg``, ``kid`` and ``typ``, in one compact spelling.

        Raises:
            GateFull: too many signatures are waiting already.
        """
        return await self._gate.run(self._sign, payload, key, token_type)

    def _sign(self, payload: bytes, key: SigningKey, token_type: str) -> str:
        return self._jws.encode(payload, key.private, ALGORITHM, headers={"kid": key.kid, "typ": token_type})

    def close(self) -> None:
        """Take no more work; what has begun is finished."""
        self._gate.close()
