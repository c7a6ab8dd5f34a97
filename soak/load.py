"""The load, in a process of its own, so that what it measures is not the runner's own work.

``python -m soak.load PLAN``: the plan is a file (`Plan`). It writes a line of JSON for each slot that is over, and ends
at SIGTERM with what is left. The secret of its client is in a file that the plan names.
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from demo.asking import Target
from demo.traffic import GOOD, Desk, Shelf, keep_asking, keep_fetching
from soak.people import People
from soak.slots import Slot, slot_of

WRITE_SECONDS: Final = 0.25
MOST_BEHIND_SECONDS: Final = 1.0
"""How far a pace that the servers cannot keep may fall behind before it is given up: the backlog is no promise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do."""

    replicas: list[str]
    targets: list[Target]
    """The resource servers."""
    client: str
    secret_file: str
    connections: int
    """To each resource server."""
    rate: int
    """Requests in a second over all connections; 0 for no pace."""
    token_seconds: float
    """Between two fresh tokens."""
    use_seconds: float
    """For which a token is used."""
    sessions: int
    """Of people, at a time; 0 for none."""

    def write(self, file: Path) -> None:
        """Keep it in a file."""
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> "Plan":
        """Read it again."""
        value: dict[str, Any] = json.loads(file.read_text())
        return cls(**value | {"targets": [Target(**target) for target in value["targets"]]})


class Notes:
    """Counts into slots, and gives those that are over."""

    def __init__(self) -> None:
        self._slots: dict[int, Slot] = {}

    def add(self, server: str, _kid: str, kind: str, began: float, took: float) -> None:
        """Count a request."""
        number = slot_of(began + took)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = Slot()
        slot.add(server, kind, took, good=kind == GOOD)

    def take(self, before: int) -> dict[int, Slot]:
        """Give and forget the slots before this one."""
        over = [number for number in self._slots if number < before]
        return {number: self._slots.pop(number) for number in over}


def paced(rate: int) -> Callable[[], float] | None:
    """Make the function that gives each request its moment; None for no pace."""
    if rate == 0:
        return None
    due = time.monotonic()

    def pace() -> float:
        nonlocal due
        due = max(due + 1 / rate, time.monotonic() - MOST_BEHIND_SECONDS)
        return due

    return pace


async def run(plan: Plan, secret: str) -> None:
    """Ask until SIGTERM, as a client with this secret."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    desk = Desk(plan.replicas, plan.client, secret)
    shelf, notes, pace = Shelf(most=int(plan.use_seconds / plan.token_seconds) + 1), Notes(), paced(plan.rate)
    fetching = keep_fetching(desk, shelf, every=plan.token_seconds, use_seconds=plan.use_seconds)
    asking = [
        keep_asking(target.name, target.url, target.path, shelf, notes.add, pace=pace)
        for target in plan.targets
        for _ in range(plan.connections)
    ]
    people = People(plan.replicas, plan.targets, lives=plan.sessions, use_seconds=plan.use_seconds)
    tasks = [asyncio.ensure_future(work) for work in (fetching, *asking, *people.work())]
    stopping = asyncio.create_task(stop.wait())

    def write(before: int) -> None:
        slots = {number: slot.encoded() for number, slot in notes.take(before).items()}
        line = {"slots": slots, "signed": shelf.signed, "retries": desk.retries, "sessions": people.ledger.encoded()}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    while not stop.is_set():
        done, _ = await asyncio.wait({stopping, *tasks}, timeout=WRITE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()  # they end by an error alone
        write(slot_of(time.monotonic()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    desk.close()
    write(sys.maxsize)


def main(file: Path) -> None:
    """Do what a plan says."""
    plan = Plan.read(file)
    secret = Path(plan.secret_file).read_text().strip()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(plan, secret))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
