"""Looks at an address again and again, in the background: when due, when called for, and more rarely in trouble."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from farseal.clock import Clock
from farseal.sources.bucket import TokenBucket
from farseal.sources.fetch import FetchError
from farseal.sources.keeper import REMINDER_SECONDS, ClockWatch, Moment, TrustKeeper
from farseal.sources.schedule import Schedule
from farseal.sources.source import WorkerState

TICK_SECONDS: Final = 1.0
"""Between two looks at the clock, which somebody may have set."""

_log = logging.getLogger("farseal")
chance: Final = random.SystemRandom().random
"""In [0, 1), for schedules."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a look.

    Args:
        wait: seconds until the next one; None where what is there was not taken, which makes looks rarer.
        failure: what failed although the look came to its end; None where all went well.
    """

    wait: float | None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """What a `Refresher` looks at, and how to speak of it.

    Args:
        what: in words for the log, such as "keys of https://auth.example".
        look: one look. Raises `FetchError` where there is no answer.
        origin: where it looks, in words for people.
        schedule: of the back-off, as it is now.
        consequence: what a failure means, in words for the log.
    """

    what: str
    look: Callable[[], Awaitable[Looked]]
    origin: Callable[[], str]
    schedule: Callable[[], Schedule]
    consequence: Callable[[], str]


class Refresher:
    """Looks at one thing, never twice at once.

    Args:
        errand: what to do.
        keeper: whose clock to follow.
        bucket: bounds what strangers can bring about.
        clock: seconds since the epoch.
    """

    def __init__(self, errand: Errand, keeper: TrustKeeper, bucket: TokenBucket, clock: Clock) -> None:
        self.tried = asyncio.Event()
        self._errand = errand
        self._keeper = keeper
        self._bucket = bucket
        # Of its own: strangers who have emptied the other must not keep a clock that was set from mattering.
        self._clock_bucket = TokenBucket(bucket.capacity, bucket.refill_seconds)
        self._clock = clock
        self._wake = asyncio.Event()
        self._looking = False
        self._due = self._not_before = 0.0
        self._clock_watch = ClockWatch()
        self._in_a_row = 0
        self._reminded_at = 0.0
        self._state = WorkerState("")

    def state(self) -> WorkerState:
        """How it is doing."""
        return replace(self._state, origin=self._errand.origin())

    def resume(self, state: WorkerState) -> None:
        """Count on from where another one ended."""
        self._state = state

    def hint(self) -> None:
        """Look now rather than later, if the bucket still has a permit.

        Nothing while a look is under way or called for, and nothing before the moment that the issuer asked to wait
        for. To be called from the thread of the loop.
        """
        uptime = time.monotonic()
        if self._looking or self._wake.is_set() or uptime < self._not_before:
            return
        if self._bucket.take(uptime):
            self._wake.set()

    def call(self) -> None:
        """Look now, or once more after the look that is under way: for what no stranger can bring about."""
        if time.monotonic() >= self._not_before:
            self._wake.set()

    async def run(self) -> None:
        """Look until cancelled."""
        self._clock_watch.jump(self._moment())
        while True:
            self._wake.clear()
            self._looking = True
            wait = await self._attempt()
            self._looking = False
            self._due = time.monotonic() + wait
            self._state = replace(self._state, next_at=self._clock() + round(wait))
            self.tried.set()
            await self._wait()

    async def _wait(self) -> None:
        """Until the next look is due, or called for by a hint, or by a clock that was set."""
        while (left := self._due - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, TICK_SECONDS)):
                    await self._wake.wait()
            if self._wake.is_set() or self._clock_was_set():
                break

    def _clock_was_set(self) -> bool:
        """Whether the ages are no longer what they were: then the issuer is asked, as often as hints may do that."""
        at = self._moment()
        self._keeper.follow_clock(at)
        return bool(self._clock_watch.jump(at)) and at.uptime >= self._not_before and self._clock_bucket.take(at.uptime)

    async def _attempt(self) -> float:
        """One look, whatever comes of it; and how many seconds to wait for the next."""
        state = self._state = replace(
            self._state, attempts=self._state.attempts + 1, last_attempt_at=self._clock(), next_at=None
        )
        wait = retry_after = None
        try:
            looked = await self._errand.look()
        except FetchError as error:
            failure, retry_after = str(error), error.retry_after
        except Exception as error:  # noqa: BLE001 - logged, and the refresher must outlive whatever this was
            _log.exception("a look at %s failed", self._errand.origin())
            failure = f"an error of ours: {type(error).__name__}"
        else:
            wait = looked.wait
            if looked.failure is None:
                if state.failure is not None:
                    _log.info("%s answers again", self._errand.origin())
                self._state = replace(self._state, failure=None, last_success_at=self._clock())
                return self._after(wait, None)
            failure = looked.failure
        if retry_after is not None:
            self._not_before = time.monotonic() + min(retry_after, self._errand.schedule().ceiling)
        self._warn(failure, known=failure == state.failure)
        self._state = replace(self._state, failures=state.failures + 1, failure=failure)
        return self._after(wait, retry_after)

    def _after(self, wait: float | None, retry_after: int | None) -> float:
        self._in_a_row = 0 if wait is not None else self._in_a_row + 1
        return self._errand.schedule().back_off(self._in_a_row, retry_after, chance()) if wait is None else wait

    def _moment(self) -> Moment:
        return Moment(self._clock(), time.monotonic())

    def _warn(self, failure: str, *, known: bool) -> None:
        if known and time.monotonic() - self._reminded_at < REMINDER_SECONDS:
            return
        self._reminded_at = time.monotonic()
        _log.warning(
            "the %s cannot be fetched from %s: %s; %s",
            self._errand.what,
            self._errand.origin(),
            failure,
            self._errand.consequence(),
        )
