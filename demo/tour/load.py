"""Many requests at once, counted."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from demo.tour.stage import Stage


@dataclass(slots=True)
class Tally:
    """What came back: statuses, and failures that brought no status."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """All requests."""
        return self.statuses.total() + self.broken

    @property
    def failed(self) -> int:
        """All that are not 200."""
        return self.sent - self.statuses[200]

    @property
    def per_second(self) -> float:
        """Requests answered in a second, of one client on the same machine."""
        return self.sent / self.seconds if self.seconds else 0.0


async def send(stage: Stage, urls: Sequence[str], *, each: int, token: str, tasks: int = 12) -> Tally:
    """Send ``each`` requests to every URL, a few at a time."""
    waiting = [url for _ in range(each) for url in urls]
    tally = Tally()
    began = time.perf_counter()

    async def work() -> None:
        while waiting:
            await one(stage, waiting.pop(), token=token, tally=tally)

    await asyncio.gather(*(work() for _ in range(tasks)))
    tally.seconds = time.perf_counter() - began
    return tally


async def send_until(stage: Stage, urls: Sequence[str], *, stop: asyncio.Event, token: str, tally: Tally) -> None:
    """Send requests to the URLs in turn until told to stop."""
    while not stop.is_set():
        for url in urls:
            await one(stage, url, token=token, tally=tally)


async def one(stage: Stage, url: str, *, token: str, tally: Tally) -> None:
    """Send one request and count how it went."""
    try:
        async with stage.session.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
            await response.read()
            tally.statuses[response.status] += 1
    except (aiohttp.ClientError, TimeoutError):
        tally.broken += 1
