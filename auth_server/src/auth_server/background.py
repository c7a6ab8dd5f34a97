"""Work that is done again and again while the service runs."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import structlog

from farseal.service.postgres import DatabaseUnavailable, database_errors

log = structlog.get_logger(__name__)

_RANDOM = random.SystemRandom()
"""Of the system: it takes nothing from the random numbers that tests replay."""


@contextlib.asynccontextmanager
async def repeating(name: str, work: Callable[[], Awaitable[object]], *, every_seconds: float) -> AsyncIterator[None]:
    """Do ``work`` about every so many seconds until the block ends.

    Jitter keeps replicas that started together from asking together for ever. An error is logged and does not end the
    repetition; a database that is away is no error of the work.
    """

    async def run() -> None:
        while True:
            await asyncio.sleep(every_seconds * _RANDOM.uniform(0.8, 1.2))
            try:
                with database_errors():
                    await work()
            except DatabaseUnavailable as error:
                log.warning("background work postponed", work=name, reason=error.detail)
            except Exception:
                log.exception("background work failed", work=name)

    async with beside(name, run()):
        yield


@contextlib.asynccontextmanager
async def beside(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have ``work``, which goes on for ever, done in a task until the block ends."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
