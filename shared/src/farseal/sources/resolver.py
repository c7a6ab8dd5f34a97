"""Names to addresses in threads of ours: those of the loop are the application's, and a name server may hang."""

import asyncio
import ipaddress
import socket
from concurrent.futures import Executor

from aiohttp.abc import AbstractResolver, ResolveResult

from farseal.identifiers import is_loopback


class ThreadResolver(AbstractResolver):
    """Asks the system, in the given threads.

    A name that is loopback by its spelling must lead to loopback (RFC 6761 section 6.3): plain http is allowed on the
    strength of it, and there are name servers that make something else of it.
    """

    def __init__(self, threads: Executor) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            OSError: there are none.
        """
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port, family)
        if is_loopback(host):
            found = [result for result in found if ipaddress.ip_address(result["host"]).is_loopback]
        if not found:
            raise OSError(None, "no address")
        return found

    async def close(self) -> None:
        """Nothing is held."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    results: list[ResolveResult] = []
    for found, _, proto, _, address in socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    ):
        # A link-local address would need its scope, which a URL cannot say.
        scope = address[-1] if found == socket.AF_INET6 else 0
        if not scope:
            results.append(
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=int(address[1]),
                    family=found,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
    return results
