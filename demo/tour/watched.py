"""The sessions of acts 5 and 6: tokens shown to both servers all the time, while sessions go on and while they end."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Self

from demo.asking import Ending, Heard, Target, ending, keep_showing, targets_of
from demo.sessions import Pair, log_in, refresh
from demo.tour.stage import Stage, StageError
from demo.tour.verdict import faults_of
from demo.traffic import GOOD
from demo.wire import Wire, WireError

PAUSE_SECONDS: Final = 0.005
LEAST: Final = 20
"""Answers to each token before its session ends: it was good, and everybody is at work."""
PATIENCE_SECONDS: Final = 10.0
BEYOND_SECONDS: Final = 1.0
"""How long the clients go on after the last bound: whatever was let in by then would be seen."""


class Watched:
    """Tokens by a name of theirs, each shown to both servers as long as the context lasts."""

    def __init__(self, stage: Stage) -> None:
        self.targets: tuple[Target, ...] = targets_of(stage.addresses)
        self._heard: dict[tuple[str, str], Heard] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def show(self, **tokens: str) -> None:
        """Begin to show these; return when each was answered a few times by both.

        Raises:
            StageError: they are not.
        """
        for name, token in tokens.items():
            for target in self.targets:
                heard = self._heard[name, target.name] = Heard()
                self._tasks.append(asyncio.create_task(keep_showing(target, token, heard, pause=PAUSE_SECONDS)))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(self._heard[name, target.name].let_in >= LEAST for name in tokens for target in self.targets):
            if time.monotonic() >= deadline:
                said = {f"{name} at {server}": dict(heard.answers) for (name, server), heard in self._heard.items()}
                raise StageError(f"tokens are not answered: {said}")
            await asyncio.sleep(0.01)

    async def outlast(self, ended: float) -> None:
        """Go on until every bound is over, counted from a moment, and a little longer."""
        longest = max(target.bound for target in self.targets)
        await asyncio.sleep(max(0.0, ended + longest + BEYOND_SECONDS - time.monotonic()))

    def endings(self, names: Iterable[str], ended: float) -> dict[str, Ending]:
        """Give by server how it took the end of the session that these tokens are of."""
        wanted = list(names)
        return {
            target.name: ending([self._heard[name, target.name] for name in wanted], target.bound, ended)
            for target in self.targets
        }

    def answers(self, names: Iterable[str]) -> Counter[str]:
        """Give all answers to these tokens."""
        total: Counter[str] = Counter()
        wanted = set(names)
        for (name, _), heard in self._heard.items():
            if name in wanted:
                total.update(heard.answers)
        return total


@contextmanager
def desk(stage: Stage) -> Iterator[Wire]:
    """Open a connection to the auth server. No answer is an act that cannot be played."""
    try:
        with Wire(stage.addresses.issuer) as wire:
            yield wire
    except WireError as error:
        raise StageError(f"the auth server does not answer: {error}") from error


async def opened(stage: Stage, wire: Wire, username: str) -> Pair:
    """Log in.

    Raises:
        StageError: no pair came.
    """
    return got(await log_in(wire, username, password=stage.scenery.passwords[username]), f"{username} cannot log in")


async def renewed(wire: Wire, pair: Pair) -> Pair:
    """Refresh a living session.

    Raises:
        StageError: no pair came.
    """
    return got(await refresh(wire, pair.refresh), "a living session cannot be refreshed")


def got(answer: Pair | str, fault: str) -> Pair:
    """Take the pair out of an answer.

    Raises:
        StageError: there is none in it.
    """
    if isinstance(answer, str):
        raise StageError(f"{fault}: {answer}")
    return answer


def kind_of_exchange(answer: Pair | str) -> str:
    """Name an answer as failures are counted."""
    return answer if isinstance(answer, str) else GOOD


def told(endings: Mapping[str, Ending]) -> str:
    """Spell the measured times beside the bounds."""
    return ", ".join(
        f"{server} after {spelled(ending.refused_after)} (bound {ending.bound:.0f} s)"
        for server, ending in endings.items()
    )


def spelled(seconds: float | None) -> str:
    """Spell a time that was measured, or not."""
    return "never" if seconds is None else f"{seconds * 1000:,.0f} ms"


def faults_of_endings(endings: Mapping[str, Ending]) -> tuple[str, ...]:
    """Give what contradicts: refused as ended, at both servers, within the bound, and for good."""
    faults: tuple[str, ...] = ()
    if len(endings) < 2:
        faults = ("not every server was asked",)
    for server, seen in endings.items():
        faults += faults_of(
            {
                f"{server} did not honour the tokens before": not seen.let_in_before,
                f"{server} never refused a token of the session": seen.refused_after is None,
                f"{server} let a token in {seen.let_in_after:.2f} s after the end, bound {seen.bound:.0f} s": (
                    seen.let_in_after > seen.bound
                ),
                f"{server} let {seen.turned} requests in after it had refused one": seen.turned > 0,
                f"{server} answered otherwise: {seen.others}": bool(seen.others),
            }
        )
    return faults


def faults_of_living(answers: Counter[str], whose: str) -> tuple[str, ...]:
    """Give what contradicts: a living session was asked about, and answered every time."""
    failed = {kind: count for kind, count in answers.items() if kind != GOOD}
    return faults_of(
        {
            f"{whose} was asked about {answers.total()} times": answers.total() < 2 * LEAST,
            f"{whose} was refused: {failed}": bool(failed),
        }
    )
