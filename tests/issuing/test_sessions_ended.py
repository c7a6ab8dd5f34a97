"""What ends sessions, and what verifiers are told of it: row, session and bit in one transaction, in order."""

import asyncio
import random
import uuid
from dataclasses import replace

import asyncpg
import pytest

from auth_server.accounts import changes
from auth_server.accounts.apply import apply_plan, lock, read_state
from auth_server.accounts.manifest import plan
from auth_server.accounts.manifest_file import parse
from auth_server.grants.grant import Opened, Seen
from auth_server.status.upkeep import Upkeep
from auth_server.storage import clients, grants, users
from auth_server.storage.grants import CHANNEL, Ending
from farseal.clock import at
from tests.support.accounts import NOTES, NOW, accounts_pool, add_client, add_resource, add_user
from tests.support.sessions import DEFAULTS, add_list, sessions_over

LATER = NOW + 50
SEEN = Seen("192.0.2.7", "Browser/1.0")
HASH = "$argon2id$new"


class World:
    """Alice and bob are logged in, and a client has its own grant."""

    def __init__(self, pool, sessions, alice, bob, nightly) -> None:
        self.pool, self.sessions, self.alice, self.bob, self.nightly = pool, sessions, alice, bob, nightly

    async def log_in(self, user, sessions=None, now=NOW) -> uuid.UUID:
        opened = await (sessions or self.sessions).log_in(user, scope=None, resources=[], seen=SEEN, now=now)
        assert isinstance(opened, Opened), opened
        return uuid.UUID(opened.grant.session_id)

    async def own(self, now=NOW) -> uuid.UUID:
        opened = await self.sessions.for_client(self.nightly, scope=None, resources=[], seen=SEEN, now=now)
        assert isinstance(opened, Opened), opened
        return uuid.UUID(opened.grant.session_id)

    async def ended(self) -> dict[uuid.UUID, str]:
        """Sessions that have ended, and by what; each has its bit, and nothing else has one."""
        rows = await self.pool.fetch(
            """
            SELECT g.id, g.ended_by, g.standing, r.list_id, r.version <= l.version AS covered
              FROM grants g JOIN status_lists l ON l.id = g.status_list
              LEFT JOIN status_revocations r ON r.list_id = g.status_list AND r.index = g.status_index
            """
        )
        for row in rows:
            assert (row["ended_by"] is None) == (row["list_id"] is None)
            assert row["covered"] is not False
            assert not (row["ended_by"] and row["standing"])
        assert await self.pool.fetchval("SELECT count(*) FROM status_revocations") == sum(
            row["ended_by"] is not None for row in rows
        )
        return {uuid.UUID(bytes=row["id"].bytes): row["ended_by"] for row in rows if row["ended_by"] is not None}

    async def version(self) -> int:
        return await self.pool.fetchval("SELECT max(version) FROM status_lists")


@pytest.fixture
async def world(new_database):
    async with accounts_pool(await new_database(), size=25) as pool:
        async with pool.acquire() as conn:
            await add_resource(conn, NOTES, "notes:read")
            alice = await add_user(conn, may={NOTES: ("notes:read",)}, password_hash="$argon2id$old")
            bob = await add_user(conn, "bob", may={NOTES: ("notes:read",)})
            await add_client(conn, may={NOTES: ("notes:read",)})
            nightly = await clients.find(conn, "nightly")
        yield World(pool, await sessions_over(pool), alice, bob, nightly)


async def clean_up(pool, now: int) -> None:
    """As every replica does from time to time."""
    await Upkeep(pool, clock=lambda: now, longest_token=DEFAULTS.max_token).clean_up()


async def apply(conn, manifest: str, *, prune: bool = False) -> None:
    """As the command does."""
    async with conn.transaction():
        await lock(conn)
        made = plan(parse(manifest), await read_state(conn), prune=prune)
        assert not isinstance(made, tuple), made
        await apply_plan(conn, made, {}, now=LATER)


