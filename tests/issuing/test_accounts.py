"""Who may log in, and what everybody else learns from trying: nothing."""

import asyncio
import contextlib

import argon2
import pytest

from auth_server.accounts import client_secrets
from auth_server.accounts.passwords import PasswordHasher
from auth_server.accounts.service import Accounts, Client, Refused, Throttled, User
from auth_server.accounts.throttle import Limit, Throttle
from auth_server.storage import clients, users
from farseal.clock import at
from farseal.environment import Secret
from farseal.service.postgres import DatabaseUnavailable, create_pool
from tests.support.accounts import NOW, accounts_pool, add_client, add_user, cheap_hasher

HERE = "192.0.2.1"
PASSWORD = "correct horse"


@pytest.fixture
async def pool(new_database):
    async with accounts_pool(await new_database()) as pool:
        yield pool


@pytest.fixture
def hasher():
    with cheap_hasher() as hasher:
        yield hasher


@pytest.fixture
async def alice(pool, hasher):
    stored = await hasher.hash(PASSWORD)
    async with pool.acquire() as conn:
        return await add_user(conn, "alice", password_hash=stored, attributes={"org_id": "acme"}, roles=("analyst",))


@pytest.fixture
def accounts(pool, hasher):
    return Accounts(pool, hasher, Throttle(pool))


async def test_the_right_password_gives_the_user(accounts, alice) -> None:
    """Name and password of an enabled account give its user, however the name was spelled."""
    for spelling in ("alice", "Alice", "ALICE"):
        assert await accounts.login(spelling, PASSWORD, address=HERE, now=NOW) == alice


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(("alice", "wrong"), id="wrong-password"),
        pytest.param(("bob", PASSWORD), id="unknown-user"),
        pytest.param(("disabled", PASSWORD), id="disabled-user-right-password"),
        pytest.param(("invited", PASSWORD), id="user-without-password"),
        pytest.param(("alice", ""), id="empty-password"),
        pytest.param(("", ""), id="nothing-at-all"),
        pytest.param(("alice\0", PASSWORD), id="nul-in-the-name"),
        pytest.param(("alice", PASSWORD + "\0"), id="nul-in-the-password"),
        pytest.param(("\ud800", "\ud800"), id="lone-surrogates"),
        pytest.param(("alice", "x" * 100_000), id="password-far-too-long"),
        pytest.param(("x" * 100_000, PASSWORD), id="name-far-too-long"),
        pytest.param(("alice'; DROP TABLE users; --", PASSWORD), id="sql"),
    ],
)
async def test_everything_else_is_one_answer(accounts, pool, hasher, alice, attempt) -> None:
    """Unknown, disabled, without a password, wrong or absurd: the same refusal."""
    async with pool.acquire() as conn:
        disabled = await add_user(conn, "disabled", password_hash=await hasher.hash(PASSWORD))
        await users.set_disabled(conn, disabled.id, at(NOW), now=at(NOW))
        await add_user(conn, "invited")
    username, password = attempt
    assert await accounts.login(username, password, address=HERE, now=NOW) == Refused("wrong_credentials")


class Recording(PasswordHasher):
    """Writes down what each check costs, and does it."""

    def __init__(self) -> None:
        super().__init__(workers=1, memory_kib=64)
        self.costs: list[argon2.Parameters] = []

    def _verify(self, stored: str, canonical: bytes) -> bool:
        self.costs.append(argon2.extract_parameters(stored))
        return super()._verify(stored, canonical)


async def test_a_refusal_costs_the_same_whoever_is_asked_for(pool) -> None:
    """Unknown, disabled, without a password and known: one password hash each, of the same memory, time and lanes."""
    with Recording() as hasher:
        accounts = Accounts(pool, hasher, Throttle(pool))
        stored = await hasher.hash(PASSWORD)
        async with pool.acquire() as conn:
            await add_user(conn, "alice", password_hash=stored)
            disabled = await add_user(conn, "disabled", password_hash=stored)
            await users.set_disabled(conn, disabled.id, at(NOW), now=at(NOW))
            await add_user(conn, "invited", password_hash=None)
        for username in ("alice", "nobody", "disabled", "invited", "no name at all \0"):
            assert await accounts.login(username, "wrong password", address=HERE, now=NOW) == Refused()
    assert len(hasher.costs) == 5
    assert all(cost == hasher.costs[0] for cost in hasher.costs)


@pytest.mark.parametrize("username", ["alice", "nobody"])
async def test_guesses_run_out_for_known_and_unknown_alike(pool, hasher, alice, username) -> None:
    """The attempt over the limit is refused before the password is looked at, even a right one."""
    accounts = Accounts(pool, hasher, Throttle(pool, account=Limit(burst=2, interval=30)))
    for _ in range(2):
        assert await accounts.login(username, "wrong", address=HERE, now=NOW) == Refused()
    assert await accounts.login(username, PASSWORD, address=HERE, now=NOW) == Throttled(retry_after=30)


