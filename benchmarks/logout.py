"""How long a session lives on after its logout, at servers that never ask: from the 204 to the first refusal.

`BENCH_TTL` says how often whoever polls looks, in seconds; otherwise the demo's own settings hold.

On the demo's stack, under load: resource_a reads the folder of published documents, resource_b
polls a static host. Sessions log out a few at a time, each at a moment of its own, while its token is shown to both
servers again and again; what the figures say is not finer than the pause between two requests.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Self

from benchmarks.logout_figures import Figures, report
from benchmarks.measure import show_progress
from benchmarks.stack import BenchStack, running
from demo.asking import Ending, Heard, Target, ending, keep_showing, targets_of
from demo.databases import DatabaseError
from demo.places import PlaceError
from demo.ports import PortBusyError
from demo.postgres import EmbeddedPostgresError
from demo.seed import CLIENT, PASSWORDS
from demo.services import STATUS_TTL_SECONDS
from demo.sessions import LOGGED_OUT, Pair, log_in, log_out
from demo.stack import StackError
from demo.state import AlreadyRunningError, StateError
from demo.traffic import Desk, Shelf, keep_asking, keep_fetching
from demo.wire import Wire, WireError

LOGOUTS: Final = 200
BATCH: Final = 8
"""Sessions that log out side by side for each second of the ttl, each on its own."""
LOGINS_AT_ONCE: Final = 3
PAUSE_SECONDS: Final = 0.015
"""For each second of the ttl, between an answer and the next request with the same token to the same server. So the
load is about the same at every ttl."""
LEAST: Final = 3
"""Answers to each token before its logout."""
BEYOND_SECONDS: Final = 1.0
"""After the last bound, until what was not refused counts as never refused."""
TTLS: Final = range(1, 11)
"""That may be asked for; at the longest it all takes two minutes."""
RATE: Final = 100
"""Further requests in a second to each server, of a client with fresh tokens of its own."""
CONNECTIONS: Final = 2
USE_SECONDS: Final = 240.0
"""Of the 300 s that a token lives; the whole measurement takes less."""


class MeasurementError(Exception):
    """The stack did not do what has to be done before anything can be measured."""


async def measure(stack: BenchStack, logouts: int = LOGOUTS) -> Figures:
    """Log everybody in, then out, under load.

    Raises:
        MeasurementError: somebody cannot log in or out, or is not let in before.
        StackError: a service ended.
    """
    targets, each = targets_of(stack.addresses, stack.ttl), BATCH * stack.ttl
    endings: dict[str, list[Ending]] = {target.name: [] for target in targets}
    shown = 0
    pairs = await log_all_in(stack.addresses.issuer, logouts)
    async with Load(stack, targets) as load:
        began = time.monotonic()
        while pairs:
            stack.check()
            batch, pairs = pairs[:each], pairs[each:]
            for seen in await asyncio.gather(*(log_one_out(stack, targets, pair) for pair in batch)):
                for target, (heard, ended) in zip(targets, seen, strict=True):
                    endings[target.name].append(ending([heard], target.bound, ended))
                    shown += heard.answers.total()
            show_progress(logouts - len(pairs), logouts, what="logout")
        return Figures(endings, load.answers, shown, time.monotonic() - began, stack.ttl)


async def log_all_in(issuer: str, sessions: int) -> list[Pair]:
    """Log in that many times, a few at a time: each costs a password hash, and none of it is measured."""
    waiting = list(range(sessions))
    pairs: list[Pair] = []

    async def work() -> None:
        with Wire(issuer) as wire:
            while waiting:
                number = waiting.pop()
                name = list(PASSWORDS)[number % len(PASSWORDS)]
                pair = await log_in(wire, name, address=f"10.1.{number // 250}.{number % 250 + 1}")
                if isinstance(pair, str):
                    raise MeasurementError(f"{name} cannot log in: {pair}")
                pairs.append(pair)
                show_progress(len(pairs), sessions, what="login")

    try:
        await asyncio.gather(*(work() for _ in range(LOGINS_AT_ONCE)))
    except WireError as error:
        raise MeasurementError(f"the auth server does not answer: {error}") from error
    return pairs


async def log_one_out(stack: BenchStack, targets: Sequence[Target], pair: Pair) -> list[tuple[Heard, float]]:
    """Show a token to every server, log it out, go on until it is refused everywhere; give what each said, and since
    when it had to."""
    heard, pause = [Heard() for _ in targets], PAUSE_SECONDS * stack.ttl
    showing = [
        asyncio.create_task(keep_showing(target, pair.access, one, pause=pause))
        for target, one in zip(targets, heard, strict=True)
    ]
    try:
        await until(lambda: all(one.let_in >= LEAST for one in heard), "a token is not let in", 10.0)
        await asyncio.sleep(random.uniform(0.0, stack.ttl))  # noqa: S311 - in any phase of the polls
        with Wire(stack.addresses.issuer) as wire:
            answer = await log_out(wire, pair.access)
        ended = time.monotonic()
        if answer != LOGGED_OUT:
            raise MeasurementError(f"a logout is answered {answer}")
        patience = max(target.bound for target in targets) + BEYOND_SECONDS
        await until(lambda: all(one.refused for one in heard), None, patience)
        await asyncio.sleep(10 * pause)  # it must not be let in again
    except WireError as error:
        raise MeasurementError(f"the auth server does not answer: {error}") from error
    finally:
        for task in showing:
            task.cancel()
        await asyncio.gather(*showing, return_exceptions=True)
    return [(one, ended) for one in heard]


async def until(holds: Callable[[], bool], fault: str | None, patience: float) -> None:
    """Wait until something holds, or until patience ends: then it is a fault, if one is named."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() >= deadline:
            if fault is not None:
                raise MeasurementError(f"{fault} within {patience:.0f} s")
            return
        await asyncio.sleep(PAUSE_SECONDS / 3)


