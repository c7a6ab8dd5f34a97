"""The addresses of a service: bound before anything else is started, so that a busy port costs nothing."""

import asyncio
import errno
import socket
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from farseal.errors import FarsealError
from farseal.service.connection import Connection
from farseal.service.crowd import ACCEPTED_AT_ONCE, Crowd
from farseal.service.metrics import ServiceMetrics

QUEUED: Final = 1024
"""Connections that the system holds until they are accepted; it cuts this down to its own limit."""


class ListenError(FarsealError):
    """An address cannot be had. The message is one line for an operator."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen. ``port`` 0 lets the system choose; ``setting`` names the variable to change when it is taken."""

    host: str
    port: int
    setting: str | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def error(self, error: OSError) -> ListenError:
        """What to tell the operator about an address that cannot be had."""
        match error.errno:
            case errno.EADDRINUSE:
                reason, remedy = "the port is in use", "stop the program that uses it"
            case errno.EACCES:
                reason, remedy = "this user may not use the port", "take one above 1023"
            case errno.EADDRNOTAVAIL | socket.EAI_NONAME:
                reason, remedy = "no such address on this machine", "correct the host"
            case _:
                reason, remedy = error.strerror or type(error).__name__, "choose another address"
        hint = f"{remedy}, or set {self.setting}" if self.setting else remedy
        return ListenError(f"cannot listen on {self}: {reason}; {hint}")


def bind(listen: Listen) -> socket.socket:
    """A socket bound to the first address of ``listen``, not listening yet.

    Raises:
        ListenError: the address is taken, forbidden or not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise listen.error(error) from None
    try:
        # Connections of a process that just ended must not keep the port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise listen.error(error) from None
    return bound


class Site(web.BaseSite):
    """A bound socket that serves a runner's application through `Connection`, at most ``most`` at a time."""

    __slots__ = ("_crowd", "_listen", "_metrics", "_socket")

    def __init__(
        self, runner: web.BaseRunner, listen: Listen, bound: socket.socket, metrics: ServiceMetrics, *, most: int
    ) -> None:
        super().__init__(runner)
        self._crowd = Crowd(most, metrics)
        self._listen = listen
        self._socket = bound
        self._metrics = metrics

    @property
    def name(self) -> str:
        """The URL, with the port that the system chose."""
        return f"http://{Listen(self._listen.host, self._socket.getsockname()[1])}"

    async def start(self) -> None:
        """Begin to accept connections.

        Raises:
            ListenError: another process took the port since it was bound.
        """
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")
        try:
            self._server = await asyncio.get_running_loop().create_server(
                partial(Connection, server, self._metrics, self._crowd), sock=self._socket, backlog=ACCEPTED_AT_ONCE
            )
            # asyncio takes one number for what the system queues and for what one turn of the loop accepts.
            self._socket.listen(QUEUED)
        except OSError as error:
            raise self._listen.error(error) from None

    async def stop(self) -> None:
        """Stop accepting, and then close the listener.

        In this order: asyncio takes a connection in one turn of its loop and makes its protocol in the next. A listener
        that closes in between leaves the connection open and unread, and its client waiting.
        """
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            await asyncio.sleep(0)
        await super().stop()