async def test_guesses_sent_at_once_are_counted_before_they_are_checked(pool, hasher, alice) -> None:
    """Fifty parallel guesses get no more answers than the burst."""
    accounts = Accounts(pool, hasher, Throttle(pool, account=Limit(burst=4, interval=30)))
    answers = await asyncio.gather(*(accounts.login("alice", f"guess {n}", address=HERE, now=NOW) for n in range(50)))
    assert answers.count(Refused()) == 4


async def test_a_login_forgives_earlier_slips(pool, hasher, alice) -> None:
    """After a success the person may slip as often again, from where the success came."""
    accounts = Accounts(pool, hasher, Throttle(pool, pair=Limit(burst=2, interval=30)))
    for _ in range(3):
        assert await accounts.login("alice", "slip", address=HERE, now=NOW) == Refused()
        assert isinstance(await accounts.login("alice", PASSWORD, address=HERE, now=NOW), User)


async def test_a_disabled_account_with_the_right_password_is_not_forgiven(pool, hasher, alice) -> None:
    """The count tells nothing about a password either."""
    async with pool.acquire() as conn:
        await users.set_disabled(conn, alice.id, at(NOW), now=at(NOW))
    accounts = Accounts(pool, hasher, Throttle(pool, account=Limit(burst=1, interval=30)))
    assert await accounts.login("alice", PASSWORD, address=HERE, now=NOW) == Refused()
    assert await accounts.login("alice", PASSWORD, address=HERE, now=NOW) == Throttled(30)


async def test_a_hash_of_old_parameters_is_renewed_at_login(pool, hasher, alice) -> None:
    """After a change of cost the next login stores a new hash, which is good from then on."""
    with PasswordHasher(memory_kib=128, time_cost=1) as today:
        accounts = Accounts(pool, today, Throttle(pool))
        before = await pool.fetchval("SELECT password_hash FROM users")
        assert await accounts.login("alice", "wrong password", address=HERE, now=NOW) == Refused()
        assert await pool.fetchval("SELECT password_hash FROM users") == before
        assert isinstance(await accounts.login("alice", PASSWORD, address=HERE, now=NOW), User)
        renewed = await pool.fetchval("SELECT password_hash FROM users")
        assert "m=128," in renewed
        assert isinstance(await accounts.login("alice", PASSWORD, address=HERE, now=NOW), User)
        assert await pool.fetchval("SELECT password_hash FROM users") == renewed


async def test_no_connection_is_held_while_a_password_is_hashed(new_database, hasher) -> None:
    """More logins than connections at once all get their answer from a pool of one."""
    async with accounts_pool(await new_database(), size=1) as pool:
        async with pool.acquire() as conn:
            await add_user(conn, "alice", password_hash=await hasher.hash(PASSWORD))
        accounts = Accounts(pool, hasher, Throttle(pool, account=Limit(100, 1)))
        answers = await asyncio.gather(*(accounts.login("alice", PASSWORD, address=HERE, now=NOW) for _ in range(10)))
        assert all(isinstance(answer, User) for answer in answers)


async def test_a_client_is_recognised_by_its_secret_alone(accounts, pool) -> None:
    """The right secret of an enabled client gives the client, everything else is one answer."""
    async with pool.acquire() as conn:
        secret = await add_client(conn, "nightly")
        disabled = await add_client(conn, "disabled")
        await clients.set_disabled(conn, "disabled", at(NOW), now=at(NOW))
    found = await accounts.authenticate_client("nightly", secret)
    assert isinstance(found, Client)
    assert found.id == "nightly"
    for client_id, presented in [
        ("nightly", client_secrets.new_secret()),
        ("nightly", ""),
        ("Nightly", secret),
        ("unknown", secret),
        ("disabled", disabled),
        ("login", ""),
        ("login", secret),
        ("a\0", "b\0"),
        ("\ud800", "\ud800"),
    ]:
        assert await accounts.authenticate_client(client_id, presented) == Refused()


async def test_a_database_that_is_gone_is_an_outage_not_a_refusal(postgres_server, hasher) -> None:
    """No answer about who somebody is can be given: DatabaseUnavailable, which the kit answers with 503."""
    dsn = await postgres_server.create_database()
    pool = await create_pool(Secret(dsn), wait_seconds=5)
    try:
        accounts = Accounts(pool, hasher, Throttle(pool))
        await postgres_server.drop_database(dsn)
        with pytest.raises(DatabaseUnavailable):
            await accounts.login("alice", PASSWORD, address=HERE, now=NOW)
        with pytest.raises(DatabaseUnavailable):
            await accounts.authenticate_client("nightly", "x")
    finally:
        with contextlib.suppress(Exception):
            pool.terminate()
