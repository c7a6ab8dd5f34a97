"""Counts packets from some networks of a project to others, by the host's own packet filter: what no service can hide.

Needs the right to set up the filter (root on the engine's host) and ``iptables``; `can_count` tells whether that is so.
The rules only count, and are removed at the end; those of a run that was killed are left to `remove_rules`.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from farseal_testing.commands import run

if TYPE_CHECKING:
    from farseal_testing.compose import Project

TABLE: Final = ("iptables", "-w", "5", "-t", "raw")
CHAIN: Final = "PREROUTING"
"""Every packet of a container passes here before anything decides where it may go."""


async def can_count() -> bool:
    """Tell whether packets can be counted here."""
    if os.getuid() != 0 or shutil.which("iptables") is None:
        return False
    return (await run(*TABLE, "-L", CHAIN, "-n", check=False)).status == 0


async def remove_rules(project: str) -> int:
    """Remove the rules that count for a project, by its name; tell how many there were."""
    if not await can_count():
        return 0
    rules = [shlex.split(line) for line in (await run(*TABLE, "-S", CHAIN)).out.splitlines() if line.startswith("-A ")]
    ours = [words[2:] for words in rules if project in words]
    for words in ours:
        await run(*TABLE, "-D", CHAIN, *words)
    return len(ours)


class PacketCount:
    """Counts as long as the context lasts.

    Args:
        project: that is up.
        sources: networks of it, by their names in the compose file.
        targets: the same.
    """

    def __init__(self, project: "Project", sources: Iterable[str], targets: Iterable[str]) -> None:
        self._project = project
        self._sources = list(sources)
        self._targets = list(targets)
        self._rules: list[tuple[str, ...]] = []

    async def __aenter__(self) -> Self:
        try:
            for source in self._sources:
                for target in self._targets:
                    addresses = ("-s", await self.subnet(source), "-d", await self.subnet(target))
                    words = (*addresses, "-m", "comment", "--comment", self._project.name)
                    await run(*TABLE, "-I", CHAIN, *words)
                    self._rules.append(words)
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._remove()

    async def packets(self) -> int:
        """Give how many there were so far."""
        listed = (await run(*TABLE, "-L", CHAIN, "-v", "-n", "-x")).out
        return sum(int(count) for count in re.findall(rf"^\s*(\d+) .*{self._project.name}", listed, re.MULTILINE))

    async def subnet(self, network: str) -> str:
        """Give the addresses of a network of the project, in CIDR notation."""
        (config,) = (await self._project.network(network))["IPAM"]["Config"]
        return str(config["Subnet"])

    async def _remove(self) -> None:
        while self._rules:
            await run(*TABLE, "-D", CHAIN, *self._rules.pop(), check=False)


async def addresses(project: "Project", *services: str) -> dict[str, str]:
    """Give the IPv4 addresses of services' containers, each with ``service/network`` that it is of."""
    found: dict[str, str] = {}
    for service in services:
        for container in await project.containers(service):
            networks: dict[str, Any] = (await project.inspect(container))["NetworkSettings"]["Networks"]
            found |= {
                network["IPAddress"]: f"{service}/{name.removeprefix(project.name + '_')}"
                for name, network in networks.items()
                if network["IPAddress"]
            }
    return found