class Load:
    """A client that asks both servers at a steady pace, as long as the context lasts."""

    def __init__(self, stack: BenchStack, targets: Sequence[Target]) -> None:
        secret = stack.state.client_secret(CLIENT).read_text().strip()
        self._desk = Desk([stack.addresses.issuer], CLIENT, secret)
        self._shelf = Shelf(most=1000)
        self._targets = targets
        self._tasks: list[asyncio.Task[None]] = []
        self.answers: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        fetching = keep_fetching(self._desk, self._shelf, every=0.25, use_seconds=USE_SECONDS)
        self._tasks.append(asyncio.create_task(fetching))
        for target in self._targets:
            asking = (
                keep_asking(target.name, target.url, target.path, self._shelf, self._note, pace=steady(RATE))
                for _ in range(CONNECTIONS)
            )
            self._tasks += [asyncio.create_task(work) for work in asking]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._desk.close()

    def _note(self, _server: str, _kid: str, kind: str, _began: float, _took: float) -> None:
        self.answers[kind] += 1


def steady(rate: float) -> Callable[[], float]:
    """Give each request of one connection its moment; what cannot be kept is given up."""
    due = time.monotonic()

    def pace() -> float:
        nonlocal due
        due = max(due + CONNECTIONS / rate, time.monotonic())
        return due

    return pace


async def run(ttl: int) -> Figures:
    """Start the stack, measure, stop it."""
    async with running(ttl=ttl) as stack:
        return await measure(stack)


def main() -> None:
    """Print the table; a stack that cannot be had ends the program with one line."""
    asked = os.environ.get("BENCH_TTL", str(STATUS_TTL_SECONDS))
    if asked not in map(str, TTLS):
        raise SystemExit(f"bench: BENCH_TTL must be {TTLS[0]} to {TTLS[-1]}, and is {asked}")
    try:
        print(report(asyncio.run(run(int(asked)))))
    except (
        AlreadyRunningError,
        DatabaseError,
        EmbeddedPostgresError,
        MeasurementError,
        PlaceError,
        PortBusyError,
        StackError,
        StateError,
    ) as error:
        raise SystemExit(f"bench: {error}") from None


if __name__ == "__main__":
    main()
