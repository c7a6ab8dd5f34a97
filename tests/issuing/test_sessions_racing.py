"""Many callers with one refresh token, on a real database: one lineage inside the window, none outside it.

The normal run plays some rounds of each race. ``FARSEAL_TESTS_LONG=1`` plays a thousand: for whoever changes a
statement of `auth_server.storage.grants` or `grant_uses`.
"""

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections import Counter
from typing import Any

import asyncpg
import pytest

from auth_server.accounts import changes
from auth_server.grants.grant import Opened, Seen
from auth_server.grants.refresh_rules import ClientTerms, RefreshRefused
from auth_server.storage import clients, users
from farseal.clock import at
from farseal.service.postgres import DatabaseUnavailable
from tests.support.accounts import NOTES, NOW, accounts_pool, add_resource, add_user
from tests.support.killing import KillingWire
from tests.support.sessions import sessions_over

ROUNDS = 1000 if os.environ.get("FARSEAL_TESTS_LONG") else 20
CALLERS = 50
SEEN = Seen("192.0.2.7", "Browser/1.0")
GRACE = 30


class World:
    """A person who is logged in, and many who have their token."""

    def __init__(self, pool, sessions, alice, login) -> None:
        self.pool, self.sessions, self.alice, self.login = pool, sessions, alice, login

    async def log_in(self, now=NOW, user=None) -> Any:
        return await self.sessions.log_in(user or self.alice, scope=None, resources=[], seen=SEEN, now=now)

    async def refresh(self, token, now=NOW) -> Any:
        return await self.sessions.refresh(token, client=self.login, scope=None, resources=[], seen=SEEN, now=now)

    async def generation(self, opened) -> int:
        session = await self.sessions.find(uuid.UUID(opened.grant.session_id))
        return session.generation

    async def living(self) -> int:
        return await self.pool.fetchval("SELECT count(*) FROM grants WHERE ended_at IS NULL")

    async def unpublished(self) -> int:
        """Sessions that ended and have no bit, or the other way round."""
        return await self.pool.fetchval(
            """
            SELECT count(*) FROM grants g
              LEFT JOIN status_revocations r ON r.list_id = g.status_list AND r.index = g.status_index
             WHERE (g.ended_at IS NULL) <> (r.list_id IS NULL)
            """
        )


@pytest.fixture
async def world(new_database):
    async with accounts_pool(await new_database(), size=25) as pool:
        async with pool.acquire() as conn:
            await add_resource(conn, NOTES, "notes:read")
            alice = await add_user(conn, may={NOTES: ("notes:read",)})
            login = await clients.find(conn, "login")
        yield World(pool, await sessions_over(pool), alice, login)


async def test_inside_the_window_all_are_usable_and_of_one_lineage(world) -> None:
    """Fifty callers with the same token, round after round: one generation each time, and all hold its token."""
    opened = await world.log_in()
    token = opened.refresh_token
    for number in range(ROUNDS):
        now = NOW + number
        answers = await asyncio.gather(*(world.refresh(token, now=now) for _ in range(CALLERS)))
        assert all(isinstance(answer, Opened) for answer in answers)
        successors = {answer.refresh_token for answer in answers}
        assert len(successors) == 1
        assert token not in successors
        assert await world.generation(opened) == number + 1
        (token,) = successors
    assert await world.living() == 1


async def test_callers_of_two_generations_end_with_one_token(world) -> None:
    """Some are a generation behind, and race with those who are not."""
    opened = await world.log_in()
    behind, token = opened.refresh_token, (await world.refresh(opened.refresh_token)).refresh_token
    for number in range(ROUNDS):
        now = NOW + number
        answers = await asyncio.gather(
            *(world.refresh(token if caller % 2 else behind, now=now) for caller in range(CALLERS))
        )
        assert all(isinstance(answer, Opened) for answer in answers)
        # Whoever was behind was given the good token, of before or after the rotation: either leads on.
        assert len({answer.refresh_token for answer in answers} - {token}) == 1
        behind, token = token, next(a.refresh_token for a in answers if a.refresh_token != token)
        assert await world.generation(opened) == number + 2
    assert await world.living() == 1


