"""Writes tokens: the compact serialisation around the signature of a key, in threads.

A local key signs without the interpreter's lock, so threads give as many signatures as there are cores. A gate in front
of them bounds how many may wait: past it a caller is told to come back, instead of everybody waiting longer.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from auth_server.gate import Gate, Place
from auth_server.keys.custody import SigningKey
from auth_server.keys.header import encoded_header
from farseal.encoding import b64url_encode

MAX_WAITING: Final = 256
"""Signatures that may wait. At 2 ms each (3072 bits) on two cores the last one waits a quarter of a second."""


class SignatureCounts:
    """Numbers by kid, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[str] = Counter()

    def add(self, numbers: Mapping[str, int]) -> None:
        """Count signatures."""
        with self._lock:
            self._numbers.update(numbers)

    def take(self) -> dict[str, int]:
        """The numbers since this was asked last."""
        with self._lock:
            taken, self._numbers = self._numbers, Counter()
        return dict(taken)


class Signer:
    """Threads that sign, behind a bounded gate. Close it when the service ends.

    It counts the signatures of each key, for whoever stores the numbers now and then.

    Args:
        name: of the threads.
        threads: signatures that are made at once; as many as there are cores unless told.
        max_waiting: signatures that may wait.
        counts: of another signer, where these signatures are to be counted too.
    """

    def __init__(
        self,
        name: str = "sign",
        *,
        threads: int | None = None,
        max_waiting: int = MAX_WAITING,
        counts: "SignatureCounts | None" = None,
    ) -> None:
        self._gate = Gate(name, threads=threads or os.cpu_count() or 1, waiting=max_waiting)
        self.counts = counts or SignatureCounts()

    @contextlib.contextmanager
    def reserved(self) -> Iterator[Place]:
        """Room for one signature.

        Raises:
            GateFull: too many signatures are waiting already.
        """
        with self._gate.reserved() as place:
            yield place

    async def sign(self, payload: bytes, key: SigningKey, *, token_type: str, place: Place | None = None) -> str:
        """A compact JWS over ``payload``, byte for byte as given (RFC 7515 section 3.1).

        The header holds ``alg``, ``kid`` and ``typ``, in one compact spelling.

        Args:
            payload: of the token.
            key: signs.
            token_type: ``typ``.
            place: that was reserved; None takes one now.

        Raises:
            GateFull: too many signatures are waiting already.
        """
        run = self._gate.run if place is None else place.run
        return await run(self._sign, payload, key, token_type)

    def take_counts(self) -> dict[str, int]:
        """How many signatures each key has made since this was asked last."""
        return self.counts.take()

    def give_back_counts(self, counts: Mapping[str, int]) -> None:
        """Numbers that were taken and could not be stored."""
        self.counts.add(counts)

    def _sign(self, payload: bytes, key: SigningKey, token_type: str) -> str:
        message = f"{encoded_header(key.kid, token_type)}.{b64url_encode(payload)}"
        signature = key.sign(message.encode("ascii"))
        self.counts.add({key.kid: 1})
        return f"{message}.{b64url_encode(signature)}"

    def close(self) -> None:
        """Take no more work; what has begun is finished."""
        self._gate.close()
