"""Act 5: one session ends, and servers that never ask refuse its tokens within the bound; another one stays good."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from demo.asking import Ending
from demo.sessions import INVALID_GRANT, LOGGED_OUT, log_out, refresh
from demo.tour.stage import Stage
from demo.tour.verdict import Verdict, faults_of
from demo.tour.watched import (
    Watched,
    desk,
    faults_of_endings,
    faults_of_living,
    kind_of_exchange,
    opened,
    renewed,
    told,
)

NUMBER: Final = 5
TITLE: Final = "Logout everywhere"


@dataclass(frozen=True, slots=True)
class Figures:
    """What alice's two sessions met with."""

    logout: str
    """The kind of the answer."""
    endings: dict[str, Ending]
    """Of the session that ended, by server."""
    refreshed: str
    """What its refresh token was answered afterwards."""
    living: Counter[str]
    """Answers to the other session's tokens, of before and after a refresh."""


async def play(stage: Stage) -> Figures:
    """Log in twice, show both tokens all the time, log the first one out; use the other one on."""
    with desk(stage) as wire:
        first, second = await opened(stage, wire, "alice"), await opened(stage, wire, "alice")
        async with Watched(stage) as watched:
            await watched.show(first=first.access, second=second.access)
            logout = await log_out(wire, first.access)
            ended = time.monotonic()
            refreshed = kind_of_exchange(await refresh(wire, first.refresh))
            await watched.show(third=(await renewed(wire, second)).access)
            await watched.outlast(ended)
            endings, living = watched.endings(["first"], ended), watched.answers(["second", "third"])
    return Figures(logout, endings, refreshed, living)


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: refused as ended, within the bounds and for good, and nobody else is."""
    living = figures.living
    return Verdict(
        NUMBER,
        TITLE,
        f"refused by {told(figures.endings)}; her other session meanwhile: {living.total():,} requests, "
        f"failures {living.total() - living['200']}",
        faults_of(
            {
                f"the logout was answered {figures.logout}": figures.logout != LOGGED_OUT,
                f"its refresh token was answered {figures.refreshed}": figures.refreshed != INVALID_GRANT,
            }
        )
        + faults_of_endings(figures.endings)
        + faults_of_living(living, "her other session"),
    )