async def test_outside_the_window_the_family_ends(world) -> None:
    """Owner and thief at once, a window later: whoever is first, nobody goes on, and nothing fails."""
    outcomes: Counter[str] = Counter()
    for number in range(ROUNDS):
        start = NOW + number
        opened = await world.log_in(now=start)
        good = (await world.refresh(opened.refresh_token, now=start)).refresh_token
        answers = await asyncio.gather(
            *(
                world.refresh(good if caller % 2 else opened.refresh_token, now=start + GRACE)
                for caller in range(CALLERS)
            )
        )
        outcomes.update(
            answer.reason if isinstance(answer, RefreshRefused) else type(answer).__name__ for answer in answers
        )
        given = {answer.refresh_token for answer in answers if isinstance(answer, Opened)}
        assert len(given) <= 1
        for token in {opened.refresh_token, good, *given}:
            assert await world.refresh(token, now=start + GRACE) == RefreshRefused("ended")
        assert await world.living() == 0
    assert set(outcomes) <= {"Opened", "replay", "ended"}
    assert outcomes["replay"] >= ROUNDS
    assert await world.unpublished() == 0


async def test_with_extend_fifty_callers_keep_the_one_token(world) -> None:
    """No generation passes."""
    async with world.pool.acquire() as conn:
        await clients.set_terms(conn, "login", ClientTerms("extend"), now=at(NOW))
    opened = await world.log_in()
    answers = await asyncio.gather(*(world.refresh(opened.refresh_token, now=NOW + n % 3) for n in range(CALLERS)))
    assert {answer.refresh_token for answer in answers} == {opened.refresh_token}
    session = await world.sessions.find(uuid.UUID(opened.grant.session_id))
    assert (session.generation, session.last_used_at) == (0, at(NOW + 2))


async def _end(world, how: str, session_ids) -> None:
    """One of the ways in which sessions end, as whoever does it does."""
    async with world.pool.acquire() as conn:
        match how:
            case "logout":
                await world.sessions.end(by="logout", now=NOW, ids=session_ids)
            case "password":
                await changes.set_password(conn, world.alice.id, f"$argon2id${uuid.uuid4()}", now=at(NOW))
            case "user-disabled":
                await changes.disable_user(conn, world.alice.id, now=at(NOW))
            case "user-deleted":
                await changes.delete_user(conn, world.alice.id, now=at(NOW))


