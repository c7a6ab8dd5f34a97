"""The one module that signs.

The signature of `cryptography` releases the GIL, so threads give as many signatures as there are cores. A gate in front
of them bounds how many may wait: past it a caller is told to come back, instead of everybody waiting longer.
"""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.api_jws import PyJWS

from farseal.vocabulary import ALGORITHM

if TYPE_CHECKING:
    from concurrent.futures import Future

MAX_WAITING: Final = 256
"""Signatures that may wait. At 2 ms each (3072 bits) on two cores the last one waits a quarter of a second."""


class SigningOverloaded(Exception):  # noqa: N818 - a state of the server, not a fault of the caller
    """The gate is full: answer 503 with ``Retry-After``, the load is a matter of seconds."""

    retry_after = 1


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in memory, loaded once; ``kid`` goes into every header."""

    kid: str
    private: RSAPrivateKey = field(repr=False)


class Signer:
    """Threads that sign, behind a bounded gate. Close it when the service ends."""

    def __init__(self, *, threads: int | None = None, max_waiting: int = MAX_WAITING) -> None:
        workers = threads or os.cpu_count() or 1
        self._jws = PyJWS(algorithms=[ALGORITHM])
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="sign")
        self._gate = threading.Semaphore(workers + max_waiting)

    async def sign(self, payload: bytes, key: SigningKey, *, token_type: str) -> str:
        """A compact JWS over ``payload``, byte for byte as given (RFC 7515 section 3.1).

        The header holds ``alg``, ``kid`` and ``typ``, in one compact spelling.

        Raises:
            SigningOverloaded: too many signatures are waiting already.
        """
        if not self._gate.acquire(blocking=False):
            raise SigningOverloaded
        try:
            future = self._threads.submit(self._sign, payload, key, token_type)
        except BaseException:
            self._gate.release()
            raise
        # Released when the thread is done, not when the caller leaves: a cancelled request costs its signature too.
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def _sign(self, payload: bytes, key: SigningKey, token_type: str) -> str:
        return self._jws.encode(payload, key.private, ALGORITHM, headers={"kid": key.kid, "typ": token_type})

    def _release(self, _done: "Future[str]") -> None:
        self._gate.release()

    def close(self) -> None:
        """Take no more work; what has begun is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)
