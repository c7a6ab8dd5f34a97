"""Act 6: a refresh token is used twice, long after each other: one of the two is a thief, so the family dies.

The control: two tabs of one person that refresh in the same moment are no thief, and go on.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from demo.asking import Ending
from demo.services import REFRESH_GRACE_SECONDS
from demo.sessions import INVALID_GRANT, Pair, refresh
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
from demo.traffic import GOOD
from demo.wire import Wire

NUMBER: Final = 6
TITLE: Final = "Stolen refresh token"
BOTH_GOOD: Final = (GOOD, GOOD)
AFTER_GRACE_SECONDS: Final = REFRESH_GRACE_SECONDS + 0.1


@dataclass(frozen=True, slots=True)
class Figures:
    """What the owner, the thief and the two tabs were answered."""

    tabs: tuple[str, str]
    """Both refreshed with one token in the same moment."""
    tabs_again: tuple[str, str]
    """Each with what it was given."""
    thief: str
    """The refresh with the copy, after the grace window."""
    owner: str
    """The owner's next one."""
    endings: dict[str, Ending]
    """Of the stolen session, counted from the answer to the thief: the worse of both access tokens, by server."""
    living: Counter[str]
    """Answers to the tokens of the two tabs, before and after."""


async def play(stage: Stage) -> Figures:
    """Two tabs of bob's refresh at once. His other session's pair is copied; he refreshes; then the thief does."""
    with desk(stage) as wire, desk(stage) as other:
        tab = await opened(stage, wire, "bob")
        async with Watched(stage) as watched:
            one, two = await asyncio.gather(refresh(wire, tab.refresh), refresh(other, tab.refresh))
            # One after the other: of two at once each could be the other's second tab once more.
            again = await next_of(one, wire), await next_of(two, other)
            tabs = {
                name: pair.access
                for name, pair in {"one": one, "two": two, "one_again": again[0], "two_again": again[1]}.items()
                if isinstance(pair, Pair)
            }
            await watched.show(**tabs)

            copied = await opened(stage, wire, "bob")
            owners = await renewed(wire, copied)
            renewed_at = time.monotonic()
            await watched.show(copied=copied.access, owners=owners.access)
            await asyncio.sleep(max(0.0, renewed_at + AFTER_GRACE_SECONDS - time.monotonic()))
            thief = kind_of_exchange(await refresh(other, copied.refresh))
            ended = time.monotonic()
            owner = kind_of_exchange(await refresh(wire, owners.refresh))
            await watched.outlast(ended)
            endings, living = watched.endings(["copied", "owners"], ended), watched.answers(tabs)
    return Figures(
        tabs=(kind_of_exchange(one), kind_of_exchange(two)),
        tabs_again=(kind_of_exchange(again[0]), kind_of_exchange(again[1])),
        thief=thief,
        owner=owner,
        endings=endings,
        living=living,
    )


async def next_of(answer: Pair | str, wire: Wire) -> Pair | str:
    """Refresh with what a refresh gave; a refusal stays one."""
    return answer if isinstance(answer, str) else await refresh(wire, answer.refresh)


def judge(figures: Figures) -> Verdict:
    """Hold it against the claim: nobody goes on with what was stolen, and two tabs are no theft."""
    living = figures.living
    return Verdict(
        NUMBER,
        TITLE,
        f"the thief's refresh {figures.thief}, then the owner's {figures.owner}; both access tokens refused by "
        f"{told(figures.endings)}; two tabs at once {' and '.join(figures.tabs)}, "
        f"then {' and '.join(figures.tabs_again)}, {living.total():,} requests, "
        f"failures {living.total() - living[GOOD]}",
        faults_of(
            {
                f"the thief was answered {figures.thief}": figures.thief != INVALID_GRANT,
                f"the owner was answered {figures.owner}": figures.owner != INVALID_GRANT,
                f"two tabs that refreshed at once were answered {figures.tabs}": figures.tabs != BOTH_GOOD,
                f"what they were given was answered {figures.tabs_again}": figures.tabs_again != BOTH_GOOD,
            }
        )
        + faults_of_endings(figures.endings)
        + faults_of_living(living, "the session of the two tabs"),
    )
