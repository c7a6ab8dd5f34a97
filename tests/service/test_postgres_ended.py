"""A PostgreSQL that ends connections in the middle of everything, as a restart does."""

import asyncio
import contextlib
from collections import Counter

import asyncpg

from farseal.environment import Secret
from farseal.service.postgres import DatabaseUnavailable, create_pool, database_errors


async def test_whoever_asks_in_the_moment_of_the_end_is_told_that_the_database_is_away(new_database) -> None:
    """Whatever the client library makes of it: nothing else comes out, and the pool goes on."""
    dsn = await new_database()
    outcomes: Counter[str] = Counter()
    pool = await create_pool(Secret(dsn), name="ended", max_size=8)
    over = asyncio.Event()

    async def ask() -> None:
        while not over.is_set():
            try:
                with database_errors():
                    async with pool.acquire() as conn:
                        for _ in range(5):
                            await conn.fetchval("SELECT 1")
                        async with conn.transaction():
                            await conn.execute("SELECT 1")
            except DatabaseUnavailable:
                outcomes["away"] += 1
            except Exception as error:  # noqa: BLE001 - that is what is asked
                outcomes[f"{type(error).__name__}: {error}"] += 1
            else:
                outcomes["answered"] += 1

    other = await asyncpg.connect(dsn)
    try:
        asking = [asyncio.create_task(ask()) for _ in range(8)]
        for _ in range(60):
            await asyncio.sleep(0.03)
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'ended' AND datname = current_database()"
            )
        over.set()
        await asyncio.gather(*asking)
        with contextlib.suppress(DatabaseUnavailable), database_errors():
            await pool.fetchval("SELECT 1")
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        await other.close()
        pool.terminate()
    assert set(outcomes) == {"away", "answered"}, outcomes
