"""Grants from what the database holds at this moment."""

import uuid

import pytest

from auth_server.accounts.service import Accounts, Client
from auth_server.accounts.throttle import Throttle
from auth_server.grants.service import Grant, GrantRefused, Grants
from auth_server.storage import clients, permissions, users
from farseal.clock import at
from tests.support.accounts import (
    NOTES,
    NOW,
    REPORTS,
    accounts_pool,
    add_client,
    add_resource,
    add_user,
    cheap_hasher,
)


@pytest.fixture
async def pool(new_database):
    async with accounts_pool(await new_database()) as pool:
        async with pool.acquire() as conn:
            await add_resource(conn, NOTES, "notes:read", "notes:write", claims={"org_id": "org_id", "team": "team"})
            await add_resource(conn, REPORTS, "reports:read", claims={"org_id": "org_id"})
        yield pool


async def client_of(pool, client_id, **more) -> Client:
    """A client as authentication gives it."""
    async with pool.acquire() as conn:
        secret = await add_client(conn, client_id, **more)
    with cheap_hasher() as hasher:
        client = await Accounts(pool, hasher, Throttle(pool)).authenticate_client(client_id, secret)
    assert isinstance(client, Client)
    return client


async def test_a_grant_to_a_person_says_who_what_where_and_since_when(pool) -> None:
    """Subject is the id, roles and mapped attributes are there, attributes that are missing or null are not."""
    async with pool.acquire() as conn:
        alice = await add_user(
            conn, "alice", attributes={"org_id": "acme", "team": None, "shoe_size": 38}, roles=("org_admin", "analyst"),
            may={NOTES: ("notes:read",), REPORTS: ("reports:read",)},
        )  # fmt: skip
    assert await Grants(pool).for_user(alice, scope=None, resources=[], now=NOW) == Grant(
        subject=str(alice.id),
        client_id="login",
        audience=(NOTES, REPORTS),
        scopes=("notes:read", "reports:read"),
        roles=("analyst", "org_admin"),
        claims={"org_id": "acme"},
        auth_time=NOW,
        access_token_seconds=None,
    )


async def test_a_person_may_narrow_and_never_widen(pool) -> None:
    """One audience and one scope when asked; a scope of theirs elsewhere, or of nobody, is refused."""
    async with pool.acquire() as conn:
        alice = await add_user(conn, "alice", may={NOTES: ("notes:read", "notes:write"), REPORTS: ()})
    grants = Grants(pool)
    narrow = await grants.for_user(alice, scope="notes:read", resources=[NOTES], now=NOW)
    assert isinstance(narrow, Grant)
    assert (narrow.audience, narrow.scopes) == ((NOTES,), ("notes:read",))
    bare = await grants.for_user(alice, scope=None, resources=[REPORTS], now=NOW)
    assert isinstance(bare, Grant)
    assert bare.scopes == ()
    refused = await grants.for_user(alice, scope="reports:read", resources=[REPORTS], now=NOW)
    assert isinstance(refused, GrantRefused)
    assert refused.error == "invalid_scope"


async def test_the_login_client_decides_defaults_and_lifetime(pool) -> None:
    """Default resources and the life of tokens are set at the client through which people log in."""
    async with pool.acquire() as conn:
        alice = await add_user(conn, "alice", may={NOTES: (), REPORTS: ()})
        await permissions.set_client(conn, "login", {REPORTS: ()}, [REPORTS])
        await clients.update(conn, "login", name="Login", grant_types=[], access_token_seconds=60, now=at(NOW))
    grant = await Grants(pool).for_user(alice, scope=None, resources=[], now=NOW)
    assert isinstance(grant, Grant)
    assert grant.audience == (REPORTS,)
    assert grant.access_token_seconds == 60


@pytest.mark.parametrize("off", ["user-disabled", "user-deleted", "login-disabled"])
async def test_somebody_switched_off_since_they_logged_in_gets_nothing(pool, off) -> None:
    """Permissions are read afresh for each token."""
    async with pool.acquire() as conn:
        alice = await add_user(conn, "alice", may={NOTES: ()})
        match off:
            case "user-disabled":
                await users.set_disabled(conn, alice.id, at(NOW), now=at(NOW))
            case "user-deleted":
                await users.delete(conn, alice.id)
            case _:
                await clients.set_disabled(conn, "login", at(NOW), now=at(NOW))
    refused = await Grants(pool).for_user(alice, scope=None, resources=[], now=NOW)
    assert isinstance(refused, GrantRefused)
    assert (refused.error, refused.description) == (
        "unauthorized_client",
        "this account or the login client is disabled",
    )


async def test_a_grant_to_a_client_is_in_its_own_name(pool) -> None:
    """Subject and client are the same id; no roles, no attributes, no login; its own lifetime and defaults."""
    client = await client_of(
        pool, "nightly", may={NOTES: ("notes:read",), REPORTS: ("reports:read",)}, defaults=(NOTES,), seconds=30
    )
    grants = Grants(pool)
    assert await grants.for_client(client, scope=None, resources=[]) == Grant(
        "nightly", "nightly", (NOTES,), ("notes:read",), (), {}, None, 30
    )
    both = await grants.for_client(client, scope="reports:read", resources=[NOTES, REPORTS])
    assert isinstance(both, Grant)
    assert (both.audience, both.scopes) == ((NOTES, REPORTS), ("reports:read",))


async def test_a_client_that_may_not_act_for_itself_gets_nothing(pool) -> None:
    """Without client_credentials, disabled or gone since: unauthorized_client."""
    client = await client_of(pool, "nightly", may={NOTES: ("notes:read",)})
    grants = Grants(pool)
    async with pool.acquire() as conn:
        await clients.update(conn, "nightly", name="x", grant_types=[], access_token_seconds=None, now=at(NOW))
    unable = await grants.for_client(client, scope=None, resources=[])
    async with pool.acquire() as conn:
        await clients.delete(conn, "nightly")
    gone = await grants.for_client(client, scope=None, resources=[])
    wrong = await grants.for_client(client, scope="\0", resources=["\0"])
    for refused in (unable, gone, wrong):
        assert isinstance(refused, GrantRefused)
        assert refused.error == "unauthorized_client"


async def test_a_refusal_of_the_rules_reaches_the_client(pool) -> None:
    """What the rules refuse is refused, with their error."""
    client = await client_of(pool, "nightly", may={NOTES: ("notes:read",)})
    refused = await Grants(pool).for_client(client, scope="notes:write", resources=[])
    assert isinstance(refused, GrantRefused)
    assert refused.error == "invalid_scope"


async def test_ids_are_not_names(pool) -> None:
    """The subject of a person is a UUID, which no client id can look like."""
    async with pool.acquire() as conn:
        alice = await add_user(conn, "alice", may={NOTES: ()})
    grant = await Grants(pool).for_user(alice, scope=None, resources=[], now=NOW)
    assert isinstance(grant, Grant)
    assert uuid.UUID(grant.subject) == alice.id
