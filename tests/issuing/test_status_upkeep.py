"""What nobody needs any more goes, and nothing else."""

import asyncio

import asyncpg
import pytest

from auth_server.status.upkeep import BATCH, MARGIN_SECONDS, Upkeep
from farseal.clock import now
from tests.support.accounts import accounts_pool
from tests.support.status import add_grant, add_list, revoke

LIST, NEXT = "A" * 16, "B" * 16
LONGEST = 3600
KEEP = LONGEST + MARGIN_SECONDS


@pytest.fixture
async def pool(new_database):
    async with accounts_pool(await new_database()) as pool:
        yield pool


def upkeep(pool, *, later: int = 0) -> Upkeep:
    return Upkeep(pool, clock=lambda: now() + later, longest_token=LONGEST)


async def grants(pool) -> int:
    return await pool.fetchval("SELECT count(*) FROM grants")


async def test_grants_go_when_nothing_of_them_matters(pool) -> None:
    """At `keep_until` by the server's clock; their bits stay with the list."""
    async with pool.acquire() as conn:
        await add_list(conn, LIST)
        await add_grant(conn, LIST, 1, keep="-1 second")
        await add_grant(conn, LIST, 2, keep="1 hour")
        await revoke(conn, LIST, [1])
    await upkeep(pool).clean_up()
    assert await grants(pool) == 1
    assert await pool.fetchval("SELECT count(*) FROM status_revocations") == 1
    await upkeep(pool, later=3601).clean_up()
    assert await grants(pool) == 0


async def test_many_replicas_clean_up_at_once_without_waiting_for_each_other(pool) -> None:
    """In batches; a grant that somebody is working on is passed over."""
    async with pool.acquire() as conn:
        await add_list(conn, LIST, size=4096)
        kept = await add_grant(conn, LIST, 0, keep="-1 hour")
        await conn.execute(
            """
            INSERT INTO grants (id, client_id, audience, scopes, created_at, expires_at, last_used_at, status_list,
                                status_index, keep_until)
                 SELECT gen_random_uuid(), client_id, audience, scopes, created_at, expires_at, last_used_at,
                        status_list, number, keep_until
                   FROM grants, generate_series(1, $1) AS number
            """,
            3 * BATCH,
        )
        async with conn.transaction():
            await conn.execute("SELECT FROM grants WHERE id = $1 FOR UPDATE", kept)
            async with asyncio.timeout(10):
                await asyncio.gather(*(upkeep(pool).clean_up() for _ in range(4)))
            assert await conn.fetch("SELECT id FROM grants") == [(kept,)]
    await upkeep(pool).clean_up()
    assert await grants(pool) == 0


@pytest.mark.parametrize(
    ("closed", "named", "goes"),
    [(KEEP + 5, False, True), (KEEP - 60, False, False), (KEEP + 5, True, False), (None, False, False)],
    ids=["empty", "closed-lately", "named", "open"],
)
async def test_a_list_goes_when_no_token_can_name_it(pool, closed: int | None, named: bool, goes: bool) -> None:
    """Closed for longer than any token lives, and named by no grant; its revocations go with it."""
    async with pool.acquire() as conn:
        await add_list(conn, LIST)
        await add_list(conn, NEXT)
        await revoke(conn, LIST, range(100))
        if closed is not None:
            await conn.execute(
                "UPDATE status_lists SET closed_at = now() - $2 * interval '1 second' WHERE id = $1", LIST, closed
            )
        if named:
            await add_grant(conn, LIST, 1)
    await upkeep(pool).clean_up()
    assert {row["id"] for row in await pool.fetch("SELECT id FROM status_lists")} == ({NEXT} if goes else {LIST, NEXT})
    assert await pool.fetchval("SELECT count(*) FROM status_revocations") == (0 if goes else 100)


async def test_lists_with_many_revocations_go_however_long_that_takes(new_database) -> None:
    """One after the other, and beyond the time that any other statement may take: they would stay for ever."""
    dsn = await new_database()
    async with accounts_pool(dsn) as pool:
        async with pool.acquire() as conn:
            for list_id in (LIST, NEXT):
                await add_list(conn, list_id)
                await revoke(conn, list_id, range(4))
            await conn.execute("UPDATE status_lists SET closed_at = now() - interval '1 day'")
            await conn.execute(
                """
                CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN PERFORM pg_sleep(0.2); RETURN OLD; END $$;
                CREATE TRIGGER slow BEFORE DELETE ON status_revocations FOR EACH ROW EXECUTE FUNCTION slow();
                """
            )
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1, command_timeout=0.5) as hurried:
            await upkeep(hurried).clean_up()
        assert await pool.fetchval("SELECT count(*) FROM status_lists") == 0


async def test_a_grant_that_is_made_in_that_moment_keeps_its_list(pool) -> None:
    """Whoever retires lists waits for nobody, and takes no list from under a grant."""
    async with pool.acquire() as conn:
        await add_list(conn, LIST)
        await conn.execute("UPDATE status_lists SET closed_at = now() - interval '1 day'")
        async with conn.transaction():
            await add_grant(conn, LIST, 1)
            async with asyncio.timeout(5):
                await upkeep(pool).clean_up()
    await upkeep(pool).clean_up()
    assert await pool.fetchval("SELECT count(*) FROM status_lists") == 1