WAYS = {
    "set-password": ("alice", "password_changed"),
    "disable-user": ("alice", "user_disabled"),
    "delete-user": ("alice", "user_deleted"),
    "disable-login": ("people", "client_disabled"),
    "disable-client": ("nightly", "client_disabled"),
    "delete-client": ("nightly", "client_deleted"),
    "apply-user-disabled": ("alice", "user_disabled"),
    "apply-client-disabled": ("nightly", "client_disabled"),
    "apply-users-pruned": ("alice", "user_deleted"),
    "apply-clients-pruned": ("nightly", "client_deleted"),
}


async def change(world, how: str) -> None:
    async with world.pool.acquire() as conn:
        match how:
            case "set-password":
                await changes.set_password(conn, world.alice.id, HASH, now=at(LATER))
            case "disable-user":
                await changes.disable_user(conn, world.alice.id, now=at(LATER))
            case "delete-user":
                await changes.delete_user(conn, world.alice.id, now=at(LATER))
            case "disable-login":
                await changes.disable_client(conn, "login", now=at(LATER))
            case "disable-client":
                await changes.disable_client(conn, "nightly", now=at(LATER))
            case "delete-client":
                await changes.delete_client(conn, "nightly", now=at(LATER))
            case "apply-user-disabled":
                await apply(conn, "users:\n- username: alice\n  disabled: true\n")
            case "apply-client-disabled":
                await apply(conn, "clients:\n- id: nightly\n  disabled: true\n")
            case "apply-users-pruned":
                await apply(conn, "users:\n- username: bob\n", prune=True)
            case "apply-clients-pruned":
                await apply(conn, "clients: []\n", prune=True)
            case _:
                raise AssertionError(how)


async def accounts(world) -> list:
    return await world.pool.fetch(
        "SELECT id::text, password_hash, disabled_at FROM users"
        " UNION ALL SELECT id, NULL, disabled_at FROM clients ORDER BY 1"
    )


@pytest.mark.parametrize("how", WAYS)
async def test_whoever_is_changed_loses_their_sessions_and_nobody_else(world, how) -> None:
    """The row, the sessions and the bits; the version grows by one for all of them together."""
    theirs = {
        "alice": [await world.log_in(world.alice), await world.log_in(world.alice)],
        "bob": [await world.log_in(world.bob)],
        "nightly": [await world.own()],
    }
    whose, by = WAYS[how]
    expected = theirs["alice"] + theirs["bob"] if whose == "people" else theirs[whose]
    before, version = await accounts(world), await world.version()
    await change(world, how)
    assert await accounts(world) != before
    assert await world.ended() == dict.fromkeys(expected, by)
    assert await world.version() == version + 1
    for session_id in expected:
        session = await world.sessions.find(session_id)
        assert session.ended_at == at(LATER)
        assert not world.sessions.is_living(session, now=LATER)


@pytest.mark.parametrize("how", WAYS)
async def test_what_cannot_be_published_is_not_changed(world, how) -> None:
    """The account stays as it was when its sessions cannot be ended: one transaction."""
    await world.log_in(world.alice)
    await world.log_in(world.bob)
    await world.own()
    await world.pool.execute("UPDATE status_lists SET version = 9007199254740991")
    before = await accounts(world)
    with pytest.raises(asyncpg.CheckViolationError):
        await change(world, how)
    assert await accounts(world) == before
    assert await world.ended() == {}


async def test_an_end_happens_once(world) -> None:
    """A second end, for whatever reason, changes nothing and takes no version."""
    session_id = await world.log_in(world.alice)
    (ended,) = await world.sessions.end(by="logout", now=NOW, ids=[session_id])
    assert (ended.id, ended.user_id, ended.client_id, ended.by) == (session_id, world.alice.id, "login", "logout")
    version = await world.version()
    assert await world.sessions.end(by="operator", now=LATER, ids=[session_id], users=[world.alice.id]) == ()
    assert await world.sessions.end(by="operator", now=LATER) == ()
    assert await world.sessions.end(by="operator", now=LATER, ids=[uuid.uuid4()]) == ()
    assert await world.ended() == {session_id: "logout"}
    assert await world.version() == version


