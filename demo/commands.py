"""Commands that come to an end, and what they and the services wrote."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from demo.processes import Guarded

COMMAND_SECONDS: Final = 120.0
TAIL_LINES: Final = 15


async def run_to_end(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    directory: Path,
    keep_open: Sequence[int],
    stdin: Path | None,
) -> int:
    """Run a command behind a guard; give its exit status. What it prints is in the log.

    Raises:
        TimeoutError: it did not come to an end, and was ended.
    """
    process = Guarded(
        command,
        environment=environment,
        log=log,
        directory=directory,
        keep_open=keep_open,
        options=() if stdin is None else ("--input", str(stdin)),
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            while (status := process.poll()) is None:  # noqa: ASYNC110  # a process is no event
                await asyncio.sleep(0.02)
    finally:
        await asyncio.to_thread(process.stop)
    return status


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Give the end of a log, introduced, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        text = ""
    return shorten(text, f"The end of {log}", lines) or f" Its log {log} is empty."


def shorten(text: str, introduction: str, lines: int = TAIL_LINES) -> str:
    """Give the last lines of a text, introduced; nothing for an empty one."""
    end = "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
    return f" {introduction}:\n{end}" if end else ""
