"""Starts the demo's processes, watches them, and stops them."""

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import aiohttp

from demo.commands import run_to_end, shorten, tail
from demo.databases import Database, ensure_databases, role_dsn
from demo.inspection import descendants, remote_ports
from demo.places import write_secret
from demo.postgres import EmbeddedPostgres
from demo.processes import Guarded, bare_environment
from demo.seed import CLIENT, PASSWORDS, manifest_text
from demo.services import OPS_OFFSET, Addresses, Service, services
from demo.state import State

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
RESOURCES: Final = ("resource_a", "resource_b")


class StackError(Exception):
    """Something did not start, or ended by itself. The message says which, and how its log ends."""


class Stack:
    """The processes of one demo.

    Args:
        addresses: where they listen.
        state: where their files are; its lock is held by the caller.
        lock: descriptor of that lock, for the guards.
    """

    def __init__(self, addresses: Addresses, state: State, *, lock: int) -> None:
        self.addresses = addresses
        self.state = state
        self._keep_open = (lock,)
        self._services: dict[str, Service] = {}
        self._running: dict[str, Guarded] = {}
        self._postgres: EmbeddedPostgres | None = None

    async def open_databases(self, admin_dsn: str | None) -> list[str]:
        """Start the embedded server, or take the visitor's; make roles and databases; tell what was made."""
        kek_is_new = self.state.ensure_kek()
        embedded = admin_dsn is None
        if admin_dsn is None:
            self._postgres = EmbeddedPostgres(self.state.postgres, keep_open=self._keep_open)
            if kek_is_new:  # keys sealed by another one would be found, and open no more
                self._postgres.forget()
            await asyncio.to_thread(self._postgres.start)
            admin_dsn = self._postgres.dsn()
        databases = [
            Database(name, self.state.password(name)) for name in database_names(self.addresses, embedded=embedded)
        ]
        made = await ensure_databases(admin_dsn, databases)
        if kek_is_new and not any(item == f"database {databases[0].name}" for item in made):
            self.state.kek.unlink()
            raise StackError(
                f"the database {databases[0].name} is from another state folder: the key that opens its keys is not "
                f"in {self.state.secrets}. Drop it and start again: DROP DATABASE {databases[0].name}"
            )
        if made:
            self._seed_mark.unlink(missing_ok=True)
        if f"database {databases[0].name}" in made:
            self.state.forget_documents()
        auth_dsn, notes_dsn = (
            self.state.write_secret(f"{database.name}-dsn", role_dsn(admin_dsn, database)) for database in databases
        )
        self._services = {service.name: service for service in self.describe(auth_dsn, notes_dsn)}
        lines = [f"{name}={value}\n" for name, value in self._services["auth_server"].settings.items()]
        self.state.operator_settings.write_text("".join(lines))
        return made

    def describe(self, auth_dsn: Path, notes_dsn: Path) -> tuple[Service, ...]:
        """Describe what runs here; another stack runs something else on the same databases.

        Args:
            auth_dsn: file that holds the connection string of the auth server's database.
            notes_dsn: the same for resource_a.
        """
        return services(self.addresses, self.state, auth_dsn=auth_dsn, notes_dsn=notes_dsn)

    async def migrate(self) -> None:
        """Bring both databases to their newest schema, side by side."""
        await asyncio.gather(
            self.run("auth_server", "migrate"),
            self.run("resource_a", "migrate"),
        )

    async def seed(self) -> bool:
        """Make resources, clients and people, unless that was done; tell whether it was needed."""
        manifest = manifest_text(self.addresses)
        digest = hashlib.sha256(repr((manifest, PASSWORDS)).encode()).hexdigest()
        client = self.state.client_secret(CLIENT)
        if client.exists() and self._seed_mark.exists() and self._seed_mark.read_text() == digest:
            return False
        file = self.state.root / "seed.yaml"
        file.write_text(manifest)
        client.unlink(missing_ok=True)
        await self.run("auth_server", "apply", "--yes", "--secrets-dir", str(client.parent), str(file))
        if not client.exists():  # it had a secret already, of which only the hash is left
            await self.run("auth_server", "client", "rotate-secret", CLIENT, "--secret-file", str(client))
        for username, password in PASSWORDS.items():
            given = self.state.write_secret("typed", password + "\n")
            await self.run("auth_server", "user", "set-password", username, "--stdin", stdin=given)
            given.unlink()
        self._seed_mark.write_text(digest)
        return True

    async def run(self, name: str, *words: str, stdin: Path | None = None, private: bool = False) -> str:
        """Run a command of a service with that service's settings, to its end; give what it printed.

        Args:
            name: of the service.
            words: the command and its arguments; the first one names the log.
            stdin: file that the command reads.
            private: what it prints is a secret, and is kept nowhere.

        Raises:
            StackError: it failed.
        """
        status, printed = await self.attempt(name, *words, stdin=stdin, private=private)
        if status != 0:
            raise StackError(f"{name} {words[0]} failed with status {status}.{shorten(printed, 'What it printed')}")
        return printed

    async def attempt(
        self, name: str, *words: str, program: Path | None = None, stdin: Path | None = None, private: bool = False
    ) -> tuple[int, str]:
        """Do the same for a command that may be refused; give its exit status too.

        Args:
            program: a Python program that is run in the service's place, with its settings.

        Raises:
            StackError: it does not come to an end.
        """
        service = self._services[name]
        log = (self.state.secrets if private else self.state.logs) / f"{name}-{words[0]}.log"
        log.unlink(missing_ok=True)
        if private:
            write_secret(log, "")
        command = service.command if program is None else (sys.executable, "-P", str(program))
        try:
            status = await run_to_end(
                [*command, *words],
                environment=environment_of(service),
                log=log,
                directory=self.state.root,
                keep_open=self._keep_open,
                stdin=stdin,
            )
        except TimeoutError:
            raise StackError(f"{name} {words[0]} does not come to an end.{tail(log)}") from None
        printed = log.read_text(errors="replace")
        if private:
            log.unlink()
        return status, printed

    @property
    def names(self) -> tuple[str, ...]:
        """Give the names of the services."""
        return tuple(self._services)

    def start(self, name: str) -> None:
        """Start a service; it is ready when `ready` says so."""
        service = self._services[name]
        self._running[name] = Guarded(
            [*service.command, *service.words],
            environment=environment_of(service),
            log=self.state.logs / f"{name}.log",
            directory=self.state.root,
            keep_open=self._keep_open,
            options=("--grace", str(STOP_SECONDS - 2)),
        )

    async def launch(self, name: str) -> None:
        """Start a service; it is ready when `ready` says so."""
        self.start(name)

    async def bring_up(self) -> None:
        """Start every service, in no order: none needs another one to start."""
        for name in self.names:
            (self.state.logs / f"{name}.log").unlink(missing_ok=True)
            self.start(name)
        await self.ready(self.names)

    async def ready(self, names: Iterable[str]) -> None:
        """Wait until every one of these says it is ready.

        Raises:
            StackError: one ended, or took too long.
        """
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            await asyncio.gather(*(self._ready(session, name) for name in names))

    async def stop(self, name: str) -> None:
        """Stop a service with SIGTERM and wait for its end."""
        process = self._running.pop(name)
        await asyncio.to_thread(process.stop, STOP_SECONDS)

    async def kill(self, name: str) -> None:
        """End a service as a crash does, with SIGKILL, and wait until it is gone."""
        process = self._running.pop(name)
        for pid in descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(process.stop, STOP_SECONDS)

    @property
    def passwords(self) -> Mapping[str, str]:
        """Give the passwords of the demo's people."""
        return PASSWORDS

    async def operate(self, *words: str, private: bool = False) -> tuple[int, str]:
        """Run an operator's command of the auth server; give its exit status and what it printed."""
        return await self.attempt("auth_server", *words, private=private)

    async def operate_program(self, program: str) -> tuple[int, str]:
        """Run a Python program, given as its text, with the auth server's settings; give the same of it."""
        file = self.state.root / "program.py"
        file.write_text(program)
        return await self.attempt("auth_server", "program", program=file)

    async def operations_page(self, name: str, path: str) -> str:
        """Give a page of a service's ops port."""
        url = self._services[name].ready.removesuffix("/readyz") + path
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session, session.get(url) as page:
            return await page.text()

    async def client_secret(self, client: str) -> str:
        """Give the secret of a client, of the file that the seed made."""
        return self.state.client_secret(client).read_text().strip()

    async def connections_to_issuer(self) -> int:
        """Count the resource servers' connections to any port of the auth server at this moment."""
        issuer_ports = {self.addresses.port, self.addresses.port + OPS_OFFSET}
        pids = [pid for name in RESOURCES for pid in self.pids(name)]
        return len(await asyncio.to_thread(remote_ports, pids) & issuer_ports)

    def pids(self, name: str) -> list[int]:
        """Give the process ids of a service, its guard left out."""
        return descendants(self._running[name].pid)

    async def watch(self) -> None:
        """Return never; raise when something has ended by itself.

        Raises:
            StackError: naming it, with the end of its log.
        """
        while True:
            self.check()
            await asyncio.sleep(0.2)

    def check(self) -> None:
        """Raise `StackError` when something has ended by itself."""
        for name, process in list(self._running.items()):
            status = process.poll()
            if status is not None:
                raise StackError(f"{name} ended by itself with status {status}.{tail(process.log)}")
        if self._postgres is not None and (status := self._postgres.poll()) is not None:
            raise StackError(f"PostgreSQL ended by itself with status {status}.{tail(self._postgres.log)}")

    def close(self) -> None:
        """Stop everything: the services at once, then the database they use."""
        for process in self._running.values():
            process.ask_to_stop()
        for process in self._running.values():
            process.wait(STOP_SECONDS)
        self._running.clear()
        if self._postgres is not None:
            self._postgres.stop()
            self._postgres = None

    @property
    def _seed_mark(self) -> Path:
        return self.state.root / "seeded"

    async def _ready(self, session: aiohttp.ClientSession, name: str) -> None:
        service = self._services[name]
        reasons = "no answer"
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while loop.time() < deadline:
            self.check()
            try:
                async with session.get(service.ready) as response:
                    if response.status == 200:
                        return
                    reasons = (await response.text())[:500]
            except (aiohttp.ClientError, TimeoutError) as error:
                reasons = str(error)
            await asyncio.sleep(0.05)
        raise StackError(f"{name} does not get ready: {reasons}.{tail(self.state.logs / f'{name}.log')}")


def environment_of(service: Service) -> dict[str, str]:
    """Give everything a service's process may know: the bare environment and its own settings."""
    return bare_environment() | dict(service.settings)


def database_names(addresses: Addresses, *, embedded: bool) -> tuple[str, str]:
    """Name the two databases. On a server of the visitor's, demos on other ports have others."""
    suffix = "" if embedded or addresses.port == 9000 else f"_{addresses.port}"
    return f"farseal_auth{suffix}", f"farseal_notes{suffix}"