async def test_every_commit_that_ends_sessions_is_told_once(world) -> None:
    """To whoever listens, and after it is there to be read; one that is rolled back is not."""
    ids = [await world.log_in(world.alice) for _ in range(3)]
    heard: list[str] = []
    async with world.pool.acquire() as listener, world.pool.acquire() as conn:
        await listener.add_listener(CHANNEL, lambda *said: heard.append(said[2]))
        transaction = conn.transaction()
        await transaction.start()
        await grants.end(conn, [Ending("logout", ids=(ids[0],))], at=at(NOW))
        await transaction.rollback()
        await world.sessions.end(by="logout", now=NOW, ids=ids)
        for _ in range(200):
            if heard:
                break
            await asyncio.sleep(0.01)
        await listener.fetchval("SELECT 1")
        await listener.remove_listener(CHANNEL, lambda *_: None)
        await listener.reset()
    assert len(heard) == 1


async def test_revocations_are_seen_in_the_order_of_their_versions(world) -> None:
    """Two transactions at once: the second gets no version before the first has committed or gone back."""
    first, second, third = [await world.log_in(world.alice) for _ in range(3)]
    start = await world.version()

    async def seen() -> list[int]:
        return [row[0] for row in await world.pool.fetch("SELECT version FROM status_revocations ORDER BY version")]

    async with world.pool.acquire() as one, world.pool.acquire() as two:
        open_one = one.transaction()
        await open_one.start()
        await grants.end(one, [Ending("logout", ids=(first,))], at=at(NOW))

        async def end_second() -> None:
            async with two.transaction():
                await grants.end(two, [Ending("logout", ids=(second,))], at=at(NOW))

        ending = asyncio.create_task(end_second())
        await asyncio.sleep(0.2)
        assert not ending.done()
        assert await seen() == []
        assert await world.version() == start
        await open_one.commit()
        assert start + 1 in await seen()
        await ending
        assert await seen() == [start + 1, start + 2]

        open_one = one.transaction()
        await open_one.start()
        await grants.end(one, [Ending("logout", ids=(third,))], at=at(NOW))
        await open_one.rollback()
    assert await seen() == [start + 1, start + 2]
    assert await world.version() == start + 2
    assert set(await world.ended()) == {first, second}


async def test_a_reader_misses_none_while_many_end_sessions_at_once(world) -> None:
    """Who has read all up to the version of a list has all of them, at every moment (the publication relies on it)."""
    ids = [await world.log_in(world.alice) for _ in range(60)]
    random.Random(5).shuffle(ids)
    known: set[int] = set()
    upto, done = 0, asyncio.Event()

    async def read() -> None:
        nonlocal upto
        while True:
            last = done.is_set()
            async with world.pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
                version = await conn.fetchval("SELECT version FROM status_lists")
                rows = await conn.fetch("SELECT index, version FROM status_revocations WHERE version > $1", upto)
            assert all(upto < row["version"] <= version for row in rows)
            known.update(row["index"] for row in rows)
            upto = version
            if last:
                return

    reading = asyncio.create_task(read())
    await asyncio.gather(*(world.sessions.end(by="logout", now=NOW, ids=ids[n : n + 3]) for n in range(0, 60, 2)))
    done.set()
    await reading
    assert len(await world.ended()) == 60
    assert len(known) == 60


async def test_ends_of_many_lists_do_not_wait_for_one_another_in_a_circle(world) -> None:
    """Overlapping sets in every order, by id, by user, by client, with refreshes and logins between them."""
    several = [await sessions_over(world.pool, list_id=await add_list(world.pool)) for _ in range(5)]
    shuffled = random.Random(7)
    for _ in range(10):
        ids = [await world.log_in(user, sessions) for sessions in several for user in (world.alice, world.bob)]
        work = []
        for _ in range(12):
            shuffled.shuffle(ids)
            work.append(world.sessions.end(by="logout", now=NOW, ids=ids[:6]))
        work += [
            world.sessions.end(by="operator", now=NOW, users=[world.bob.id, world.alice.id]),
            world.sessions.end(by="operator", now=NOW, clients=["nightly", "login"]),
            world.sessions.sweep(now=NOW),
            clean_up(world.pool, NOW),
            *(world.own() for _ in range(3)),
        ]
        shuffled.shuffle(work)
        await asyncio.gather(*work)
        assert set(ids) <= set(await world.ended())


