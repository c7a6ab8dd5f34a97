"""Trust from an address, polled: one refresher for each issuer, in the background, never on the way of a request.

An issuer that is down, slow, broken or hostile costs its own freshness and nothing else: the last good set stays in
force and goes on ageing, and the looks become rarer up to a ceiling. What strangers can bring about by writing unknown
kids into tokens is bounded by a token bucket (`hint`).

A set with our member ``farseal`` is as old as its ``Last-Modified`` says, because its publisher writes it again only
when the database has confirmed it. Any other is as old as the last answer that confirmed it.
"""

import asyncio
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from farseal.clock import Clock, now
from farseal.sources.address import shown
from farseal.sources.bucket import TokenBucket
from farseal.sources.fetch import Fetcher, FetchError
from farseal.sources.keeper import JUMP_SECONDS, REMINDER_SECONDS, Moment, TrustKeeper
from farseal.sources.options import HttpOptions
from farseal.sources.polling import Poller
from farseal.sources.shelf import Shelf
from farseal.sources.source import WorkerState
from farseal.trust import AgeLimits

TICK_SECONDS: Final = 1.0
"""Between two looks at the clock, which somebody may have set."""

THREADS: Final = 3
"""A name server and a disk that hang leave one to parse in."""

_log = logging.getLogger("farseal")
_chance = random.SystemRandom().random


@dataclass(frozen=True, slots=True)
class _Running:
    """What a worker has only while it runs."""

    threads: ThreadPoolExecutor
    shelf: Shelf
    poller: Poller
    tried: asyncio.Event
    wake: asyncio.Event


