"""Runs commands of the container engine to their end, each with a deadline and an error that tells what it said."""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOLD: Final = 2000
"""Characters of a command's output that an error ends with."""


class CommandError(Exception):
    """A command failed, or did not come to an end. The message says which, how, and what it said last."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left: its exit status and what it wrote."""

    status: int
    out: str
    err: str


async def run(
    *words: str,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: bytes | None = None,
    check: bool = True,
    seconds: float = 60.0,
) -> Result:
    """Run a command to its end.

    Args:
        words: the command and its arguments.
        environment: all that it knows; ours when not given.
        directory: where it runs.
        stdin: what it reads; nothing when not given.
        check: whether another exit status than 0 is an error.
        seconds: after which it is ended, with all that it started.

    Raises:
        CommandError: it is not there, it failed (with ``check``), or it took too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if environment is None else dict(environment),
            cwd=directory,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"{words[0]} cannot be run: {error.strerror}") from None
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), seconds)
    except TimeoutError:
        raise CommandError(f"{shlex.join(words)} did not end within {seconds:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    result = Result(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
    if check and result.status != 0:
        told = (result.err.strip() or result.out.strip())[-TOLD:]
        raise CommandError(f"{shlex.join(words)} failed with status {result.status}: {told}")
    return result
