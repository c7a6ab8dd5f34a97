"""Ends one replica after the other as a crash does, and starts it again."""

import asyncio
import random

from soak.fleet import Fleet


class Killer:
    """One at a time: the next one only when the last one is ready again.

    Args:
        fleet: whose replicas.
        every: seconds between two kills, at least; 0 for none.
    """

    def __init__(self, fleet: Fleet, *, every: float) -> None:
        self._fleet = fleet
        self._every = every
        self.kills = 0

    async def run(self, until: asyncio.Event) -> None:
        """Kill until told to stop; the last one is ready again before this returns.

        Raises:
            StackError: a replica does not come back.
        """
        while self._every and not until.is_set():
            try:
                async with asyncio.timeout(self._every):
                    await until.wait()
            except TimeoutError:
                name = random.choice(list(self._fleet.replicas))  # noqa: S311 - any of them
                await self._fleet.kill(name)
                self.kills += 1
                self._fleet.start(name)
                await self._fleet.ready([name])
