"""People who log in, refresh now and then and log out at some time, through any replica that answers.

A replica may die between its commit and its answer. Then a client asks another one the same thing again: a refresh with
the same token has to work (the grace window), a logout has to be answered as one.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from demo.asking import Target
from demo.seed import PASSWORDS
from demo.sessions import LOGGED_OUT, Pair, log_in, log_out, refresh
from demo.traffic import RETRY_SECONDS, kind_of
from demo.wire import Wire, WireError
from soak.ledger import Ledger, Session

ARRIVING_SECONDS: Final = 8.0
"""Over which the first logins are spread: a password costs much, and they are not what is measured."""
MOST_REFRESHES: Final = 4
"""In one session, before its logout; one at least, so that the logout is soon after a fresh token."""
TABS_SHARE: Final = 0.2
"""Of the refreshes, that two tabs make in the same moment."""
LOST_SHARE: Final = 0.15
"""Of the refreshes, whose answer is thrown away before the same token is presented once more. A replica that is killed
makes the same of a refresh, if rarely: in the milliseconds between its commit and its answer."""
SHOWERS: Final = 2
"""Connections to each resource server."""
SHOW_SECONDS: Final = 0.025
"""Between two requests of one of them."""
BROKEN: Final = ("connection lost", "no answer in time")
"""The request was sent, and nobody knows what became of it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """A token in use, and until when (``time.monotonic``)."""

    token: str = field(repr=False)
    session: Session
    until: float


class People:
    """As many sessions at a time as there are lives.

    Args:
        replicas: of the auth server.
        targets: the resource servers.
        lives: how many; each begins a session anew when its last one is over.
        use_seconds: for which a token is used.
    """

    def __init__(self, replicas: Sequence[str], targets: Sequence[Target], *, lives: int, use_seconds: float) -> None:
        self._replicas = replicas
        self._targets = targets
        self._lives = lives
        self._use_seconds = use_seconds
        self._living: list[Access] = []
        self._ended: list[Access] = []
        self.ledger = Ledger({target.name: target.bound for target in targets})

    def work(self) -> Iterator[Awaitable[None]]:
        """Give everything that has to run, until cancelled."""
        for number in range(self._lives):
            yield self._live(number)
        for target in self._targets if self._lives else ():
            for _ in range(SHOWERS):
                yield self._keep_showing(target)

    async def _live(self, number: int) -> None:
        """Live one session after the other."""
        replicas = Replicas(self._replicas, self.ledger)
        name = list(PASSWORDS)[number % len(PASSWORDS)]
        address = f"10.0.{number // 250}.{number % 250 + 1}"
        try:
            await asyncio.sleep(ARRIVING_SECONDS * number / self._lives)
            while True:
                await self._session(replicas, name, address)
        finally:
            replicas.close()

    async def _session(self, replicas: "Replicas", name: str, address: str) -> None:
        session = Session()
        asked = time.monotonic()
        pair = await replicas.ask("login", lambda wire: log_in(wire, name, address=address))
        if not isinstance(pair, Pair):
            await asyncio.sleep(1.0)
            return
        access = self._use(pair, session, asked)
        for _ in range(random.randint(1, MOST_REFRESHES)):  # noqa: S311 - people
            await asyncio.sleep(random.uniform(0.3, 0.7) * self._use_seconds)  # noqa: S311
            asked = time.monotonic()
            renewed = await self._refresh(replicas, pair)
            if not renewed:
                break
            access = [self._use(pair, session, asked) for pair in renewed][-1]
            pair = random.choice(renewed)  # noqa: S311 - they lead to the same end
        await asyncio.sleep(random.uniform(0.0, 0.1) * self._use_seconds)  # noqa: S311
        session.leaving = True
        if await replicas.ask("logout", lambda wire: log_out(wire, access.token)) == LOGGED_OUT:
            session.ended = time.monotonic()
            self._ended.append(access)
            await asyncio.sleep(access.until - time.monotonic())
            self.ledger.close(session)

    async def _refresh(self, replicas: "Replicas", pair: Pair) -> list[Pair]:
        """Refresh, now and then in two tabs at once; nothing when the session is broken, which is a failure."""
        if random.random() < LOST_SHARE:  # noqa: S311
            lost = await replicas.ask("refresh", lambda wire: refresh(wire, pair.refresh))
            self.ledger.counts["lost answers"] += isinstance(lost, Pair)
        asking = [replicas.ask("refresh", lambda wire: refresh(wire, pair.refresh))]
        if random.random() < TABS_SHARE:  # noqa: S311
            self.ledger.counts["tabs"] += 1
            tab = Replicas(self._replicas, self.ledger)
            asking.append(tab.ask("refresh", lambda wire: refresh(wire, pair.refresh)))
            try:
                answers = await asyncio.gather(*asking)
            finally:
                tab.close()
        else:
            answers = [await asking[0]]
        good = [answer for answer in answers if isinstance(answer, Pair)]
        return good if len(good) == len(answers) else []

    def _use(self, pair: Pair, session: Session, asked: float) -> Access:
        access = Access(pair.access, session, asked + self._use_seconds)
        self._living.append(access)
        return access

    async def _keep_showing(self, target: Target) -> None:
        """Show tokens of living and of ended sessions in turn, all of them one after the other."""
        with Wire(target.url) as wire:
            for turn in itertools.count():
                await asyncio.sleep(SHOW_SECONDS)
                access = self._pick(self._ended if turn % 2 else self._living)
                if access is None:
                    continue
                sent = time.monotonic()
                try:
                    kind = kind_of(await wire.get(target.path, token=access.token))
                except WireError as error:
                    kind = str(error)
                self.ledger.note(access.session, target.name, kind, sent, time.monotonic())

    @staticmethod
    def _pick(shelf: list[Access]) -> Access | None:
        """Take the one that was not shown for longest; those whose time is over go."""
        now = time.monotonic()
        while shelf:
            access = shelf.pop(0)
            if access.until > now:
                shelf.append(access)
                return access
        return None


class Replicas:
    """One person's connections to them. Where one does not answer, another one is asked."""

    def __init__(self, replicas: Sequence[str], ledger: Ledger) -> None:
        self._wires: Mapping[str, Wire] = {replica: Wire(replica) for replica in replicas}
        self._ledger = ledger

    async def ask(self, doing: str, ask: Callable[[Wire], Awaitable[Pair | str]]) -> Pair | str:
        """Ask until a replica answers what is no outage; count how it went.

        A login that is asked again leaves a session that nobody knows: so do those of real clients.
        """
        broken = False
        while True:
            for replica in random.sample(list(self._wires), len(self._wires)):
                try:
                    answer = await ask(self._wires[replica])
                except WireError as error:
                    broken = broken or str(error) in BROKEN
                    self._ledger.counts["retries"] += 1
                    continue
                if isinstance(answer, str) and answer.startswith("5"):
                    self._ledger.counts["retries"] += 1
                    continue
                if isinstance(answer, str) and answer != LOGGED_OUT:
                    self._ledger.fail(doing, answer)
                else:
                    self._ledger.counts[doing] += 1
                    self._ledger.counts[f"{doing} after a lost answer"] += broken
                return answer
            await asyncio.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """Close every connection."""
        for wire in self._wires.values():
            wire.close()
