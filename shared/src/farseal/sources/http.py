"""Trust from an address, polled: refreshers for the keys and the status lists of each issuer, in the background, never
on the way of a request.

An issuer that is down, slow, broken or hostile costs its own freshness and nothing else: the last good set stays in
force and goes on ageing, and the looks become rarer up to a ceiling. What strangers can bring about by writing unknown
kids and lists into tokens is bounded by token buckets (`hint`).

A set with our member ``farseal`` is as old as its ``Last-Modified`` says, because its publisher writes it again only
when the database has confirmed it. Any other is as old as the last answer that confirmed it.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from farseal.clock import Clock, now
from farseal.sources.address import shown
from farseal.sources.bucket import TokenBucket
from farseal.sources.fetch import Fetcher
from farseal.sources.keeper import TrustKeeper
from farseal.sources.lists_index import index_address
from farseal.sources.lists_polling import ListPoller
from farseal.sources.options import HttpOptions
from farseal.sources.polling import Poller
from farseal.sources.refresher import Errand, Looked, Refresher, chance
from farseal.sources.shelf import Shelf
from farseal.sources.source import WorkerState
from farseal.trust import AgeLimits, IssuerTrust

THREADS: Final = 3
"""A name server and a disk that hang leave one to parse in."""

_log = logging.getLogger("farseal")


@dataclass(frozen=True, slots=True)
class _Lists:
    """What looks for the status lists while a worker runs."""

    poller: ListPoller
    refresher: Refresher


@dataclass(frozen=True, slots=True)
class _Running:
    """What a worker has only while it runs."""

    threads: ThreadPoolExecutor
    shelf: Shelf
    poller: Poller
    refresher: Refresher
    lists: _Lists | None
    known: asyncio.Event
    """Set once there are keys to judge lists by, or it is known that there are none."""


class HttpWorker:
    """Brings the key set of one issuer from an address to a keeper, and its status lists from beside that.

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
        self._lists_bucket = TokenBucket(options.hint_burst, options.hint_seconds)
        self._running: _Running | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._disk_failures = 0
        origin = f"the metadata of {issuer}" if url is None else shown(url)
        lists = None if options.lists is None else WorkerState(origin if url is None else shown(index_address(url)))
        self._state = WorkerState(origin, lists=lists)

    @property
    def disk_failures(self) -> int:
        """How often a disk copy could not be kept."""
        return self._disk_failures + (0 if self._running is None else _failures(self._running))

    async def start(self) -> None:
        """Take the disk copies into force, look once, and go on in the background.

        Returns when the first looks have ended, that for the keys before that for the lists, or ``start_seconds`` have
        passed, whatever came of it.

        Raises:
            RuntimeError: it runs already.
        """
        if self._running is not None:
            raise RuntimeError("the source runs already")
        running = self._running = self._prepare()
        self._tasks = (asyncio.create_task(self._run(running), name="farseal-source-http"),)
        if running.lists is not None:
            lists = self._run_lists(running, running.lists)
            self._tasks += (asyncio.create_task(lists, name="farseal-source-http-lists"),)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.start_seconds):
                    await running.refresher.tried.wait()
                    if running.lists is not None:
                        await running.lists.refresher.tried.wait()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the background work. What was taught stays."""
        self._state = _at_rest(self.state())
        tasks, self._tasks = self._tasks, ()
        running, self._running = self._running, None
        if running is None:
            return
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
            closing = [running.shelf.close()] + ([] if running.lists is None else [running.lists.poller.close()])
            await asyncio.gather(*closing)
        finally:
            self._disk_failures += _failures(running)
            running.threads.shutdown(wait=False, cancel_futures=True)
            if running.lists is not None:
                running.lists.poller.release()

    def hint(self) -> None:
        """Look now rather than later for keys and lists, where the bucket of each still has a permit.

        A token names a key or a list that is not known, and which of them is not told. Nothing while a look is under
        way or called for, and nothing before the moment that the issuer asked to wait for. To be called from the
        thread of the loop.
        """
        if self._running is not None:
            self._running.refresher.hint()
            if self._running.lists is not None:
                self._running.lists.refresher.hint()

    def state(self) -> WorkerState:
        """How it is doing."""
        running = self._running
        if running is None:
            return self._state
        lists = running.lists
        return replace(
            running.refresher.state(),
            from_disk=running.poller.from_disk,
            lists=None if lists is None else replace(lists.refresher.state(), from_disk=lists.poller.from_disk),
        )

    def _prepare(self) -> _Running:
        """All that runs, and nothing that runs yet."""
        options, issuer = self._options, self.issuer
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="farseal-source")
        shelf = Shelf(options.snapshot_directory, issuer, threads)
        poller = Poller(
            self._keeper,
            issuer,
            self._url,
            addresses=options.addresses,
            fetcher=Fetcher(threads, self._clock, options.ca_file, options.timeouts),
            shelf=shelf,
            threads=threads,
            clock=self._clock,
        )
        known = asyncio.Event()
        lists: _Lists | None = None

        async def look() -> Looked:
            before = self._keeper.snapshot.issuers.get(issuer)
            try:
                return await self._look(poller)
            finally:
                known.set()
                self._judge_lists_again(before, lists)

        refresher = Refresher(
            Errand(
                what=f"keys of {issuer}",
                look=look,
                origin=lambda: self._state.origin if poller.url is None else shown(poller.url),
                schedule=lambda: options.schedule,
                consequence=lambda: (
                    "the last good keys stay in force"
                    if issuer in self._keeper.snapshot.issuers
                    else "there are no keys: every token gets 503"
                ),
            ),
            self._keeper,
            self._bucket,
            self._clock,
        )
        refresher.resume(self._state)
        if self._state.lists is not None:
            lists = self._prepare_lists(poller, refresher, self._state.lists)
        return _Running(threads, shelf, poller, refresher, lists, known)

    def _prepare_lists(self, keys: Poller, keys_refresher: Refresher, state: WorkerState) -> _Lists:
        poller = ListPoller(
            self._keeper,
            self.issuer,
            lambda: keys.url,
            options=self._options,
            clock=self._clock,
            wake_keys=keys_refresher.hint,
        )
        refresher = Refresher(
            Errand(
                what=f"status lists of {self.issuer}",
                look=poller.look,
                origin=lambda: state.origin if keys.url is None else shown(index_address(keys.url)),
                schedule=poller.back_off_schedule,
                consequence=lambda: "those in force stay so, up to their age limits",
            ),
            self._keeper,
            self._lists_bucket,
            self._clock,
        )
        refresher.resume(state)
        return _Lists(poller, refresher)

    async def _run(self, running: _Running) -> None:
        try:
            await running.poller.restore(self._limits.refuse_after)
        except Exception:  # noqa: BLE001 - logged
            _log.exception("the disk copy of the keys of %s cannot be read", self.issuer)
        if self.issuer in self._keeper.snapshot.issuers:
            running.known.set()
        await running.refresher.run()

    async def _run_lists(self, running: _Running, lists: _Lists) -> None:
        await running.known.wait()
        try:
            await lists.poller.restore()
        except Exception:  # noqa: BLE001 - logged
            _log.exception("the disk copies of the status lists of %s cannot be read", self.issuer)
        await lists.refresher.run()

    async def _look(self, poller: Poller) -> Looked:
        answer = await poller.look()
        return Looked(None if answer is None else self._options.schedule.regular(answer.max_age, answer.age, chance()))

    def _judge_lists_again(self, before: IssuerTrust | None, lists: _Lists | None) -> None:
        """Where other keys are in force than before, look for the lists that those before could not prove."""
        trust = self._keeper.snapshot.issuers.get(self.issuer)
        if lists is None or trust is None or lists.poller.settled:
            return
        if before is None or before.keys is not trust.keys or before.revoked != trust.revoked:
            lists.refresher.call()


def _failures(running: _Running) -> int:
    return running.shelf.failures + (0 if running.lists is None else running.lists.poller.shelf.failures)


def _at_rest(state: WorkerState) -> WorkerState:
    lists = None if state.lists is None else replace(state.lists, next_at=None)
    return replace(state, next_at=None, lists=lists)
