"""A compose project of one's own: under a name that nobody else has, on ports that are free, and taken down whole.

    async with Project(root) as project:
        await project.up()
        await project.farseal_auth("keys", "list")
        await project.kill("auth_server")

Both composes will do: ``docker compose`` (v2) and docker-compose 1.29. What a run leaves behind that was itself killed,
the next one finds: see `farseal_testing.leftovers`.
"""

import asyncio
import json
import os
import random
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from farseal_testing import leftovers
from farseal_testing.commands import CommandError, Result, run

OPS_PORTS: Final[Mapping[str, int]] = {"auth_server": 9100, "resource_a": 9101, "resource_b": 9102}
"""Of probes and metrics, inside the containers; no other container's business, and not published."""
FETCH: Final = (
    "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
)
IMAGES_USER: Final = 10001
DOCUMENTS: Final = "/var/lib/farseal/published/documents"
"""Where the published documents are, in every container that has their volume."""
KEPT: Final = ("PATH", "HOME", "LANG", "XDG_CONFIG_HOME", "TMPDIR")
POLL_SECONDS: Final = 0.1


class ComposeError(CommandError):
    """No compose is there, or the project did not do what was asked."""


async def find_compose(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Give the words that compose is called by: ``FARSEAL_COMPOSE`` where it is set, else what is there.

    Raises:
        ComposeError: neither is, or no engine answers.
    """
    if named := environ.get("FARSEAL_COMPOSE"):
        return tuple(named.split())
    if shutil.which("docker") is None:
        raise ComposeError("Docker is not here")
    found = await run("docker", "info", "--format", "{{.ServerVersion}}", check=False)
    if found.status != 0:
        raise ComposeError(f"no Docker engine answers: {found.err.strip()[-300:]}")
    if (await run("docker", "compose", "version", check=False)).status == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose") is not None:
        return ("docker-compose",)
    raise ComposeError("compose is not here: install Docker's compose plugin, or docker-compose 1.29 or newer")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a project answers on this machine."""

    auth: int
    notes: int
    reports: int

    @classmethod
    def free(cls) -> Self:
        """Choose ports that nobody has, below those that outgoing connections take by themselves."""
        found: list[int] = []
        while len(found) < 3:
            port = random.randint(20000, 32000)  # noqa: S311 - no secret
            with socket.socket() as probe:
                if port not in found and probe.connect_ex(("127.0.0.1", port)) != 0:
                    found.append(port)
        return cls(*found)

    @property
    def all(self) -> tuple[int, int, int]:
        """All of them, in their order."""
        return self.auth, self.notes, self.reports


def operations_url(service: str, path: str) -> str:
    """Give the address of a page of the ops port, as it is inside a container of the service."""
    return f"http://127.0.0.1:{OPS_PORTS[service]}{path}"


class Project:
    """One compose project, from its secrets to the last volume.

    Args:
        root: folder of compose.yaml.
        name: of the project; one that nobody else has when not given.
        files: compose files, the first one first; relative to ``root``.
        environ: further variables for the compose files, ``FARSEAL_HOST`` say.
        tag: of the images.
        tls: whether everything is over TLS, by compose.tls.yaml; `ca` is then what its clients trust.
    """

    def __init__(
        self,
        root: Path,
        *,
        name: str | None = None,
        files: Sequence[str | Path] = ("compose.yaml", "compose.quick.yaml"),
        environ: Mapping[str, str] | None = None,
        tag: str | None = None,
        tls: bool = False,
    ) -> None:
        self.root = root.absolute()
        self.scheme = "https" if tls else "http"
        self.name = name or leftovers.new_name()
        self.ports = Ports.free()
        self.folder = Path(tempfile.mkdtemp(prefix=leftovers.FOLDER_PREFIX))
        self.secrets = self.folder / "secrets"
        self.ca = self.secrets / "tls" / "ca.crt" if tls else None
        """Certificate of the authority that clients have to trust, where there is one."""
        files = [*files, "compose.tls.yaml"] if tls else files
        user = os.getuid() or IMAGES_USER
        group = os.getgid() if os.getuid() else IMAGES_USER
        self.environment = {name: value for name, value in os.environ.items() if name in KEPT or "DOCKER" in name} | {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": os.pathsep.join(str(self.root / file) for file in files),
            "COMPOSE_ANSI": "never",
            "FARSEAL_SECRETS": str(self.secrets),
            "FARSEAL_UID": str(user),
            "FARSEAL_GID": str(group),
            "FARSEAL_TAG": tag or os.environ.get("FARSEAL_TAG", "dev"),
            "FARSEAL_AUTH_PORT": str(self.ports.auth),
            "FARSEAL_NOTES_PORT": str(self.ports.notes),
            "FARSEAL_REPORTS_PORT": str(self.ports.reports),
            **(environ or {}),
        }
        self._compose: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        """Make the secrets; nothing runs yet."""
        try:
            self._compose = await find_compose(os.environ)
            leftovers.own(self.folder, self.name)
            await run("sh", str(self.root / "scripts" / "secrets.sh"), str(self.secrets), directory=self.root)
            if self.ca is not None:
                words = ("-m", "scripts.certificates", str(self.ca.parent))
                await run(sys.executable, *words, directory=self.root)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take everything down."""
        await self.down()

    # -- the whole

    async def run(self, *words: str, stdin: bytes | None = None, check: bool = True, seconds: float = 60.0) -> Result:
        """Run a compose command of this project, ``run("config")`` say.

        Raises:
            CommandError: it failed, or took too long.
        """
        return await run(
            *self._compose,
            *words,
            environment=self.environment,
            directory=self.root,
            stdin=stdin,
            check=check,
            seconds=seconds,
        )

    async def build(self, *services: str, seconds: float = 900.0) -> None:
        """Build the images, or those of some services, and say in them what they are made of."""
        told = await run("sh", str(self.root / "scripts" / "revision.sh"))
        self.environment["FARSEAL_REVISION"] = told.out.strip()
        await self.run("build", *services, seconds=seconds)

    async def up(
        self, *services: str, scale: Mapping[str, int] | None = None, wait: bool = True, seconds: float = 180.0
    ) -> None:
        """Start services, all when none is named, with what they depend on; wait until they are healthy.

        Raises:
            CommandError: one did not start.
            ComposeError: one is not healthy in time.
        """
        scaled = [word for name, count in (scale or {}).items() for word in ("--scale", f"{name}={count}")]
        await self.run("up", "-d", *scaled, *services, seconds=seconds)
        if wait:
            await self.healthy(*services, seconds=seconds)

    async def down(self) -> None:
        """Remove containers, networks, volumes and secrets, in whatever state. To be called twice is no fault."""
        try:
            await leftovers.remove(self.name)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- containers

    async def services(self) -> list[str]:
        """Give the names of the services that the compose files have."""
        return (await self.run("config", "--services")).out.split()

    async def containers(self, service: str | None = None, *, stopped: bool = False) -> list[str]:
        """Give the ids of a service's containers, the first replica first; of every service when none is named.

        Args:
            service: its name.
            stopped: whether those are meant too that do not run.
        """
        filters = [f"label=com.docker.compose.project={self.name}", "label=com.docker.compose.oneoff=False"]
        if service is not None:
            filters.append(f"label=com.docker.compose.service={service}")
        wanted = [word for one in filters for word in ("--filter", one)]
        shown = '{{.Label "com.docker.compose.container-number"}} {{.ID}}'
        found = await run(
            "docker", "ps", "--no-trunc", "--format", shown, *wanted, *(["--all"] if stopped else []), seconds=30
        )
        pairs = [line.split() for line in found.out.splitlines()]
        return [ident for _, ident in sorted((int(number), ident) for number, ident in pairs)]

    async def container(self, service: str, *, index: int = 1, stopped: bool = False) -> str:
        """Give the id of one replica, counted from 1.

        Raises:
            ComposeError: there are not so many.
        """
        found = await self.containers(service, stopped=stopped)
        if len(found) < index:
            raise ComposeError(f"{service} of {self.name} has {len(found)} containers, number {index} is wanted")
        return found[index - 1]

    async def inspect(self, container: str) -> dict[str, Any]:
        """Give what the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads((await run("docker", "inspect", container)).out)
        return found[0]

    async def network(self, name: str) -> dict[str, Any]:
        """Give what the engine knows of a network of the project."""
        found: list[dict[str, Any]] = json.loads((await run("docker", "network", "inspect", self._full(name))).out)
        return found[0]

    async def exec(
        self,
        service: str,
        *command: str,
        index: int = 1,
        user: str | None = None,
        stdin: bytes | None = None,
        check: bool = True,
        seconds: float = 60.0,
    ) -> Result:
        """Run a command in a container of a service.

        Raises:
            CommandError: it failed (with ``check``), or took too long.
        """
        options = [*(["-i"] if stdin is not None else []), *(["--user", user] if user is not None else [])]
        container = await self.container(service, index=index)
        return await run("docker", "exec", *options, container, *command, stdin=stdin, check=check, seconds=seconds)

    async def python(
        self, service: str, program: str, *arguments: str, index: int = 1, check: bool = True, seconds: float = 60.0
    ) -> Result:
        """Run a Python program, given as its text, in a container of one of our own services."""
        return await self.exec(
            service, "python", "-P", "-c", program, *arguments, index=index, check=check, seconds=seconds
        )

    async def farseal_auth(self, *words: str, stdin: bytes | None = None, check: bool = True) -> Result:
        """Run the operator's command ``farseal-auth`` in a container of the auth server."""
        return await self.exec("auth_server", "farseal-auth", *words, stdin=stdin, check=check)

    async def metrics(self, service: str) -> str:
        """Give the metrics of a service, of all of its replicas one after the other (Prometheus text format)."""
        return await self.operations_page(service, "/metrics")

    async def operations_page(self, service: str, path: str) -> str:
        """Give a page of a service's ops port, ``/trust`` say, of all of its replicas one after the other."""
        url = operations_url(service, path)
        count = len(await self.containers(service))
        told = [await self.python(service, FETCH, url, index=index + 1) for index in range(count)]
        return "".join(one.out for one in told)

    async def logs(self, service: str, *, tail: int = 50) -> str:
        """Give the last lines that the containers of a service wrote."""
        told = []
        for container in await self.containers(service, stopped=True):
            found = await run("docker", "logs", "--tail", str(tail), container, check=False)
            told.append(found.out + found.err)
        return "".join(told)

    # -- what happens to them

    async def signal(self, verb: str, container: str) -> None:
        """Do something to one container: ``start``, ``stop``, or a signal by its name, ``KILL`` or ``HUP`` say."""
        words = (verb,) if verb in {"start", "stop"} else ("kill", "--signal", verb)
        await run("docker", *words, container, seconds=120)

    async def start(self, *services: str) -> None:
        """Start the stopped containers of services; `healthy` says when they serve."""
        await self._each("start", services, stopped=True)

    async def stop(self, *services: str) -> None:
        """Stop services as an operator does: SIGTERM, then what their grace period allows."""
        await self._each("stop", services)

    async def restart(self, *services: str) -> None:
        """Stop and start services."""
        await self._each("restart", services)

    async def kill(self, *services: str) -> None:
        """End services as a crash does, with SIGKILL. The engine does not start them again by itself."""
        await self._each("kill", services)

    async def pause(self, *services: str) -> None:
        """Freeze services: their sockets stay open and nobody answers."""
        await self._each("pause", services)

    async def unpause(self, *services: str) -> None:
        """Let paused services go on."""
        await self._each("unpause", services)

    async def disconnect(self, network: str, service: str) -> None:
        """Pull a service's cable: its containers leave a network of the project."""
        for container in await self.containers(service):
            await run("docker", "network", "disconnect", self._full(network), container)

    async def connect(self, network: str, service: str) -> None:
        """Plug it in again, under the service's name."""
        for container in await self.containers(service):
            await run("docker", "network", "connect", "--alias", service, self._full(network), container)

    async def healthy(self, *services: str, seconds: float = 60.0) -> None:
        """Wait until services are healthy, all when none is named; a one-shot when it has ended with 0.

        Raises:
            ComposeError: they are not in time, or a one-shot failed. Says which, and what it wrote last.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            waiting = await self._not_healthy(services)
            if not waiting:
                return
            failed = {name for name, state in waiting.items() if state.startswith("exited")}
            if failed or asyncio.get_running_loop().time() >= deadline:
                name = min(failed or waiting)
                told = await self.logs(name, tail=15)
                raise ComposeError(f"not healthy after {seconds:.0f} s: {waiting}; {name} says: {told}")
            await asyncio.sleep(POLL_SECONDS)

    # -- how to reach them

    def url(self, service: str) -> str:
        """Give the address of ``auth_server``, ``resource_a`` or ``resource_b`` on this machine."""
        ports = {"auth_server": self.ports.auth, "resource_a": self.ports.notes, "resource_b": self.ports.reports}
        return f"{self.scheme}://127.0.0.1:{ports[service]}"

    def password(self, person: str) -> str:
        """Give the password of one of the people that the project begins with: alice, bob, carol."""
        return (self.secrets / f"{person}_password").read_text()

    def _full(self, network: str) -> str:
        return f"{self.name}_{network}"

    async def _each(self, verb: str, services: Iterable[str], *, stopped: bool = False) -> None:
        for service in services:
            found = await self.containers(service, stopped=stopped)
            if not found:
                raise ComposeError(f"{service} of {self.name} has no container to {verb}")
            await run("docker", verb, *found, seconds=120)

    async def _not_healthy(self, services: Sequence[str]) -> dict[str, str]:
        """Give the state of each service that is not healthy."""
        waiting: dict[str, str] = {}
        wanted: Sequence[str | None] = services or [None]
        for name in wanted:
            found = await self.containers(name, stopped=True)
            if not found:
                waiting[name or self.name] = "not there"
                continue
            told: list[dict[str, Any]] = json.loads((await run("docker", "inspect", *found)).out)
            for one in told:
                state, labels = one["State"], one["Config"]["Labels"]
                told_state = state["Health"]["Status"] if state.get("Health") and state["Running"] else state["Status"]
                good = told_state in {"healthy", "running"} or (state["Status"] == "exited" and state["ExitCode"] == 0)
                if not good:
                    code = f" {state['ExitCode']}" if state["Status"] == "exited" else ""
                    waiting[labels["com.docker.compose.service"]] = f"{told_state}{code}"
        return waiting
