"""Entries are given out: each to one grant, of a list that is published."""

import asyncio
import subprocess
import sys
import time

import asyncpg
import pytest

from auth_server.status.entries import BLOCK, KEEP_SECONDS, EntryPool, NoListOpen
from farseal.environment import Secret
from farseal.service.postgres import DatabaseUnavailable, create_pool
from tests.support.accounts import accounts_pool
from tests.support.auth import Wire
from tests.support.status import ISSUER, add_grant, add_list

LIST, NEXT = "A" * 16, "B" * 16


@pytest.fixture
async def dsn(new_database) -> str:
    return await new_database()


@pytest.fixture
async def pool(dsn):
    async with accounts_pool(dsn) as pool:
        yield pool


async def taken(pool, list_id=LIST) -> int:
    return await pool.fetchval("SELECT taken FROM status_lists WHERE id = $1", list_id)


async def test_an_entry_names_its_list(pool) -> None:
    await add_list(pool, LIST)
    entries = EntryPool(pool, issuer="https://auth.example/")
    entry = await entries.take()
    assert entry.list_id == LIST
    assert 0 <= entry.index < 1024
    assert entry.uri == entries.uri(LIST) == f"https://auth.example/.well-known/status/{LIST}.jwt"
    await entries.close()


async def test_most_logins_do_not_ask_the_database(pool) -> None:
    """Half a block is taken without a further one being begun."""
    await add_list(pool, LIST)
    entries = EntryPool(pool, issuer=ISSUER)
    for _ in range(BLOCK // 2):
        await entries.take()
    await entries.close()
    assert await taken(pool) == BLOCK
    await entries.take()
    await asyncio.sleep(0.2)
    assert await taken(pool) == 2 * BLOCK


async def test_no_entry_is_given_twice_and_none_is_left_over(pool) -> None:
    """Four replicas, a hundred callers each, until the list is full; then it is closed, and the next one serves."""
    await add_list(pool, LIST)
    await add_list(pool, NEXT, lead=0)
    replicas = [EntryPool(pool, issuer=ISSUER) for _ in range(4)]
    found = []

    async def caller(entries: EntryPool) -> None:
        found.extend([await entries.take() for _ in range(3)])

    await asyncio.gather(*(caller(entries) for entries in replicas for _ in range(100)))
    assert len(found) == 1200
    assert len({(entry.list_id, entry.index) for entry in found}) == 1200
    assert await pool.fetchval("SELECT closed_at IS NOT NULL AND taken = size FROM status_lists WHERE id = $1", LIST)
    assert {entry.list_id for entry in found} == {LIST, NEXT}
    for entries in replicas:
        await entries.close()


async def test_who_is_cancelled_gives_nothing_back(pool) -> None:
    """Callers that leave while they wait cost nobody else an entry twice."""
    await add_list(pool, LIST)
    entries, found = EntryPool(pool, issuer=ISSUER), []

    async def caller() -> None:
        found.append(await entries.take())

    callers = [asyncio.create_task(caller()) for _ in range(300)]
    for turn, one in enumerate(callers):
        if turn % 3 == 0:
            await asyncio.sleep(0)
            one.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert len(found) >= 200
    assert len(set(found)) == len(found)
    await entries.close()


@pytest.mark.parametrize(
    "lists",
    [[], [{"lead": None}], [{"lead": 60}], [{"barred": True}]],
    ids=["none", "unpublished", "not-open-yet", "behind"],
)
async def test_nothing_is_given_out_of_a_list_that_is_not_open(pool, lists) -> None:
    """503, and whoever makes lists is told that one is wanted."""
    wanted = []
    entries = EntryPool(pool, issuer=ISSUER)
    entries.wanted = lambda: wanted.append(1)
    for one in lists:
        await add_list(pool, LIST, lead=one.get("lead", 0))
        if one.get("barred"):
            entries.confirm([LIST], barred=[LIST])
    with pytest.raises(NoListOpen) as refused:
        await entries.take()
    assert (refused.value.status, refused.value.code) == (503, "status_lists_unavailable")
    assert refused.value.headers["Retry-After"]
    assert wanted


async def test_entries_of_a_list_that_has_gone_are_thrown_away(pool) -> None:
    """A list that was closed long ago may be retired: an entry of it would belong to nothing."""
    await add_list(pool, LIST)
    await add_list(pool, NEXT)
    entries = EntryPool(pool, issuer=ISSUER)
    assert (await entries.take()).list_id == LIST
    await pool.execute("UPDATE status_lists SET closed_at = now() WHERE id = $1", LIST)
    entries.confirm([NEXT], barred=[])
    assert entries.held == 0
    assert (await entries.take()).list_id == NEXT
    await entries.close()


@pytest.mark.parametrize(("waits", "held"), [(KEEP_SECONDS, True), (KEEP_SECONDS + 1, False)])
async def test_entries_that_nobody_has_confirmed_are_not_used(pool, waits: int, held: bool) -> None:
    """A server that was cut off for longer than that cannot know whether their list is there still."""
    await add_list(pool, LIST)
    seconds = [0.0]
    entries = EntryPool(pool, issuer=ISSUER, monotonic=lambda: seconds[0])
    await entries.take()
    seconds[0] = waits
    await entries.take()
    assert (await taken(pool) == BLOCK) is held
    await entries.close()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="the monotonic clock of this system never stops")