class HttpWorker:
    """Brings the key set of one issuer from an address to a keeper.

    Args:
        keeper: what to feed; made for this issuer, among others maybe.
        issuer: whose keys they are.
        url: of the key set; None asks the issuer's metadata for it, once.
        options: of the fetching.
        limits: of the age; a disk copy past the hard one is not used.
        clock: seconds since the epoch.

    Raises:
        AddressError: keys must not be fetched from there.
    """

    def __init__(
        self,
        keeper: TrustKeeper,
        issuer: str,
        url: str | None,
        options: HttpOptions = HttpOptions(),  # noqa: B008 - frozen
        *,
        limits: AgeLimits = AgeLimits(),  # noqa: B008 - frozen
        clock: Clock = now,
    ) -> None:
        options.addresses.check(issuer if url is None else url)
        self.issuer = issuer
        self._keeper = keeper
        self._url = url
        self._options = options
        self._limits = limits
        self._clock = clock
        self._bucket = TokenBucket(options.hint_burst, options.hint_seconds)
        self._running: _Running | None = None
        self._task: asyncio.Task[None] | None = None
        self._looking = False
        self._due = self._not_before = 0.0
        self._offset = 0.0
        self._in_a_row = 0
        self._reminded_at = 0.0
        self._disk_failures = 0
        self._state = WorkerState(f"the metadata of {issuer}" if url is None else shown(url))

    @property
    def disk_failures(self) -> int:
        """How often the disk copy could not be kept."""
        return self._disk_failures + (0 if self._running is None else self._running.shelf.failures)

    async def start(self) -> None:
        """Take the disk copy into force, look once, and go on in the background.

        Returns when the first look has ended or ``start_seconds`` have passed, whatever came of it.

        Raises:
            RuntimeError: it runs already.
        """
        if self._task is not None:
            raise RuntimeError("the source runs already")
        options = self._options
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="farseal-source")
        shelf = Shelf(options.snapshot_directory, self.issuer, threads)
        poller = Poller(
            self._keeper,
            self.issuer,
            self._url,
            addresses=options.addresses,
            fetcher=Fetcher(threads, self._clock, options.ca_file, options.timeouts),
            shelf=shelf,
            threads=threads,
            clock=self._clock,
        )
        running = self._running = _Running(threads, shelf, poller, asyncio.Event(), asyncio.Event())
        self._task = asyncio.create_task(self._run(running), name="farseal-source-http")
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(options.start_seconds):
                    await running.tried.wait()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the background work. What was taught stays."""
        self._state = replace(self.state(), next_at=None)
        task, self._task = self._task, None
        running, self._running = self._running, None
        if task is None or running is None:
            return
        task.cancel()
        try:
            await asyncio.gather(task, return_exceptions=True)
            await running.shelf.close()
        finally:
            self._disk_failures += running.shelf.failures
            running.threads.shutdown(wait=False, cancel_futures=True)
            self._looking = False

    def hint(self) -> None:
        """Look now rather than later, if the bucket still has a permit.

        Nothing while a look is under way or called for, and nothing before the moment that the issuer asked to wait
        for. To be called from the thread of the loop.
        """
        uptime = time.monotonic()
        if self._running is None or self._looking or self._running.wake.is_set() or uptime < self._not_before:
            return
        if self._bucket.take(uptime):
            self._running.wake.set()

    def state(self) -> WorkerState:
        """How it is doing."""
        if self._running is None:
            return self._state
        poller = self._running.poller
        return replace(
            self._state,
            origin=self._state.origin if poller.url is None else shown(poller.url),
            from_disk=poller.from_disk,
        )

    async def _run(self, running: _Running) -> None:
        self._offset = self._clock() - time.monotonic()
        try:
            await running.poller.restore(self._limits.refuse_after)
        except Exception:  # noqa: BLE001 - logged
            _log.exception("the disk copy of the keys of %s cannot be read", self.issuer)
        while True:
            self._looking = True
            wait = await self._attempt(running.poller)
            self._looking = False
            self._due = time.monotonic() + wait
            self._state = replace(self._state, next_at=self._clock() + round(wait))
            running.tried.set()
            await self._wait(running.wake)

    async def _wait(self, wake: asyncio.Event) -> None:
        """Until the next look is due, or called for by a hint, or by a clock that was set."""
        while (left := self._due - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, TICK_SECONDS)):
                    await wake.wait()
            if wake.is_set() or self._clock_was_set():
                break
        wake.clear()

    def _clock_was_set(self) -> bool:
        """Whether the ages are no longer what they were: then the issuer is asked, as often as hints may do that."""
        at = self._moment()
        self._keeper.follow_clock(at)
        jump, self._offset = at.now - at.uptime - self._offset, at.now - at.uptime
        return abs(jump) >= JUMP_SECONDS and at.uptime >= self._not_before and self._bucket.take(at.uptime)

    async def _attempt(self, poller: Poller) -> float:
        """One look, whatever comes of it; and how many seconds to wait for the next."""
        state = self._state = replace(
            self._state, attempts=self._state.attempts + 1, last_attempt_at=self._clock(), next_at=None
        )
        retry_after = None
        try:
            answer = await poller.look()
        except FetchError as error:
            failure, retry_after = str(error), error.retry_after
        except Exception as error:  # noqa: BLE001 - logged, and the refresher must outlive whatever this was
            _log.exception("a look at %s failed", self.state().origin)
            failure = f"an error of ours: {type(error).__name__}"
        else:
            if state.failure is not None:
                _log.info("%s answers again", self.state().origin)
            self._state = replace(self._state, failure=None, last_success_at=self._clock())
            if answer is not None:
                self._in_a_row = 0
                return self._options.schedule.regular(answer.max_age, answer.age, _chance())
            self._in_a_row += 1
            return self._options.schedule.back_off(self._in_a_row, None, _chance())
        self._in_a_row += 1
        wait = self._options.schedule.back_off(self._in_a_row, retry_after, _chance())
        if retry_after is not None:
            self._not_before = time.monotonic() + min(retry_after, self._options.schedule.ceiling)
        self._warn(failure, known=failure == state.failure)
        self._state = replace(self._state, failures=state.failures + 1, failure=failure)
        return wait

    def _moment(self) -> Moment:
        return Moment(self._clock(), time.monotonic())

    def _warn(self, failure: str, *, known: bool) -> None:
        if known and time.monotonic() - self._reminded_at < REMINDER_SECONDS:
            return
        self._reminded_at = time.monotonic()
        kept = (
            "the last good keys stay in force"
            if self.issuer in self._keeper.snapshot.issuers
            else "there are no keys: every token gets 503"
        )
        _log.warning(
            "the keys of %s cannot be fetched from %s: %s; %s", self.issuer, self.state().origin, failure, kept
        )
