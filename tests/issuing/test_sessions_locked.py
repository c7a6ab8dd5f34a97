"""In which order the ends of sessions lock: nobody waits in a circle, whatever way PostgreSQL takes through a table."""

import asyncio
import uuid

import pytest

from auth_server.storage import grants
from auth_server.storage.grants import Ending
from farseal.clock import at
from tests.support.accounts import NOW, accounts_pool
from tests.support.sessions import add_list
from tests.support.status import add_grant

FIRST, SECOND = "A" * 16, "B" * 16

BY_INDEX = "SET enable_seqscan = off; SET enable_bitmapscan = off"
BY_TABLE = "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off"
"""The one reads rows in the order of their ids, the other as they lie there."""


@pytest.fixture
async def pool(new_database):
    """Lists that lie in the opposite order of their ids. Whoever has locked a row of one by an UPDATE stays at it for a
    moment, so that everybody has one before anybody has two."""
    async with accounts_pool(await new_database()) as pool:
        for list_id in (SECOND, FIRST):
            await add_list(pool, list_id)
        await pool.execute(
            """
            CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$;
            CREATE TRIGGER linger BEFORE UPDATE ON status_lists FOR EACH ROW EXECUTE FUNCTION linger();
            """
        )
        yield pool


async def test_two_who_end_sessions_of_two_lists_do_not_wait_for_one_another_in_a_circle(pool) -> None:
    """Their sessions are others, the lists the same, and each comes to the lists from another end."""

    async def end(way: str, ids: list[uuid.UUID]) -> int:
        async with pool.acquire() as conn:
            await conn.execute(way)
            async with conn.transaction():
                return len(await grants.end(conn, [Ending("operator", ids=tuple(ids))], at=at(NOW)))

    async with pool.acquire() as conn:
        mine = [await add_grant(conn, one, 1) for one in (FIRST, SECOND)]
        theirs = [await add_grant(conn, one, 2) for one in (SECOND, FIRST)]
    assert await asyncio.gather(end(BY_INDEX, mine), end(BY_TABLE, theirs)) == [2, 2]
    assert await pool.fetchval("SELECT count(*) FROM status_revocations") == 4
    assert {row["version"] for row in await pool.fetch("SELECT version FROM status_lists")} == {3}
