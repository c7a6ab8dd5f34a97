"""A resource server as an operator runs it: its own process, with only its own settings."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from farseal_testing.issuer import Issuer
from tests.resources.people import NOTES, REPORTS

START_SECONDS = 20.0

ANY_PORTS = {"HOST": "127.0.0.1", "PORT": "0", "OPS_PORT": "0", "DRAIN_SECONDS": "0", "GRACE_SECONDS": "5"}


def notes_environment(dsn: str, issuer: Issuer, **changes: str) -> dict[str, str]:
    """All that resource_a is given: nothing of the auth server's but the name in ``iss`` and the documents."""
    own = {f"RESOURCE_A_{name}": value for name, value in (ANY_PORTS | {"DATABASE_URL": dsn}).items()}
    return own | issuer.settings(NOTES) | changes


def reports_environment(notes_url: str, issuer: Issuer, **changes: str) -> dict[str, str]:
    """All that resource_b is given."""
    own = {f"RESOURCE_B_{name}": value for name, value in (ANY_PORTS | {"NOTES_URL": notes_url}).items()}
    return own | issuer.settings(REPORTS) | changes


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str


async def run_to_end(module: str, *arguments: str, environ: Mapping[str, str]) -> Ended:
    """``python -m module``, until it ends by itself."""
    process = await _start(module, *arguments, environ=environ)
    try:
        out, err = await asyncio.wait_for(process.communicate(), START_SECONDS)
    except BaseException:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@dataclass
class Process:
    """A serving process and what it has logged."""

    process: asyncio.subprocess.Process
    url: str = ""
    ops_url: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log, each line of which must be JSON."""
        return [json.loads(line) for line in self.lines]


@asynccontextmanager
async def serving(module: str, *, environ: Mapping[str, str]) -> AsyncIterator[Process]:
    """Serve until the block ends; then SIGTERM, and a graceful end is expected."""
    process = await _start(module, environ=environ)
    found = Process(process)
    listening = asyncio.Event()
    reader = asyncio.create_task(_read(found, listening))
    try:
        async with asyncio.timeout(START_SECONDS):
            await listening.wait()
        if not found.url:
            raise AssertionError("it did not start:\n" + "\n".join(found.lines))
        yield found
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(10):
                assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reader


async def _start(module: str, *arguments: str, environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        module,
        *arguments,
        env=dict(environ),
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _read(found: Process, listening: asyncio.Event) -> None:
    assert found.process.stderr is not None
    async for line in found.process.stderr:
        found.lines.append(line.decode().rstrip("\n"))
        if '"listening"' in found.lines[-1]:
            event = json.loads(found.lines[-1])
            found.url, found.ops_url = event["url"], event["ops_url"]
            listening.set()
    listening.set()
