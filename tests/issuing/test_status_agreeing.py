"""Replicas that look at the database at different moments publish the same bits under the same version.

Verifiers refuse a list of the same version with other entries, and one of a higher version that unsets one."""

import asyncio
import itertools
import random
from collections.abc import Iterator

from auth_server.storage import grants
from auth_server.storage.grants import Ending
from farseal.clock import at
from tests.support.accounts import accounts_pool
from tests.support.status import NOW, StatusReplica, add_grant, add_list, replica, running

LISTS = ("A" * 16, "B" * 16, "C" * 16)
GRANTS = 300


def documents(one: StatusReplica) -> Iterator[tuple[tuple[str, int], bytes]]:
    for document in one.memory.documents:
        yield (document.list_id, document.version), document.bits


async def test_a_version_says_the_same_at_every_replica(new_database) -> None:
    """While many end sessions of the same lists at once."""
    dsn = await new_database()
    said: dict[tuple[str, int], bytes] = {}
    looks = 0
    async with accounts_pool(dsn, size=20) as pool:
        async with pool.acquire() as conn:
            for list_id in LISTS:
                await add_list(conn, list_id)
            ids = [await add_grant(conn, LISTS[n % 3], n) for n in range(GRANTS)]
        random.Random(1).shuffle(ids)

        async def end(some: list) -> None:
            for first in range(0, len(some), 3):
                async with pool.acquire() as conn, conn.transaction():
                    await grants.end(conn, [Ending("operator", ids=tuple(some[first : first + 3]))], at=at(NOW))
                    await asyncio.sleep(0.002)  # the versions are given, and nobody else sees them yet

        async with replica(pool) as one, replica(pool) as other, running(one, dsn), running(other, dsn):

            async def watch() -> None:
                nonlocal looks
                while True:
                    for replica_ in (one, other):
                        for name, bits in documents(replica_):
                            looks += name in said
                            assert said.setdefault(name, bits) == bits, name
                    await asyncio.sleep(0.001)

            watching = asyncio.create_task(watch())
            turning = asyncio.create_task(_turn_for_ever(pool))
            await asyncio.gather(*(end(ids[n::6]) for n in range(6)))
            turning.cancel()
            await asyncio.sleep(0.5)
            assert not watching.done(), watching.exception()
            watching.cancel()
            for name, bits in documents(one):
                assert said[name] == bits
            assert sum(bits.bit_count() for _, whole in documents(other) for bits in whole) == GRANTS
    for list_id in LISTS:
        versions = [int.from_bytes(bits) for (named, _), bits in sorted(said.items()) if named == list_id]
        assert all(before & after == before for before, after in itertools.pairwise(versions))
    assert len(said) > 6
    assert looks > len(said)


async def _turn_for_ever(pool) -> None:
    """Whoever reads in the middle of everything."""
    while True:
        await pool.fetchval("SELECT pg_notify('farseal_status', '')")
        await asyncio.sleep(0.003)
