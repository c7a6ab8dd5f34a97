"""One look at an address for the status lists of an issuer: the index, and then the lists that are not in force yet.

Lists come from beside the index, whatever host their URIs name: where this verifier connects to is its operator's to
say. What comes late, broken, or not at all costs the list that it is, and never one that is in force.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from farseal.clock import Clock
from farseal.sources.address import AddressError
from farseal.sources.fetch import LIST_TYPES, Fetcher, FetchError
from farseal.sources.keeper import ClockWatch, Moment, Refused, TrustKeeper
from farseal.sources.lists import FoundLists
from farseal.sources.lists_index import ABSENT, Index, IndexPoller, index_address, list_address
from farseal.sources.lists_judge import ListJudge
from farseal.sources.lists_memory import ListsMemory
from farseal.sources.lists_shelf import ListShelf
from farseal.sources.options import HttpOptions
from farseal.sources.refresher import Looked, chance
from farseal.sources.schedule import ListSchedule, Schedule
from farseal.status_list import MAX_LIST_TOKEN_BYTES, StatusList, StatusListError
from farseal.trust import IssuerTrust, Judgement

AT_ONCE: Final = 4
"""Lists that are fetched at the same time."""

MAX_LOOK_BYTES: Final = 64 << 20
"""Of lists, in one look: sixteen of the largest. The next look goes on with the rest."""

LOOK_SECONDS: Final = 15.0
"""For the lists of one look; what has not come by then is asked for at the next."""

_log = logging.getLogger("farseal")


@dataclass(slots=True)
class _Trip:
    """What one look has found so far.

    Args:
        index: what it follows.
        waiting: lists that are wanted, and were neither had nor failed.
        left: bytes that it may still draw.
        found: good lists that the keeper has not taken, yet or at all.
        failures: why others could not be had, in words.
    """

    index: Index
    waiting: set[str]
    left: int
    found: dict[str, StatusList] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class ListPoller:
    """Looks when it is told to; never twice at once.

    Args:
        keeper: what to teach.
        issuer: whose lists they are.
        keys_url: gives the address of its key set; None while that is not known.
        options: of the fetching.
        clock: seconds since the epoch.
        wake_keys: to be called where a list is signed by a key that is not known: bounded, whatever lists there are.
    """

    def __init__(
        self,
        keeper: TrustKeeper,
        issuer: str,
        keys_url: Callable[[], str | None],
        *,
        options: HttpOptions,
        clock: Clock,
        wake_keys: Callable[[], None],
    ) -> None:
        self.from_disk = False
        self.shelf = ListShelf(options.snapshot_directory, issuer)
        self._keeper = keeper
        self._issuer = issuer
        self._keys_url = keys_url
        self._addresses = options.addresses
        self._schedule = options.lists or ListSchedule()
        self._clock = clock
        self._judge = ListJudge(keeper, issuer, clock, wake_keys)
        # Threads of its own: keys come in while a name server lets lists wait.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="farseal-source-lists")
        fetching = (self._threads, clock, options.ca_file, options.timeouts)
        self._index = IndexPoller(issuer, Fetcher(*fetching), self._judge.thread)
        self._fetcher = Fetcher(*fetching, accept=LIST_TYPES, max_bytes=MAX_LIST_TOKEN_BYTES)
        self._memory = ListsMemory()
        self._absent = 0
        self._clock_watch = ClockWatch()

    @property
    def settled(self) -> bool:
        """Whether all lists that the index names are in force, and nothing is wrong with any."""
        index, held = self._index.held, self._in_force()
        return index is not None and all(uri in held and self._memory.words(uri) is None for uri in index.lists)

    def back_off_schedule(self) -> Schedule:
        """Of looks that failed."""
        return self._schedule.after_failures(self._interval())

    async def look(self) -> Looked:
        """Ask for the index, then for lists, and teach the keeper what was found.

        An index that is not there says that the issuer has no lists, and is believed where none can be relied on any
        more. Where one can it is a failure, and all stay in force up to their limits: a file gone for a moment, or a
        path that somebody mistyped in a proxy, must not answer every token with 503. To drop its lists at once an
        issuer publishes an index without them.

        Raises:
            FetchError: there is no answer, or nothing to judge it by.
        """
        began = time.monotonic()
        self._follow_clock()
        keys_url = self._keys_url()
        if keys_url is None or self._trust is None:
            raise FetchError("there are no keys to judge them by")
        try:
            index = await self._index.look(self._checked(index_address(keys_url)))
        except StatusListError as error:
            self._keeper.learn_lists(self._issuer, Refused(str(error)), self._moment())
            # Many a server has a page for every path: one that never had an index is not asked ever so often.
            return Looked(None) if self._relied_on() else self._rarely()
        except FetchError as error:
            if error.status not in ABSENT or self._relied_on():
                raise
            self._index.held, self.from_disk = None, False
            self._keeper.learn_lists(self._issuer, FoundLists({}), self._moment())
            return self._rarely()
        self._absent = 0
        failure = await self._look_at_lists(index)
        self.from_disk = False
        wait = self._schedule.regular(self._interval(), time.monotonic() - began, chance())
        return Looked(wait, failure)

    async def restore(self) -> None:
        """Take the disk copies into force where no list is. The keys are there before, or nothing is restored."""
        if self._trust is None or self._in_force():
            return
        documents = await self.shelf.load(self._clock())
        found: dict[str, StatusList] = {}
        for uri, document in documents.items():
            made = await self._judge.judge(uri, document, partial(_bytes, found, uri))
            if isinstance(made, StatusList):
                found[uri] = made
            else:
                _log.warning("the disk copy of a status list of %s is not used: %s", self._issuer, made)
        at = self._moment()
        self._keeper.follow_clock(at)
        if found and not self._in_force():
            self._keeper.learn_lists(self._issuer, FoundLists(found), at)
            self.from_disk = bool(self._in_force())
            _log.warning(
                "%d status lists of %s are those of the disk copies, until it answers", len(found), self._issuer
            )

    async def close(self) -> None:
        """Let what is being written come to its end, for a moment."""
        await self.shelf.close()

    def release(self) -> None:
        """Give the threads back."""
        self.shelf.release()
        self._judge.release()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _follow_clock(self) -> None:
        at = self._moment()
        self._keeper.follow_clock(at)
        if self._clock_watch.jump(at):
            self._memory.judge_again()

    def _rarely(self) -> Looked:
        self._absent += 1
        return Looked(self._schedule.while_absent(self._absent, chance()))

    async def _look_at_lists(self, index: Index) -> str | None:
        """Fetch what is wanted, a few at once, and teach each list as it comes. What failed, in words."""
        keys = self._keeper.digest(self._issuer)
        wanted = self._memory.wanted(index.lists, self._in_force(), keys, time.monotonic())
        trip = _Trip(index, set(wanted), MAX_LOOK_BYTES)
        if wanted:
            queue = iter(wanted)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS), asyncio.TaskGroup() as group:
                    for number in range(min(AT_ONCE, len(wanted))):
                        group.create_task(self._fetch(trip, queue), name=f"farseal-source-http-list-{number}")
        trip.failures |= dict.fromkeys(trip.waiting, "not fetched yet, within the bounds of one look")
        self._teach(trip)
        self.shelf.keep_index(index.document, index.lists)
        if not trip.failures:
            return None
        return f"{len(trip.failures)} of {len(index.lists)} lists: {next(iter(trip.failures.values()))}"

    async def _fetch(self, trip: _Trip, queue: Iterator[str]) -> None:
        for uri in queue:
            if trip.left <= 0:
                return
            try:
                await self._fetch_one(trip, uri)
            except FetchError as error:
                trip.failures[uri] = str(error)
                failures = self._memory.failed(uri, str(error))
                wait = self.back_off_schedule().back_off(failures, error.retry_after, chance())
                self._memory.wait(uri, time.monotonic() + wait)
            trip.waiting.discard(uri)

    async def _fetch_one(self, trip: _Trip, uri: str) -> None:
        """One list.

        Raises:
            FetchError: there is no answer.
        """
        held = self._in_force().get(uri)
        url = self._checked(list_address(trip.index.url, uri))
        asked = self._memory.ask(uri, held, time.monotonic())
        answer = await self._fetcher.get(url, asked)
        self._memory.answered(uri)
        if answer.body is None:
            if not asked.may_be(answer.validators):
                raise FetchError("it answers 304 for another document than was asked about")
            self._memory.unchanged(uri)
            return
        trip.left -= len(answer.body)
        digest = await self._judge.digest(answer.body)
        keys = self._keeper.digest(self._issuer)
        if held is not None and self._memory.is_good(uri, digest):
            self._memory.again(uri, digest, answer.validators)
            return
        if self._memory.is_bad(uri, digest, keys, time.monotonic()):
            return
        made = await self._judge.judge(uri, answer.body, lambda: _bytes(self._in_force(), uri))
        if isinstance(made, str):
            self._memory.bad(uri, digest, made, keys, time.monotonic())
            return
        self._memory.good(made, answer.validators, held)
        trip.found[uri] = made
        self._teach(trip, under_way=True)
        if self._keeper.lists(self._issuer).get(uri) == digest:
            self.shelf.keep(answer.body, made)
            del trip.found[uri]

    def _teach(self, trip: _Trip, *, under_way: bool = False) -> None:
        """All that is known of the lists of the index now; those that wait still are what they were before."""
        found: dict[str, StatusList | str | None] = {
            uri: trip.found.get(uri) or trip.failures.get(uri) or self._memory.words(uri) for uri in trip.index.lists
        }
        self._keeper.learn_lists(self._issuer, FoundLists(found), self._moment(), under_way=under_way)

    @property
    def _trust(self) -> IssuerTrust | None:
        return self._keeper.snapshot.issuers.get(self._issuer)

    def _in_force(self) -> Mapping[str, StatusList]:
        trust = self._trust
        return {} if trust is None else trust.lists

    def _relied_on(self) -> bool:
        """Whether a list is in force and within its limits."""
        trust, now = self._trust, self._clock()
        return trust is not None and any(
            trust.status_limits.judge(one, now) is not Judgement.REFUSE for one in trust.lists.values()
        )

    def _interval(self) -> float:
        return self._schedule.interval(one.ttl for one in self._in_force().values())

    def _checked(self, url: str) -> str:
        try:
            return self._addresses.check(url)
        except AddressError as error:
            raise FetchError(f"the address {error}") from None

    def _moment(self) -> Moment:
        return Moment(self._clock(), time.monotonic())


def _bytes(lists: Mapping[str, StatusList], but: str) -> int:
    return sum(len(one.data) for uri, one in lists.items() if uri != but)