@pytest.mark.parametrize("how", ["logout", "password", "user-disabled", "user-deleted"])
async def test_an_end_is_final_whatever_happens_at_the_same_time(world, how) -> None:
    """Refreshes, logins and several ends at once: afterwards nothing that began before lives, nothing deadlocks."""
    for _ in range(max(3, ROUNDS // 4)):
        if how != "logout":
            async with world.pool.acquire() as conn:
                world.alice = await add_user(conn, f"user-{uuid.uuid4()}", may={NOTES: ("notes:read",)})
        before = [await world.log_in() for _ in range(5)]
        ids = [uuid.UUID(opened.grant.session_id) for opened in before]
        tasks = [world.refresh(opened.refresh_token) for opened in before for _ in range(4)]
        tasks += [_end(world, how, ids[number:] + ids[:number]) for number in range(3)]
        if how != "logout":
            tasks += [world.log_in() for _ in range(10)]
        answers = await asyncio.gather(*tasks)
        rows = await world.pool.fetch("SELECT ended_at FROM grants WHERE user_id = $1", world.alice.id)
        if how == "password":  # who has the new password by then may be in: none of these had
            assert not [row for row in rows if row["ended_at"] is None]
        for answer in answers[:20]:
            token = answer.refresh_token if isinstance(answer, Opened) else None
            if token is not None:
                assert isinstance(await world.refresh(token), RefreshRefused)
        assert not [row for row in rows if row["ended_at"] is None]
        assert await world.unpublished() == 0


@pytest.mark.parametrize("change", ["password", "disabled", "deleted"])
async def test_a_login_that_began_before_a_change_is_refused_after_it(world, change) -> None:
    """It waits for the one who changes the account, whose transaction is open, and finds another account."""
    async with world.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        match change:
            case "password":
                await users.set_password(conn, world.alice.id, "$argon2id$new", now=at(NOW))
            case "disabled":
                await users.set_disabled(conn, world.alice.id, at(NOW), now=at(NOW))
            case _:
                await users.delete(conn, world.alice.id)
        login = asyncio.create_task(world.log_in())
        await _until_somebody_waits(world.pool)
        await transaction.commit()
    refused = await login
    assert refused.error == "unauthorized_client"
    assert await world.living() == 0


async def test_a_change_that_began_before_a_login_is_in_finds_it(world) -> None:
    """It waits for the login's transaction, and ends what that began."""
    async with world.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute("SELECT FROM users WHERE id = $1 FOR SHARE", world.alice.id)
        async with world.pool.acquire() as other:
            disabling = asyncio.create_task(changes.disable_user(other, world.alice.id, now=at(NOW)))
            await _until_somebody_waits(world.pool)
            opened = await world.log_in()
            assert isinstance(opened, Opened)
            await transaction.commit()
            outcome = await disabling
    assert (outcome.changed, outcome.ended) == (True, 1)
    assert await world.living() == 0


async def test_a_client_disabled_while_people_log_in_through_it_is_swept(world) -> None:
    """No login locks the one row that all of them share: what slips through ends within minutes."""
    async with world.pool.acquire() as conn:
        await clients.set_disabled(conn, "login", at(NOW), now=at(NOW))  # the row alone: its sessions were ended before
        await conn.execute("UPDATE clients SET disabled_at = NULL WHERE id = 'login'")
        opened = await world.log_in()
        await conn.execute("UPDATE clients SET disabled_at = $1 WHERE id = 'login'", at(NOW))
    swept = await world.sessions.sweep(now=NOW + 60)
    assert [str(session.id) for session in swept] == [opened.grant.session_id]
    assert await world.sessions.sweep(now=NOW + 60) == ()
    session = await world.sessions.find(uuid.UUID(opened.grant.session_id))
    assert session.ended_by == "client_disabled"
    assert await world.unpublished() == 0


async def _until_somebody_waits(pool) -> None:
    for _ in range(500):
        if await pool.fetchval(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database OR l.database IS NULL"
            " WHERE NOT l.granted AND d.datname = current_database()"
        ):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


async def test_wherever_the_way_to_the_database_breaks_a_retry_works(new_database) -> None:
    """At every message of a refresh: the client comes again with what it has, and goes on."""
    dsn = await new_database()
    async with accounts_pool(dsn) as pool:
        async with pool.acquire() as conn:
            await add_resource(conn, NOTES, "notes:read")
            alice = await add_user(conn, may={NOTES: ("notes:read",)})
            login = await clients.find(conn, "login")
        whole = World(pool, await sessions_over(pool), alice, login)
        rotated: Counter[int] = Counter()
        list_id, place, broken = await pool.fetchval("SELECT id FROM status_lists"), 0, True
        while broken:
            place += 1
            opened = await whole.log_in()
            wire = KillingWire(dsn, at=place, kill=lambda: None)
            async with wire as way, asyncpg.create_pool(way, min_size=0, max_size=1) as thin:
                sessions = await sessions_over(thin, list_id=list_id)
                with contextlib.suppress(DatabaseUnavailable):
                    await World(thin, sessions, alice, login).refresh(opened.refresh_token)
                broken = wire.killed
                thin.terminate()
            rotated[await whole.generation(opened)] += 1
            again = await whole.refresh(opened.refresh_token, now=NOW + 1)
            assert isinstance(again, Opened)
            assert isinstance(await whole.refresh(again.refresh_token, now=NOW + 2), Opened)
        assert rotated[0] > 0
        assert rotated[1] > 0


KILLED = """
import asyncio, os, signal, sys
from auth_server.storage import grant_uses
from tests.support.accounts import accounts_pool
from tests.support.sessions import sessions_over
from auth_server.grants.grant import Seen
from auth_server.storage import clients

rotate = grant_uses.rotate

async def rotate_and_die(*args, **more):
    assert await rotate(*args, **more)
    os.kill(os.getpid(), signal.SIGKILL)

grant_uses.rotate = rotate_and_die

async def main(dsn, list_id, token, now):
    async with accounts_pool(dsn) as pool:
        sessions = await sessions_over(pool, list_id=list_id)
        async with pool.acquire() as conn:
            login = await clients.find(conn, "login")
        await sessions.refresh(token, client=login, scope=None, resources=[], seen=Seen(), now=now)

asyncio.run(main(sys.argv[1], sys.argv[2], sys.stdin.readline().strip(), int(sys.argv[3])))
"""


async def test_a_server_killed_between_the_commit_and_the_answer_costs_nobody_a_session(new_database) -> None:
    """SIGKILL, in a process of its own: the successor that nobody saw is given to whoever asks again."""
    dsn = await new_database()
    async with accounts_pool(dsn) as pool:
        async with pool.acquire() as conn:
            await add_resource(conn, NOTES, "notes:read")
            alice = await add_user(conn, may={NOTES: ("notes:read",)})
            login = await clients.find(conn, "login")
        world = World(pool, await sessions_over(pool), alice, login)
        opened = await world.log_in()
        list_id = await pool.fetchval("SELECT id FROM status_lists")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, dsn, list_id, str(NOW), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await child.communicate(f"{opened.refresh_token}\n".encode())
        assert child.returncode == -signal.SIGKILL
        assert await world.generation(opened) == 1
        again = await world.refresh(opened.refresh_token, now=NOW + 29)
        assert isinstance(again, Opened)
        assert isinstance(await world.refresh(again.refresh_token, now=NOW + 29), Opened)