async def test_accounts_changed_together_and_one_by_one_do_not_wait_in_a_circle(world) -> None:
    """A manifest disables both people while commands disable, delete and set passwords of either."""
    manifest = """
        users: [{username: alice, disabled: true}, {username: bob, disabled: true}]
        clients: [{id: nightly, disabled: true}]
    """

    async def by_command(number: int) -> None:
        async with world.pool.acquire() as conn:
            user = (world.alice, world.bob)[number % 2]
            match number % 3:
                case 0:
                    await changes.disable_user(conn, user.id, now=at(NOW))
                case 1:
                    await changes.set_password(conn, user.id, HASH, now=at(NOW))
                case _:
                    await changes.disable_client(conn, "nightly", now=at(NOW))

    async def by_manifest() -> None:
        async with world.pool.acquire() as conn:
            await apply(conn, manifest)

    for _ in range(10):
        async with world.pool.acquire() as conn:
            await apply(conn, manifest.replace("true", "false"))
            world.alice = await users.find(conn, "alice")
            world.bob = await users.find(conn, "bob")
        theirs = [await world.log_in(user) for user in (world.alice, world.bob) for _ in range(4)]
        theirs.append(await world.own())
        await asyncio.gather(by_manifest(), *map(by_command, range(12)), by_manifest())
        assert set(theirs) <= set(await world.ended())


# --- what is kept, and for how long ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "kept"),
    [
        pytest.param(7 * 86400, 7 * 86400, id="as-long-as-people-want-to-see-it"),
        pytest.param(0, 90000, id="and-until-the-longest-token-of-it-is-dead"),
    ],
)
async def test_a_session_is_kept_for_a_while_after_its_end(world, history, kept) -> None:
    """Counted from the end, whenever that was."""
    sessions = await sessions_over(world.pool, defaults=replace(DEFAULTS, history=history))
    one, other = await world.log_in(world.alice, sessions), await world.log_in(world.alice, sessions)
    assert (await sessions.find(other)).keep_until == at(NOW + 3600 + kept)
    await sessions.end(by="logout", now=LATER, ids=[one])
    assert (await sessions.find(one)).keep_until == at(LATER + kept)
    await clean_up(world.pool, LATER + kept)
    assert await sessions.find(one) is not None
    await clean_up(world.pool, LATER + kept + 1)
    assert await sessions.find(one) is None
    assert await sessions.find(other) is not None
    await clean_up(world.pool, NOW + 3600 + kept + 1)
    assert await sessions.find(other) is None
    assert await world.pool.fetchval("SELECT count(*) FROM status_revocations") == 1  # a bit goes with its list


async def test_many_clean_up_at_once_in_batches(world) -> None:
    """Each row is deleted by one of them, nobody waits, and sessions go on meanwhile."""
    list_id = await add_list(world.pool)
    await world.pool.execute(
        """
        INSERT INTO grants (id, client_id, user_id, audience, scopes, created_at, expires_at, last_used_at,
                            status_list, status_index, keep_until)
        SELECT gen_random_uuid(), 'login', $1, '{}', '{}', $2, $2, $2, $3, n, $2
          FROM generate_series(1, 3210) n
        """,
        world.alice.id, at(NOW - 86400), list_id,
    )  # fmt: skip
    kept = [await world.log_in(world.alice) for _ in range(20)]
    await asyncio.gather(
        *(clean_up(world.pool, NOW) for _ in range(4)),
        *(world.sessions.end(by="logout", now=NOW, ids=kept[n : n + 5]) for n in range(0, 20, 5)),
        world.sessions.end(by="operator", now=NOW, users=[world.alice.id]),
    )
    await clean_up(world.pool, NOW)
    left = [row["id"] for row in await world.pool.fetch("SELECT id FROM grants")]
    assert sorted(uuid.UUID(bytes=one.bytes) for one in left) == sorted(kept)
    assert set(await world.ended()) == set(kept)
