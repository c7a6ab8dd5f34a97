"""``python -m demo.containers``: the tour, played against the containers of compose.yaml.

A compose project of its own, beside whatever runs: another name, other ports, other secrets, and nothing is left of it
afterwards. The times are those of compose.quick.yaml, which are the demo's own.

Exit status: 0 when every claim of the tour held, 1 when one did not or something broke, 2 when there is no engine or no
compose, 128 + N when signal N ended it.
"""

import asyncio
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.inspection import InspectionError
from demo.screen import Screen
from demo.seed import PASSWORDS
from demo.stack import READY_SECONDS, RESOURCES, StackError
from demo.tour.program import tour
from farseal_testing import leftovers
from farseal_testing.commands import CommandError, Result
from farseal_testing.compose import FETCH, ComposeError, Project, operations_url
from farseal_testing.container_issuer import ContainerIssuer
from farseal_testing.packets import addresses

ROOT: Final = Path(__file__).parent.parent
ISSUING: Final = ("auth_server", "auth_gateway", "auth_db")
"""What nobody may have a connection to."""

LOOK: Final = """
import sys
wanted = set(sys.argv[1:])
found = 0
for name in ("/proc/net/tcp", "/proc/net/tcp6"):
    with open(name) as table:
        next(table)
        for line in table:
            address = line.split()[2].split(":")[0][-8:]  # the IPv4 address, also of one that is mapped into IPv6
            found += ".".join(str(byte) for byte in reversed(bytes.fromhex(address))) in wanted
print(found)
"""


@dataclass(frozen=True, slots=True)
class ProjectUrls:
    """Where a project answers."""

    issuer: str
    notes: str
    reports: str


class Containers:
    """A project as the tour's scenery."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.addresses = ProjectUrls(*(project.url(name) for name in ("auth_server", *RESOURCES)))
        self._issuer = ContainerIssuer(project)
        self._secrets: dict[str, str] = {}
        self._issuing: set[str] = set()

    @property
    def passwords(self) -> Mapping[str, str]:
        """Of the people, as `make secrets` made them."""
        return {person: self.project.password(person) for person in PASSWORDS}

    async def stop(self, name: str) -> None:
        """Stop all containers of a service."""
        await self.project.stop(name)

    async def launch(self, name: str) -> None:
        """Start them again. They may have other addresses then."""
        await self.project.start(name)
        self._issuing.clear()

    async def ready(self, names: Iterable[str]) -> None:
        """Wait until every container of these says that it is ready, more often than the engine asks it."""
        for name in names:
            url = operations_url(name, "/readyz")
            deadline = asyncio.get_running_loop().time() + READY_SECONDS
            for index in range(len(await self.project.containers(name))):
                while (told := await self.project.python(name, FETCH, url, index=index + 1, check=False)).status != 0:
                    if asyncio.get_running_loop().time() >= deadline:
                        raise StackError(f"{name} does not get ready: {told.err[-500:]}")
                    await asyncio.sleep(0.05)

    async def operate(self, *words: str, private: bool = False) -> tuple[int, str]:  # noqa: ARG002 - nothing is kept
        """Run an operator's command in a container of the auth server."""
        return both(await self.project.farseal_auth(*words, check=False))

    async def operate_program(self, program: str) -> tuple[int, str]:
        """Run a Python program there."""
        return both(await self.project.python("auth_server", program, check=False))

    async def operations_page(self, name: str, path: str) -> str:
        """Give a page of the ops port, asked for inside: it is not published."""
        return await self.project.operations_page(name, path)

    async def client_secret(self, client: str) -> str:
        """Give the secret of a client, which is made when it is first asked for."""
        if client not in self._secrets:
            self._secrets[client] = await self._issuer.secret_of(client)
        return self._secrets[client]

    async def connections_to_issuer(self) -> int:
        """Look at the tables of sockets inside both resource servers."""
        try:
            if not self._issuing:
                self._issuing = set(await addresses(self.project, *ISSUING))
            looks = [self.project.python(name, LOOK, *sorted(self._issuing)) for name in RESOURCES]
            return sum(int(look.out) for look in await asyncio.gather(*looks))
        except (CommandError, ValueError) as error:
            raise InspectionError(f"the sockets in a container cannot be seen: {error}") from error


def both(result: Result) -> tuple[int, str]:
    """Give status and output of a command; what it says of itself goes with what it prints."""
    return result.status, result.out + result.err


async def play(screen: Screen) -> bool:
    """Bring everything up, play the tour, take everything down."""
    await leftovers.clean()
    async with Project(ROOT) as project:
        with screen.step("images of the services"):
            await project.build()
        with screen.step(f"containers of the project {project.name} are healthy"):
            await project.up()
        screen.say()
        held = await tour(Containers(project), screen)
    screen.say()
    screen.say("every claim held" if held else "a claim was BROKEN", style="bold green" if held else "bold red")
    return held


async def until_signal(screen: Screen) -> int:
    """Play, unless a signal ends it: then too everything is taken down."""
    task = asyncio.ensure_future(play(screen))
    ended: list[signal.Signals] = []

    def interrupt(signum: signal.Signals) -> None:
        if not ended:
            ended.append(signum)
            task.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, interrupt, signum)
    try:
        return 0 if await task else 1
    except asyncio.CancelledError:
        if not ended:
            raise
        screen.say("stopped")
        return 128 + ended[0]


def main() -> int:
    """Play the tour; give the exit status."""
    try:
        return asyncio.run(until_signal(Screen()))
    except ComposeError as error:
        print(f"tour: {error}", file=sys.stderr)
        return 2
    except (CommandError, StackError) as error:
        print(f"tour: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
