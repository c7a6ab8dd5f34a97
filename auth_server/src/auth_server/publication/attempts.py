"""Attempts to write to a directory: one at a time, in threads that nobody waits for, told when they fail or hang."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

TELL_SECONDS: Final = 2.0
"""A write that takes longer is told by readiness."""


class NotWrittenError(Exception):
    """What lies in a directory must not be replaced by what this server has. The message says why."""


class Attempts:
    """What writes to a directory: one attempt after the other, and what became of the last one.

    A disk that does not answer holds up one thread, which belongs to nobody, and nothing else.

    Args:
        directory: to write to.
        monotonic: seconds of a clock that is never set.
    """

    def __init__(self, directory: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._running: asyncio.Task[None] | None = None
        self._began = 0.0
        self.error: Exception | None = None
        """What the last attempt raised; None when it succeeded."""
        self.failure: str | None = None
        """The same in words."""
        self.failures = 0
        """How many attempts have failed."""

    def is_busy(self) -> bool:
        """Whether something is being written."""
        return self._running is not None

    @property
    def problem(self) -> str | None:
        """Why the directory may not hold what it should, for people."""
        if self._running is not None and (lasts := self._monotonic() - self._began) >= TELL_SECONDS:
            return f"writing to {self._directory} for {lasts:.0f} s"
        return self.failure

    async def wait(self, seconds: float | None = None) -> None:
        """Until nothing is being written, but ``seconds`` at most."""
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=seconds)

    async def close(self) -> None:
        """Wait a moment for what is being written, and then no longer: a thread that hangs ends with the process."""
        await self.wait(TELL_SECONDS)
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    def _begin(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Make an attempt in the background, unless one is being made."""
        if self._running is None:
            self._began = self._monotonic()
            self._running = asyncio.create_task(self._make(attempt), name="publish")

    async def _make(self, attempt: Callable[[], Awaitable[None]]) -> None:
        try:
            await attempt()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt is made and this one told
            self.error, self.failure = error, self._words(error)
            self.failures += 1
        else:
            self.error = self.failure = None
        finally:
            self._running = None

    def _words(self, error: Exception) -> str:
        if isinstance(error, NotWrittenError):
            return f"{self._directory} is not written to: {error}"
        reason = error.strerror if isinstance(error, OSError) else None
        return f"cannot write to {self._directory}: {reason or type(error).__name__}"


async def in_own_thread(work: Callable[[], T]) -> T:
    """The result of ``work`` from a thread that nobody waits for at the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            assert result is not None  # noqa: S101 - one of the two is there
            future.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001 - carried over to whoever waits
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="publish", daemon=True).start()
    return await future
