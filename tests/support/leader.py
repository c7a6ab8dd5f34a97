"""A leader in a process of its own, for tests that kill it: one rotation, from the moment that is given."""

import asyncio

from farseal.environment import Secret
from farseal.service.postgres import create_pool
from tests.support.rotation import Replica, Time


def lead(dsn: str, now: int) -> None:
    """Rotate until nothing is due any more."""
    asyncio.run(_lead(dsn, now))


async def _lead(dsn: str, now: int) -> None:
    pool = await create_pool(Secret(dsn), max_size=1)
    replica = Replica(pool, time=Time(now), name="leader")
    await replica.keyring.refresh()
    for _ in range(3):
        await replica.turn()
    await replica.close()
    await pool.close()
