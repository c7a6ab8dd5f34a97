"""A light HTTP/1.1 client for load on loopback: one request at a time on one connection that is kept.

It costs a few microseconds where a full client costs a few hundred, so that on a small machine the load measures the
servers and not itself. It reads what our own servers send (a status, ``Content-Length``, a whole body) and takes
everything else for a failure.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

MOST_BYTES: Final = 1 << 20
"""Of an answer."""
PATIENCE_SECONDS: Final = 10.0
"""Until an answer counts as missing."""


class WireError(Exception):
    """No answer came: refused, cut off, too late, or nothing that this client reads. Its text names the kind."""


def named(status: int, told: object) -> str:
    """Name an answer by its status, and by the ``code`` of a problem or the ``error`` of OAuth in its JSON."""
    word = told.get("code", told.get("error", "")) if isinstance(told, dict) else ""
    return f"{status} {word}".strip()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    body: bytes

    @property
    def kind(self) -> str:
        """Name the answer as failures are counted: the status, and the ``code`` of a problem."""
        try:
            return named(self.status, json.loads(self.body))
        except ValueError:
            return named(self.status, None)


class _Protocol(asyncio.Protocol):
    """Collects one answer at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiter: asyncio.Future[Reply] | None = None
        self._received = bytearray()
        self._status = 0
        self._whole = -1
        """Length of head and body; -1 until the head is there."""
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of create_connection
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect; hand over when the answer is whole."""
        received = self._received
        received += data
        if self._whole < 0:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._status, length, self.closing = read_head(bytes(received[:end]))
            if length < 0:
                self.fail("unreadable answer")
                return
            self._whole = end + 4 + length
        if len(received) >= self._whole:
            body = bytes(received[received.find(b"\r\n\r\n") + 4 : self._whole])
            received.clear()
            self._whole = -1
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(Reply(self._status, body))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it was lost
        """Tell whoever waits."""
        self.closing = True
        self.fail("connection lost")

    def fail(self, kind: str) -> None:
        """End the waiting with a failure, and the connection."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(WireError(kind))
        self.closing = True
        if self.transport is not None:
            self.transport.abort()


def read_head(head: bytes) -> tuple[int, int, bool]:
    """Give status, length of the body and whether the connection ends after it; length -1 for what is not read here."""
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.1") or not words[1].isdigit():
        return 0, -1, True
    length, closing = -1, False
    status = int(words[1])
    if status in {204, 304}:
        length = 0
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"content-length" and value.strip().isdigit():
            length = int(value)
        elif name == b"connection" and value.strip().lower() == b"close":
            closing = True
    return status, length if length <= MOST_BYTES else -1, closing


class Wire:
    """One connection to one server, opened when it is needed.

    Args:
        url: of the server; its path is ignored.
        patience: seconds until an answer counts as missing.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE_SECONDS) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._patience = patience
        self._protocol: _Protocol | None = None

    async def get(self, path: str, *, token: str) -> Reply:
        """Send a GET with a bearer token.

        Raises:
            WireError: no answer came.
        """
        return await self._ask(
            f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )

    async def post(self, path: str, body: bytes, *, headers: Mapping[str, str]) -> Reply:
        """Send a POST.

        Raises:
            WireError: no answer came.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        return await self._ask(head.encode() + body)

    def close(self) -> None:
        """Close the connection; harmless when there is none."""
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.abort()
        self._protocol = None

    async def _ask(self, request: bytes) -> Reply:
        loop = asyncio.get_running_loop()
        protocol = self._protocol
        if protocol is None or protocol.closing:
            self.close()
            try:
                async with asyncio.timeout(self._patience):
                    _, protocol = await loop.create_connection(_Protocol, self._host, self._port)
            except TimeoutError:
                raise WireError("no connection in time") from None
            except OSError:
                raise WireError("connection refused") from None
            self._protocol = protocol
        transport = protocol.transport
        if transport is None:
            raise WireError("connection lost")
        waiter: asyncio.Future[Reply] = loop.create_future()
        protocol.waiter = waiter
        transport.write(request)
        timer = loop.call_later(self._patience, protocol.fail, "no answer in time")
        try:
            return await waiter
        finally:
            timer.cancel()
            protocol.waiter = None
            if not waiter.done() or waiter.cancelled():  # whoever asked has gone: the answer must not be the next one's
                self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
