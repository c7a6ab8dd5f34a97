"""The disk copy of one issuer's key set, kept in the background: a disk that is slow, full or gone delays nobody."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final

from farseal.sources.disk import Copy, read_copy, remove_copy, write_copy
from farseal.sources.keeper import REMINDER_SECONDS
from farseal.sources.own_files import CopyError

RENEWAL_SECONDS: Final = 60
"""A copy of the same keys is written again when its age is younger by this: a minute more is all a crash can cost."""

LOAD_SECONDS: Final = 2.0
"""What the first look waits for the copy: a disk that hangs must not keep a service from an issuer that answers."""

CLOSE_SECONDS: Final = 2.0
"""What the end waits for a copy that is being written."""

_log = logging.getLogger("farseal")


class Shelf:
    """Writes copies one at a time, the newest last, and reads one at the start.

    Args:
        directory: of the copies; None keeps none.
        issuer: whose key sets they are.
        threads: to read and write in.
    """

    def __init__(self, directory: Path | None, issuer: str, threads: Executor) -> None:
        self.failures = 0
        self._directory = directory
        self._issuer = issuer
        self._threads = threads
        self._kept: Copy | None = None
        self._waiting: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._fault: tuple[str, float] = ("", 0.0)

    async def load(self, now: int, limit: int) -> Copy | None:
        """The copy, if one that may be used is read within `LOAD_SECONDS`. One that may not is logged with the reason.

        Args:
            now: seconds since the epoch.
            limit: seconds since publication from which it may not.
        """
        if self._directory is None:
            return None
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(
                    self._threads, read_copy, self._directory, self._issuer, now, limit
                )
        except TimeoutError:
            fault = f"the disk does not answer within {LOAD_SECONDS:g} s"
        except CopyError as error:
            fault = str(error)
        _log.warning("the disk copy of the keys of %s is not used: %s", self._issuer, fault)
        return None

    def keep(self, copy: Copy) -> None:
        """Write a copy, unless the one that was written last says as much."""
        kept = self._kept
        if self._directory is None or (
            kept is not None
            and (kept.url, kept.body) == (copy.url, copy.body)
            and copy.dated - kept.dated < RENEWAL_SECONDS
        ):
            return
        self._kept = copy
        self._later(partial(write_copy, self._directory, copy))

    def discard(self) -> None:
        """Remove the copy: it names keys that were withdrawn since, and nothing has taken its place."""
        if self._directory is not None:
            self._kept = None
            self._later(partial(remove_copy, self._directory, self._issuer))

    async def close(self) -> None:
        """Let what is being written come to its end, for a moment."""
        if self._task is not None:
            try:
                await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
            finally:
                self._task.cancel()

    def _later(self, action: Callable[[], None]) -> None:
        self._waiting = action
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="farseal-source-disk")

    async def _work(self) -> None:
        while (action := self._waiting) is not None:
            self._waiting = None
            try:
                await asyncio.get_running_loop().run_in_executor(self._threads, action)
            except CopyError as error:
                self.failures += 1
                self._kept = None
                self._warn(str(error))
            except Exception:  # noqa: BLE001 - logged
                self.failures += 1
                self._kept = None
                _log.exception("the disk copy of the keys of %s cannot be kept", self._issuer)

    def _warn(self, fault: str) -> None:
        known, reminded_at = self._fault
        if fault == known and time.monotonic() - reminded_at < REMINDER_SECONDS:
            return
        self._fault = (fault, time.monotonic())
        _log.warning("the disk copy of the keys of %s cannot be kept: %s", self._issuer, fault)
