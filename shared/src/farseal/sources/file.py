"""Trust from a directory of published documents, watched: a volume, a synchronised folder, a Kubernetes ConfigMap.

A change is in force within a second, whichever way it came: a file renamed into place, a symbolic link swapped, the
directory itself replaced. File system events make it quick where there are any; a look every half second makes it
certain, because volumes shared between containers and network mounts often send none.

Status lists come the same way, and are judged by the keys in force: each by itself, so that one that is broken is no
other's trouble. Where new keys withdraw lists, the lists that follow them are taken in the same moment.

What is there replaces what is trusted only when it is whole and has at least one usable key. Anything else (a file half
written, emptied, broken, gone, unreadable, of another issuer, dated past the hard limit) leaves the last good set in
force, is logged and counted, and stays readable in `status`. The set kept so goes on ageing, and `AgeLimits` decide how
long that may go on.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from watchfiles import awatch

from farseal.clock import Clock, now
from farseal.sources.keeper import Found, Moment, Refused, TrustKeeper
from farseal.sources.lists_reading import ListsReader
from farseal.sources.reading import Reading, read_directory
from farseal.sources.several import Sources
from farseal.sources.source import WorkerState
from farseal.trust import AgeLimits, IssuerTrust, StatusLimits
from farseal.vocabulary import STATUS_DIRECTORY

if TYPE_CHECKING:
    from farseal.sources.lists import FoundLists

POLL_SECONDS: Final = 0.5
"""Half of the second within which a change must be in force."""

START_SECONDS: Final = 3.0
"""The longest that a start waits for the first look: a network mount whose server is gone answers never."""

LATE_SECONDS: Final = 5.0
"""A look that lasts longer is told as one that failed; it cannot be called off."""

TOGETHER_SECONDS: Final = 0.25
"""The longest that keys wait for the lists of the same look: a withdrawn key must be out of force within a second."""

HINT_SECONDS: Final = 0.1
"""Strangers can name unknown keys as often as they like; no more than one look in this time follows from that."""

_log = logging.getLogger("farseal")
_events_log = logging.getLogger("watchfiles.main")


class DirectoryWorker:
    """Brings a keeper the documents of the one issuer that a directory carries: a `farseal.sources.Worker`.

    Args:
        keeper: to be fed.
        issuer: whose documents they are. A metadata document or a key set that names another condemns the whole
            directory.
        directory: holds ``jwks.json``, and where the publisher writes them ``oauth-authorization-server.json``,
            ``status-lists.json`` and the directory ``status``. It need not exist yet.
        clock: seconds since the epoch.
        poll_seconds: between two looks.
    """

    def __init__(
        self,
        keeper: TrustKeeper,
        issuer: str,
        directory: Path,
        *,
        clock: Clock = now,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.issuer = issuer
        self.directory = directory
        self._keeper = keeper
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        # A thread of its own: the loop's are shared with whatever the application does in threads, and waits for it.
        self._reader: ThreadPoolExecutor | None = None
        self._last: Reading | None = None
        self._lists = ListsReader(directory, issuer)
        self._looking_since: float | None = None
        self._hinted_at = 0.0
        self._state = WorkerState(str(directory))

    async def start(self) -> None:
        """Read the directory once, then watch it.

        Returns when the first look has ended or `START_SECONDS` have passed, whatever came of it.

        Raises:
            RuntimeError: it runs already.
        """
        if self._tasks:
            raise RuntimeError("the source runs already")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="farseal-source")
        looked = asyncio.Event()
        self._tasks = (
            asyncio.create_task(self._poll(looked), name="farseal-source-poll"),
            asyncio.create_task(self._listen(), name="farseal-source-events"),
        )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(START_SECONDS):
                    await looked.wait()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the watching."""
        tasks, self._tasks = self._tasks, ()
        self._looking_since = None
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            if self._reader is not None:
                self._reader.shutdown(wait=False)

    def hint(self) -> None:
        """Look now. A look reads no file that has not changed, and hints within `HINT_SECONDS` are one."""
        at = time.monotonic()
        if at - self._hinted_at >= HINT_SECONDS:
            self._hinted_at = at
            self._wake.set()

    def state(self) -> WorkerState:
        """How it is doing."""
        if self._looking_since is not None and time.monotonic() - self._looking_since >= LATE_SECONDS:
            return replace(self._state, failure=f"a look does not come to its end within {LATE_SECONDS:g} s")
        return self._state

    async def _poll(self, looked: asyncio.Event) -> None:
        while True:
            self._looking_since = time.monotonic()
            try:
                await self._refresh()
            except Exception as error:  # noqa: BLE001 - logged below
                # The watch must outlive whatever this was: a source that died silently would age unnoticed.
                _log.exception("looking at %s failed", self.directory)
                failures = self._state.failures + 1
                self._state = replace(self._state, failures=failures, failure=type(error).__name__)
            self._looking_since = None
            looked.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._wake.wait()
            self._wake.clear()

    async def _listen(self) -> None:
        """Turn file system events into early looks. Losing them costs promptness and nothing else."""
        if not _events_log.level:
            # One line for each publication would be a line a minute in every service, and tells nothing.
            _events_log.setLevel(logging.WARNING)
        while True:
            self._moved.clear()
            try:
                async for _ in awatch(
                    self.directory,
                    *(() if self._lists.folder is None else (self.directory / STATUS_DIRECTORY,)),
                    watch_filter=None,
                    recursive=False,
                    debounce=100,
                    step=20,
                    stop_event=self._moved,
                    ignore_permission_denied=True,
                ):
                    self._wake.set()
            except (OSError, RuntimeError) as error:
                _log.debug("no events from %s: %s", self.directory, type(error).__name__)
            await asyncio.sleep(self._poll_seconds)

    async def _refresh(self) -> None:
        self._keeper.follow_clock(self._moment())
        before, looking = self._last, None
        self._state = replace(self._state, attempts=self._state.attempts + 1, last_attempt_at=self._clock())
        reading = await asyncio.get_running_loop().run_in_executor(
            self._reader,
            read_directory,
            self.directory,
            self.issuer,
            self._clock(),
            before,
            self._keeper.digest(self.issuer),
        )
        if reading is None:
            self._keeper.learn(self.issuer, None, self._moment())
        else:
            looking = self._look_by(reading.outcome)
            if looking is not None:
                await asyncio.wait({looking}, timeout=TOGETHER_SECONDS)
            self._last = reading
            if before is not None and before.look.directory != reading.look.directory:
                self._moved.set()
            changed = before is None or before.look != reading.look
            self._keeper.learn(self.issuer, reading.outcome, self._moment(), changed=changed)
        await self._refresh_lists(looking)
        at = self._clock()
        self._state = replace(self._state, last_success_at=at, next_at=at + ceil(self._poll_seconds), failure=None)

    def _look_by(self, outcome: Found | Refused) -> "asyncio.Future[FoundLists | Refused] | None":
        """A look for status lists by keys that are not in force yet, where these withdraw lists that are.

        What the withdrawn key signed goes with it, and what takes its place lies beside the keys already: taken into
        force one after the other, every token would get 503 for as long as it takes to judge the lists.
        """
        trust = self._keeper.snapshot.issuers.get(self.issuer)
        if trust is None or not isinstance(outcome, Found) or outcome.keys is None:
            return None
        lists = {uri: one for uri, one in trust.lists.items() if one.kid not in outcome.keys.revoked}
        if len(lists) == len(trust.lists):
            return None
        return self._look_for_lists(
            replace(trust, keys=outcome.keys.keys, revoked=outcome.keys.revoked, lists=MappingProxyType(lists))
        )

    def _look_for_lists(self, trust: IssuerTrust | None) -> "asyncio.Future[FoundLists | Refused]":
        return asyncio.get_running_loop().run_in_executor(self._reader, self._lists.look, trust, self._clock())

    async def _refresh_lists(self, looking: "asyncio.Future[FoundLists | Refused] | None") -> None:
        """The status lists, by the keys that are in force by now."""
        folder = self._lists.folder
        found = await (looking or self._look_for_lists(self._keeper.snapshot.issuers.get(self.issuer)))
        if folder != self._lists.folder:
            self._moved.set()
        self._keeper.learn_lists(self.issuer, found, self._moment())

    def _moment(self) -> Moment:
        return Moment(self._clock(), time.monotonic())


class DirectorySource(Sources):
    """Keeps a snapshot of the one issuer whose documents a directory carries: a keeper and its `DirectoryWorker`.

    Args:
        directory, issuer, clock, poll_seconds: as of the worker.
        limits: of the age. A set counts as published when its ``jwks.json`` was last modified; once it was seen so
            dated, an older date on the same keys does not make them older. A file from the future counts from the
            moment it was found.
        status_limits: of the age of status lists, since they were issued.
    """

    def __init__(
        self,
        directory: Path,
        issuer: str,
        limits: AgeLimits = AgeLimits(),  # noqa: B008 - frozen
        *,
        status_limits: StatusLimits = StatusLimits(),  # noqa: B008 - frozen
        clock: Clock = now,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        keeper = TrustKeeper({issuer: str(directory)}, limits, status_limits)
        worker = DirectoryWorker(keeper, issuer, directory, clock=clock, poll_seconds=poll_seconds)
        super().__init__(keeper, (worker,), clock=clock)
        self.directory = directory
        self.issuer = issuer
