"""The acts in their order."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import aiohttp

from demo.inspection import InspectionError
from demo.screen import Screen
from demo.tour import attacks, logout, naive, no_call_back, one_token, rotation, speed, stolen, unplugged
from demo.tour.scenery import Scenery
from demo.tour.stage import Stage, StageError
from demo.tour.verdict import Verdict

REQUEST_SECONDS: Final = 15.0

BROKEN: Final = (StageError, InspectionError, aiohttp.ClientError, OSError, LookupError, TypeError, ValueError)
"""What an act meets when an answer is not what it has to be. A service that ended is `StackError`, and fatal."""

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Act:
    """A number and a title for the line, and the whole act: play, then judge."""

    number: int | str
    title: str
    run: Callable[[Stage], Awaitable[Verdict]]


def act(number: int | str, title: str, play: Callable[[Stage], Awaitable[F]], judge: Callable[[F], Verdict]) -> Act:
    """Join the two halves of an act."""

    async def run(stage: Stage) -> Verdict:
        return judge(await play(stage))

    return Act(number, title, run)


ACTS: Final = (
    act(one_token.NUMBER, one_token.TITLE, one_token.play, one_token.judge),
    act(no_call_back.NUMBER, no_call_back.TITLE, no_call_back.play, no_call_back.judge),
    act(unplugged.NUMBER, unplugged.TITLE, unplugged.play, unplugged.judge),
    act(rotation.NUMBER, rotation.TITLE, rotation.play, rotation.judge),
    act(naive.NUMBER, naive.TITLE, naive.play, naive.judge),
    act(logout.NUMBER, logout.TITLE, logout.play, logout.judge),
    act(stolen.NUMBER, stolen.TITLE, stolen.play, stolen.judge),
    act(attacks.NUMBER, attacks.TITLE, attacks.play, attacks.judge),
    act(speed.NUMBER, speed.TITLE, speed.play, speed.judge),
)


@asynccontextmanager
async def stage_on(scenery: Scenery) -> AsyncIterator[Stage]:
    """Open the stage with its HTTP client."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Stage(scenery, session)


async def tour(scenery: Scenery, screen: Screen) -> bool:
    """Play every act, one line each; tell whether every claim held.

    An act that cannot be played (no login, an answer of a shape nobody expects) breaks its claim like any other.
    """
    held = True
    async with stage_on(scenery) as stage:
        with screen.busy("minting a token that is to die"):
            stage.short_lived = await attacks.mint_short_lived(stage)
        for scene in ACTS:
            with screen.busy(f"{scene.number}. {scene.title}"):
                try:
                    verdict = await scene.run(stage)
                except BROKEN as error:
                    fault = f"{type(error).__name__}: {error}"
                    verdict = Verdict(scene.number, scene.title, "could not be played", (fault,))
            screen.verdict(verdict)
            held = held and verdict.holds
        await stage.clear_up()
    return held
