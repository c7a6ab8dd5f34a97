"""A leader that is killed at any message of a whole rotation is followed by one that ends it all the same."""

import asyncio
import contextlib
import multiprocessing
from collections import Counter

import pytest

from auth_server.storage import audit, publication, signing_keys
from auth_server.storage.connection import Connection
from farseal.environment import Secret
from farseal.service.postgres import create_pool
from tests.support.auth import migrate
from tests.support.killing import KillingWire
from tests.support.leader import lead
from tests.support.postgres import NewDatabase, TestServer
from tests.support.rotation import POLICY, Replica, Time

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.support.leader"])
"""The leaders: forked from a process that has everything imported, and nothing else."""

SHARES = 2
"""The messages are dealt out to so many tests, for workers that run side by side."""


async def prepared(dsn: str) -> int:
    """A database in which a key is about to take over, and an older one about to go; gives the moment."""
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        replica = await Replica(pool).start()
        await replica.turn()
        await replica.turn(POLICY.rotation_seconds)
        await replica.turn()
        await replica.close()
        return replica.time.now + POLICY.rotation_seconds


async def copied(server: TestServer, template: str) -> str:
    """The same database again."""
    name = f"{template.rpartition('/')[2].partition('?')[0]}_copy"
    await server._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await server._execute(f"CREATE DATABASE {name} TEMPLATE {template.rpartition('/')[2].partition('?')[0]}")
    return server.database_dsn(name)


async def led(dsn: str, now: int, *, at: int) -> tuple[bool, int]:
    """Let a process lead and kill it at a message; gives whether that came, and how many messages there were."""

    def end() -> None:
        process.kill()

    wire = KillingWire(dsn, at=at, kill=end)
    async with wire as through:
        process = PROCESSES.Process(target=lead, args=(through, now), daemon=True)
        await asyncio.to_thread(process.start)
        await asyncio.to_thread(process.join, 60)
    assert wire.killed or process.exitcode == 0
    return wire.killed, wire.counted


async def alone(conn: Connection) -> None:
    """Until the server has noticed that the killed process is gone: its backend may hold the lock for a moment."""
    async with asyncio.timeout(20):
        while await conn.fetchval(  # noqa: ASYNC110 - another process is no event
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ):
            await asyncio.sleep(0.02)


async def outcome(dsn: str, now: int) -> tuple[Counter[str], int, Counter[str]]:
    """What a second leader comes to: keys by state, the sequence, the audit by action."""
    async with await create_pool(Secret(dsn)) as pool:
        async with pool.acquire() as conn:
            await alone(conn)
        follower = Replica(pool, time=Time(now), name="follower")
        # A turn ends early where the pool of keys holds the lock, and the next one goes on: until three bring no more.
        seen = [await pool.fetchval("SELECT count(*) FROM audit")]
        while len(seen) < 4 or len(set(seen[-3:])) > 1:
            assert len(seen) < 30, "it comes to no end"
            await follower.turn()
            seen.append(await pool.fetchval("SELECT count(*) FROM audit"))
        active = follower.keyring.active_key().kid
        await follower.close()
        async with pool.acquire() as conn:
            keys = await signing_keys.list_all(conn)
            entries = await audit.entries(conn, limit=1000)
            sequence = await publication.sequence(conn)
        (signing,) = [key for key in keys if key.state == "active"]
        assert signing.kid == active
        for key in keys:
            said = [entry for entry in entries if entry.kid == key.kid and entry.after and "state" in entry.after]
            assert said[0].after["state"] == key.state, "every state is one that the audit tells of"
        return Counter(str(key.state) for key in keys), sequence, Counter(entry.action for entry in entries)


@pytest.mark.parametrize("share", range(SHARES))
async def test_whoever_follows_a_killed_leader_comes_to_the_same_end(
    new_database: NewDatabase, postgres_server: TestServer, share: int
) -> None:
    """kill -9 at the n-th message to the database, for every n until the rotation gets through: the keys, the sequence
    and the audit are those of a rotation that nobody disturbed; nothing happens twice and nothing is left out."""
    template = await new_database()
    now = await prepared(template)
    dsn = await copied(postgres_server, template)
    try:
        killed, messages = await led(dsn, now, at=0)
        assert not killed
        wanted = await outcome(dsn, now)
        assert wanted[0] == {"ready": 1, "announced": 1, "active": 1, "retiring": 1, "gone": 1}
        assert messages > 100
        for at in range(1 + share, messages + 1, SHARES):
            dsn = await copied(postgres_server, template)
            await led(dsn, now, at=at)
            assert await outcome(dsn, now) == wanted, f"killed at message {at} of {messages}"
    finally:
        with contextlib.suppress(Exception):
            await postgres_server.drop_database(dsn)
