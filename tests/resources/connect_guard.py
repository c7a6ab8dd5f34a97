"""Makes every outgoing connection of this process fail, but for those to addresses that are allowed."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch


class ConnectRefusedByGuardError(ConnectionRefusedError):
    """Somebody tried to reach what nobody may reach."""


@dataclass
class Attempts:
    """What was tried while the guard stood."""

    wanted: set[Any]
    refused: list[Any] = field(default_factory=list)
    allowed: list[Any] = field(default_factory=list)

    def allow(self, address: Any) -> None:
        """Let this address through from now on."""
        self.wanted.add(normal(address))


def normal(address: Any) -> Any:
    """An address without what IPv6 adds, or the path of a unix socket."""
    return tuple(address[:2]) if isinstance(address, tuple) else str(address)


@contextmanager
def only_connects_to(*addresses: Any) -> Iterator[Attempts]:
    """Refuse and record every other connect, datagram and name lookup, at the socket and at the event loop."""
    attempts = Attempts({normal(address) for address in addresses})

    def admit(address: Any) -> None:
        if normal(address) in attempts.wanted:
            attempts.allowed.append(normal(address))
        else:
            attempts.refused.append(normal(address))
            raise ConnectRefusedByGuardError(f"the guard refuses {normal(address)}")

    connect, connect_ex, sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
    loop_class = asyncio.BaseEventLoop
    selector = asyncio.selector_events.BaseSelectorEventLoop
    sock_connect, lookup = selector.sock_connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        admit(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        admit(address)
        return connect_ex(self, address)

    def guarded_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        admit(rest[-1])
        return sendto(self, data, *rest)

    async def guarded_sock_connect(self: Any, sock: socket.socket, address: Any) -> None:
        if normal(address) not in attempts.wanted:
            admit(address)
        await sock_connect(self, sock, address)

    def guarded_lookup(host: Any, *rest: Any, **named: Any) -> Any:
        try:
            ipaddress.ip_address(host or "127.0.0.1")
        except ValueError:
            admit((host, "a name lookup"))
        return lookup(host, *rest, **named)

    with (
        patch.object(socket.socket, "connect", guarded_connect),
        patch.object(socket.socket, "connect_ex", guarded_connect_ex),
        patch.object(socket.socket, "sendto", guarded_sendto),
        patch.object(selector, "sock_connect", guarded_sock_connect),
        patch.object(socket, "getaddrinfo", guarded_lookup),
        patch.object(loop_class, "sock_connect", guarded_sock_connect, create=True),
    ):
        yield attempts
