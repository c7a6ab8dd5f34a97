"""Showing one token to one server again and again, and what is to be known of the answers once its session ends."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from demo.services import DIRECTORY_BOUND_SECONDS, STATUS_TTL_SECONDS, Urls, http_bound
from demo.traffic import GOOD, kind_of
from demo.wire import Wire, WireError

REVOKED: Final = "401 token_revoked"
"""What a server says of a token whose session has ended."""
LET_IN: Final = frozenset({GOOD, "401 upstream_token_refused"})
"""What says that the token was honoured. resource_b asks resource_a with the caller's own token: where resource_a knows
already that the session has ended and resource_b does not, it is resource_b that let the token in."""


@dataclass(frozen=True, slots=True)
class Target:
    """A resource server and what is asked of it."""

    name: str
    url: str
    path: str
    bound: float
    """Seconds from the end of a session within which it refuses the session's tokens."""


def targets_of(addresses: Urls, ttl: int = STATUS_TTL_SECONDS) -> tuple[Target, Target]:
    """Give both, each with the bound of the way in which it is told; whoever polls does so each ``ttl`` seconds."""
    return (
        Target("resource_a", addresses.notes, "/notes?limit=1", DIRECTORY_BOUND_SECONDS),
        Target("resource_b", addresses.reports, "/reports/mine", http_bound(ttl)),
    )


@dataclass(slots=True)
class Heard:
    """What one server answered to one token. Moments are of ``time.monotonic``."""

    answers: Counter[str] = field(default_factory=Counter)
    last_let_in: float | None = None
    """When the last request that was let in was sent: later, the server did not honour it."""
    first_refused: float | None = None
    """When the first refusal for a session that has ended was there."""
    let_in_since: int = 0
    """Requests that were sent after that refusal, and let in all the same."""

    @property
    def let_in(self) -> int:
        """Requests that were."""
        return sum(count for kind, count in self.answers.items() if kind in LET_IN)

    @property
    def refused(self) -> int:
        """Requests that were refused because the session has ended."""
        return self.answers[REVOKED]

    @property
    def others(self) -> dict[str, int]:
        """All other answers: none is foreseen."""
        return {kind: count for kind, count in self.answers.items() if kind not in LET_IN and kind != REVOKED}

    def note(self, kind: str, sent: float, came: float) -> None:
        """Take note of an answer."""
        self.answers[kind] += 1
        if kind in LET_IN:
            self.last_let_in = sent if self.last_let_in is None else max(sent, self.last_let_in)
            self.let_in_since += self.first_refused is not None and sent > self.first_refused
        elif kind == REVOKED and self.first_refused is None:
            self.first_refused = came


async def keep_showing(target: Target, token: str, heard: Heard, *, pause: float) -> None:
    """Show a token on one connection, until cancelled.

    Args:
        target: who is asked.
        token: what is shown.
        heard: takes the answers.
        pause: seconds between an answer and the next request; what is measured is not finer than that.
    """
    with Wire(target.url) as wire:
        while True:
            sent = time.monotonic()
            try:
                kind = kind_of(await wire.get(target.path, token=token))
            except WireError as error:
                kind = str(error)
            heard.note(kind, sent, time.monotonic())
            await asyncio.sleep(pause)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one server took the end of one session."""

    bound: float
    let_in_before: bool
    """The token was good before: otherwise its refusal would prove nothing."""
    refused_after: float | None
    """Seconds from the end to the first refusal; None when there was none."""
    let_in_after: float
    """Seconds from the end to the last request that was let in; 0 when there was none after it."""
    turned: int
    """Requests that were let in after a refusal."""
    others: dict[str, int]

    @property
    def late(self) -> bool:
        """Whether a request was let in after the bound, or none was refused."""
        return self.refused_after is None or self.let_in_after > self.bound


def ending(heard: Sequence[Heard], bound: float, ended: float) -> Ending:
    """Hold what one server answered to the tokens of a session against the moment in which it ended.

    Of several tokens the worst counts. A refusal before that moment counts as one at that moment: the answer to whoever
    ended the session may be slower than the news of it.
    """
    refused = [None if one.first_refused is None else max(0.0, one.first_refused - ended) for one in heard]
    others: Counter[str] = Counter()
    for one in heard:
        others.update(one.others)
    return Ending(
        bound=bound,
        let_in_before=all(one.let_in > 0 for one in heard),
        refused_after=None if None in refused else max(moment for moment in refused if moment is not None),
        let_in_after=max(max(0.0, (one.last_let_in or ended) - ended) for one in heard),
        turned=sum(one.let_in_since for one in heard),
        others=dict(others),
    )
