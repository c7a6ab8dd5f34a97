"""A way to PostgreSQL that kills whoever uses it at the n-th message that he sends."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

_TLS_REQUEST: Final = (80877103).to_bytes(4)


class KillingWire:
    """A proxy before a database. It counts the messages that clients send once told, and kills at the n-th one.

    The message itself is not passed on: the process ends right before the database would have heard it. Every
    statement is several messages (parse, describe, execute, sync), so that no place between two statements is missed.

    Args:
        dsn: of the database.
        at: kill at this message, 1 being the first; 0 kills nobody.
        kill: ends the process.
    """

    def __init__(self, dsn: str, *, at: int, kill: Callable[[], None]) -> None:
        self._target = dsn
        self._at = at
        self._kill = kill
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.counted = 0
        self.killed = False

    async def __aenter__(self) -> str:
        """Give the connection string that leads through here."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        parts = urlsplit(self._target)
        login = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{login}@127.0.0.1:{port}", query="").geturl()

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        parts = urlsplit(self._target)
        directory = parse_qs(parts.query).get("host", [None])[0]
        if directory is None:
            there = await asyncio.open_connection(parts.hostname, parts.port or 5432)
        else:
            there = await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.{parts.port or 5432}")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await asyncio.gather(self._forth(reader, there[1]), _back(there[0], writer))
        for one in (writer, there[1]):
            one.transport.abort()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Message by message: after the start-up each is a type, its length and its content."""
        try:
            asks_for_tls = True
            while asks_for_tls:  # the server says no, and the start-up message follows
                head = await reader.readexactly(4)
                start = await reader.readexactly(int.from_bytes(head) - 4)
                writer.write(head + start)
                asks_for_tls = start == _TLS_REQUEST
            while True:
                head = await reader.readexactly(5)
                message = head + await reader.readexactly(int.from_bytes(head[1:]) - 4)
                if head[:1] not in b"pX":  # neither the password nor the end
                    self.counted += 1
                    if self.counted == self._at:
                        self.killed = True
                        self._kill()
                        return
                writer.write(message)
                await writer.drain()
        finally:
            writer.transport.abort()


async def _back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.transport.abort()
