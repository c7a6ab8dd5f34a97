"""One soak from the first line to the last."""

import asyncio
import contextlib
import json
import math
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from demo.asking import targets_of
from demo.screen import Screen
from demo.seed import CLIENT
from demo.state import State
from demo.tour import operator
from farseal.vocabulary import JWKS_FILE
from soak.fleet import USE_SECONDS, Fleet
from soak.killer import Killer
from soak.load import Plan
from soak.loader import Loader
from soak.published import Watch
from soak.settings import Settings
from soak.verdict import Figures, faults, p99s, phase_of, report

CONNECTIONS: Final = 4
"""To each resource server: enough to keep both at work, few enough that latency is not queueing alone."""
TOKEN_SECONDS: Final = 0.05
WARM_SECONDS: Final = 2.0
"""Before anything is counted: connections are made, the first tokens signed."""
LEAST_NAIVE, MOST_NAIVE = 5, 10
"""Rotations of the control: some, and more as long as none has failed anybody, which is luck."""
NAIVE_PAUSE_SECONDS: Final = 2.5
"""After each: a verifier learns the key within it."""
LOOK_SECONDS: Final = 0.25
PLAIN_SECONDS: Final = 10.0
"""Between two lines of progress where nobody watches a terminal."""


class Soak:
    """The phases over a stack that is up.

    Args:
        settings: see there.
        fleet: ready.
        state: of the fleet.
        lock: descriptor of its lock.
    """

    def __init__(self, settings: Settings, fleet: Fleet, state: State, *, lock: int) -> None:
        self._settings = settings
        self._fleet = fleet
        self._state = state
        self._lock = lock
        self._killer = Killer(fleet, every=settings.kill_seconds)
        self._watch = Watch(state.published / JWKS_FILE)
        self._progress = Progress()

    async def run(self) -> Figures:
        """Load, kill and rotate for as long as was asked; then the control.

        Raises:
            StackError: something ended by itself, or does not come back.
        """
        async with self._load() as loader:
            await self._go_on(loader, seconds=WARM_SECONDS, what="warming up")
            first = len(loader.signed)
            since = time.monotonic()
            async with self._trouble():
                await self._go_on(loader, seconds=self._settings.seconds, what="soaking", most=self._settings.requests)
                until = time.monotonic()
                rotations, tokens, kills = len(loader.signed) - first, loader.signed.total(), self._killer.kills
                retries, ledger = loader.retries.copy(), loader.ledger
            control_since = time.monotonic()
            naive = await self._control(loader) if self._settings.control else 0
            control_until = time.monotonic()
        self._progress.end()
        changes = [change for change in self._watch.changes if since <= change.at < until]
        p99_rest, p99_rotation = p99s(loader.slots, changes, since, until)
        return Figures(
            main=phase_of(loader.slots, since, until),
            control=phase_of(loader.slots, control_since, control_until) if self._settings.control else None,
            naive=naive,
            rotations=rotations,
            tokens=tokens,
            kills=kills,
            retries=retries,
            changes=len(changes),
            announced=sum(len(change.announced) for change in changes),
            retired=sum(len(change.retired) for change in changes),
            p99_rest_ms=p99_rest,
            p99_rotation_ms=p99_rotation,
            sessions=ledger if self._settings.sessions else None,
        )

    async def _control(self, loader: Loader) -> int:
        """Rotate naively, a few times; give how many."""
        failed = loader.failed
        done = 0
        while done < LEAST_NAIVE or (done < MOST_NAIVE and loader.failed == failed):
            done += 1
            rotating = asyncio.create_task(operator.announce_and_activate(self._fleet))
            while not rotating.done():
                await self._go_on(loader, seconds=LOOK_SECONDS, what=f"naive rotation {done}")
            rotating.result()
            await self._go_on(loader, seconds=NAIVE_PAUSE_SECONDS, what=f"naive rotation {done}")
        return done

    async def _go_on(self, loader: Loader, *, seconds: float, what: str, most: float = math.inf) -> None:
        """Take in what the load writes, for a while or until there is enough of it."""
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0 and loader.requests < most:
            await asyncio.sleep(min(left, LOOK_SECONDS))
            loader.poll()
            self._fleet.check()
            self._progress.show(
                f"{what}: {time.monotonic() - began:.0f} of {seconds:.0f} s, requests {loader.requests:,}, failures "
                f"{loader.failed:,}, keys {len(loader.signed)}, kills {self._killer.kills}, logouts "
                f"{loader.ledger.counts['logout']:,}"
            )

    @contextlib.asynccontextmanager
    async def _load(self) -> AsyncIterator[Loader]:
        plan = Plan(
            replicas=self._fleet.replica_urls,
            targets=list(targets_of(self._fleet.addresses)),
            client=CLIENT,
            secret_file=str(self._state.client_secret(CLIENT)),
            connections=CONNECTIONS,
            rate=self._settings.rate,
            token_seconds=TOKEN_SECONDS,
            use_seconds=USE_SECONDS,
            sessions=self._settings.sessions,
        )
        loader = Loader(plan, self._state.root, keep_open=(self._lock,))
        watching = asyncio.create_task(self._watch.run())
        try:
            yield loader
        finally:
            watching.cancel()
            await asyncio.to_thread(loader.stop)

    @contextlib.asynccontextmanager
    async def _trouble(self) -> AsyncIterator[None]:
        """Kill replicas meanwhile; at the end all are back."""
        stop = asyncio.Event()
        killing = asyncio.create_task(self._killer.run(stop))
        try:
            yield
            stop.set()
            await killing
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)


class Progress:
    """One line that is written over on a terminal, and one now and then elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = -PLAIN_SECONDS

    def show(self, text: str) -> None:
        """Show where it is."""
        if self._terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave a clean line."""
        if self._terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


async def soak(settings: Settings, fleet: Fleet, state: State, *, lock: int) -> bool:
    """Bring the stack up, soak it, print the figures and keep them; tell whether it held.

    Raises:
        StackError: something did not start, ended by itself, or does not come back.
    """
    screen = Screen()
    with screen.step("embedded PostgreSQL, migrations, people, clients and resources"):
        await fleet.open_databases(None)
        await fleet.migrate()
        await fleet.seed()
    with screen.step(f"{', '.join(fleet.names)} are ready"):
        await fleet.bring_up()
    figures = await Soak(settings, fleet, state, lock=lock).run()
    file = keep(figures, settings, state.root / "figures.json")
    print(report(figures))
    print(f"figures       {file}")
    return not faults(figures)


def keep(figures: Figures, settings: Settings, file: Path) -> Path:
    """Write the figures as JSON, with what was asked for."""
    asked = {
        name: getattr(settings, name)
        for name in ("seconds", "rate", "replicas", "sessions", "control", "rotation_seconds", "kill_seconds")
    }
    file.write_text(json.dumps(figures.encoded() | {"settings": asked}, indent=2) + "\n")
    return file