async def test_entries_are_not_kept_over_the_sleep_of_a_machine(pool, monkeypatch) -> None:
    """It wakes up days later; their list may have been taken away meanwhile."""
    await add_list(pool, LIST)
    entries = EntryPool(pool, issuer=ISSUER)
    await entries.take()
    read, slept = time.clock_gettime, {time.CLOCK_BOOTTIME: KEEP_SECONDS + 1}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: read(clock) + slept.get(clock, 0))
    await entries.take()
    assert await taken(pool) == 2 * BLOCK
    await entries.close()


async def test_a_database_that_goes_away_is_told_when_memory_is_empty(pool, dsn) -> None:
    """What is in memory is given out; then 503; and it goes on by itself."""
    await add_list(pool, LIST)
    wire = Wire(dsn)
    async with wire as way:
        replica = await create_pool(Secret(way), acquire_seconds=1.0)
        entries = EntryPool(replica, issuer=ISSUER)
        found = [await entries.take()]
        wire.cut()
        found += [await entries.take() for _ in range(BLOCK - 1)]
        with pytest.raises(DatabaseUnavailable):
            await entries.take()
        wire.mend()
        found.append(await entries.take())
        assert len(set(found)) == len(found)
        await entries.close()
        await replica.close()


KILLED = """
import asyncio, os, signal, sys
from auth_server.status.entries import EntryPool
from farseal.environment import Secret
from farseal.service.postgres import create_pool

async def main():
    pool = await create_pool(Secret(sys.argv[1]))
    entries = EntryPool(pool, issuer="https://auth.example")
    for _ in range(int(sys.argv[2])):
        print((await entries.take()).index, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_server_that_is_killed_takes_its_entries_with_it(pool, dsn) -> None:
    """Started again, it gives out none of those that the one before had, used or not."""
    await add_list(pool, LIST)
    found: list[str] = []
    for count in (1, 17, 40):
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", KILLED, dsn, str(count)], capture_output=True, text=True, check=False
        )
        assert done.returncode == -9, done.stderr
        assert len(done.stdout.split()) == count
        found += done.stdout.split()
    assert len(set(found)) == len(found) == 58


async def test_an_index_that_two_grants_would_have_is_refused_by_the_table(pool) -> None:
    """The last line of defence."""
    await add_list(pool, LIST)
    await add_grant(pool, LIST, 7)
    with pytest.raises(asyncpg.UniqueViolationError):
        await add_grant(pool, LIST, 7)
