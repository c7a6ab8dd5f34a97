"""Sessions from what the database holds at this moment: logins, refreshes, a client's own."""

import asyncio
import uuid
from dataclasses import replace

import pytest

from auth_server.grants.grant import Grant, Opened, Seen
from auth_server.grants.refresh_rules import ClientTerms, RefreshRefused
from auth_server.grants.refresh_tokens import derive
from auth_server.grants.rules import GrantRefused
from auth_server.grants.sessions import Sessions
from auth_server.grants.standing import STANDING_SECONDS
from auth_server.storage import clients, grant_uses, permissions, users
from farseal.clock import at
from farseal.problems import ProblemError
from tests.support.accounts import NOTES, NOW, REPORTS, accounts_pool, add_client, add_resource, add_user
from tests.support.sessions import DEFAULTS, ISSUER, PEPPER, CountingEntries, list_uri, sessions_over

SEEN = Seen("192.0.2.7", "Browser/1.0")
OTHER_PEPPER = b"o" * 32


@pytest.fixture
async def pool(new_database):
    async with accounts_pool(await new_database()) as pool:
        async with pool.acquire() as conn:
            await add_resource(conn, NOTES, "notes:read", "notes:write", claims={"org_id": "org_id", "team": "team"})
            await add_resource(conn, REPORTS, "reports:read", claims={"org_id": "org_id"})
        yield pool


@pytest.fixture
async def sessions(pool):
    return await sessions_over(pool)


async def somebody(pool, name="alice", **more) -> users.User:
    more.setdefault("may", {NOTES: ("notes:read", "notes:write"), REPORTS: ("reports:read",)})
    async with pool.acquire() as conn:
        return await add_user(conn, name, **more)


async def client_of(pool, client_id="nightly", **more) -> clients.Client:
    async with pool.acquire() as conn:
        await add_client(conn, client_id, **more)
        return await found(conn, client_id)


async def found(conn, client_id="login") -> clients.Client:
    client = await clients.find(conn, client_id)
    assert client is not None
    return client


async def log_in(sessions, user, *, scope=None, resources=(), now=NOW) -> Opened:
    opened = await sessions.log_in(user, scope=scope, resources=resources, seen=SEEN, now=now)
    assert isinstance(opened, Opened), opened
    return opened


async def refresh(sessions, token, *, scope=None, resources=(), now=NOW, client_id="login", seen=SEEN):
    async with sessions._pool.acquire() as conn:
        client = await found(conn, client_id)
    return await sessions.refresh(token, client=client, scope=scope, resources=resources, seen=seen, now=now)


async def renewed(sessions, token, **more) -> Opened:
    opened = await refresh(sessions, token, **more)
    assert isinstance(opened, Opened), opened
    return opened


async def stored(sessions, opened):
    session = await sessions.find(uuid.UUID(opened.grant.session_id))
    assert session is not None
    return session


async def set_terms(pool, client_id="login", **terms) -> None:
    async with pool.acquire() as conn:
        assert await clients.set_terms(conn, client_id, ClientTerms(**terms), now=at(NOW))


# --- a login -----------------------------------------------------------------------------------------------------


async def test_a_login_says_who_what_where_and_since_when(pool, sessions) -> None:
    """Subject is the id, roles and mapped attributes are there, attributes that are missing or null are not."""
    alice = await somebody(
        pool, attributes={"org_id": "acme", "team": None, "shoe_size": 38}, roles=("org_admin", "analyst"),
        may={NOTES: ("notes:read",), REPORTS: ("reports:read",)},
    )  # fmt: skip
    opened = await log_in(sessions, alice)
    session = await stored(sessions, opened)
    assert opened.grant == Grant(
        subject=str(alice.id),
        client_id="login",
        audience=(NOTES, REPORTS),
        scopes=("notes:read", "reports:read"),
        roles=("analyst", "org_admin"),
        claims={"org_id": "acme"},
        auth_time=NOW,
        access_token_seconds=None,
        session_id=str(session.id),
        status=replace(opened.grant.status, list_id=session.status_list, index=session.status_index),
        deadline=NOW + 3600,
    )
    assert opened.grant.status.uri == list_uri(session.status_list)
    assert (session.user_id, session.client_id) == (alice.id, "login")
    assert (session.audience, session.scopes) == (opened.grant.audience, opened.grant.scopes)
    assert session.created_at == session.last_used_at == at(NOW)
    assert session.expires_at == at(NOW + 3600)
    assert (session.address, session.agent) == ("192.0.2.7", "Browser/1.0")
    assert (session.generation, session.recent_uses, session.standing) == (0, (), False)
    assert (session.ended_at, session.ended_by) == (None, None)


async def test_neither_the_token_nor_what_makes_it_is_shown_or_stored(pool, sessions) -> None:
    """No repr, and no column, has the token; what is stored does not make it."""
    opened = await log_in(sessions, await somebody(pool))
    assert opened.refresh_token is not None
    session = await stored(sessions, opened)
    assert opened.refresh_token not in repr(opened)
    for secret in (session.refresh_hash, session.refresh_nonce):
        assert repr(secret) not in repr(session)
    row = await pool.fetchval("SELECT g::text FROM grants g")
    assert opened.refresh_token not in row
    assert opened.refresh_token.encode().hex() not in row


async def test_a_person_may_narrow_and_never_widen(pool, sessions) -> None:
    """One audience and one scope when asked; a scope of theirs elsewhere, or of nobody, is refused."""
    alice = await somebody(pool, may={NOTES: ("notes:read", "notes:write"), REPORTS: ()})
    narrow = await log_in(sessions, alice, scope="notes:read", resources=[NOTES])
    assert (narrow.grant.audience, narrow.grant.scopes) == ((NOTES,), ("notes:read",))
    bare = await log_in(sessions, alice, resources=[REPORTS])
    assert bare.grant.scopes == ()
    refused = await sessions.log_in(alice, scope="reports:read", resources=[REPORTS], seen=SEEN, now=NOW)
    assert isinstance(refused, GrantRefused)
    assert refused.error == "invalid_scope"
    assert await pool.fetchval("SELECT count(*) FROM grants") == 2


async def test_the_login_client_decides_defaults_and_lifetimes(pool, sessions) -> None:
    """Default resources, the life of tokens and of sessions are set at the client through which people log in."""
    alice = await somebody(pool, may={NOTES: (), REPORTS: ()})
    async with pool.acquire() as conn:
        await permissions.set_client(conn, "login", {REPORTS: ()}, [REPORTS])
        await clients.update(conn, "login", name="Login", grant_types=[], access_token_seconds=60, now=at(NOW))
    await set_terms(pool, absolute_seconds=120)
    grant = (await log_in(sessions, alice)).grant
    assert (grant.audience, grant.access_token_seconds, grant.deadline) == ((REPORTS,), 60, NOW + 120)


@pytest.mark.parametrize(("own", "lasts"), [(None, 300), (60, 60)])
async def test_without_refresh_tokens_a_session_lasts_as_long_as_its_token(pool, sessions, own, lasts) -> None:
    """The client's own life of tokens, or the server's."""
    alice = await somebody(pool)
    async with pool.acquire() as conn:
        await clients.update(conn, "login", name="Login", grant_types=[], access_token_seconds=own, now=at(NOW))
    await set_terms(pool, policy="none")
    opened = await log_in(sessions, alice)
    assert opened.refresh_token is None
    assert opened.grant.deadline == NOW + lasts
    session = await stored(sessions, opened)
    assert session.expires_at == at(NOW + lasts)
    assert sessions.is_living(session, now=NOW + lasts - 1)
    assert not sessions.is_living(session, now=NOW + lasts)


async def test_a_session_for_one_token_has_no_refresh_token(pool, sessions) -> None:
    """Whatever the policy; its life is that of the token."""
    alice = await somebody(pool)
    once = await sessions.log_in(alice, scope=None, resources=[], seen=SEEN, now=NOW, once=True, lifetime=7)
    assert once.refresh_token is None
    assert (once.grant.deadline, once.grant.access_token_seconds) == (NOW + 7, 7)


@pytest.mark.parametrize("off", ["user-disabled", "user-deleted", "login-disabled"])
async def test_somebody_switched_off_since_they_logged_in_gets_nothing(pool, sessions, off) -> None:
    """Permissions are read afresh for each token."""
    alice = await somebody(pool)
    async with pool.acquire() as conn:
        match off:
            case "user-disabled":
                await users.set_disabled(conn, alice.id, at(NOW), now=at(NOW))
            case "user-deleted":
                await users.delete(conn, alice.id)
            case _:
                await clients.set_disabled(conn, "login", at(NOW), now=at(NOW))
    refused = await sessions.log_in(alice, scope=None, resources=[], seen=SEEN, now=NOW)
    assert refused == GrantRefused("unauthorized_client", "this account or the login client is disabled")
    assert await pool.fetchval("SELECT count(*) FROM grants") == 0


async def test_a_password_that_was_changed_meanwhile_opens_nothing(pool, sessions) -> None:
    """Even when both changes fall into one second, and when the clock went back; the same one hashed anew is fine."""
    before = await somebody(pool, password_hash="$argon2id$one")
    async with pool.acquire() as conn:
        for moment in (NOW, NOW, NOW - 100):
            await users.set_password(conn, before.id, f"$argon2id$two{moment}", now=at(moment))
            after = await users.find_by_id(conn, before.id)
            refused = await sessions.log_in(before, scope=None, resources=[], seen=SEEN, now=NOW)
            assert refused == GrantRefused("unauthorized_client", "this account was changed at this moment")
            before = after
        assert await users.replace_hash(conn, before.id, old=f"$argon2id$two{NOW - 100}", new="$argon2id$strong")
    await log_in(sessions, before)


async def test_ids_are_not_names(pool, sessions) -> None:
    """The subject of a person is a UUID, which no client id can look like; so is the id of a session."""
    alice = await somebody(pool)
    grant = (await log_in(sessions, alice)).grant
    assert uuid.UUID(grant.subject) == alice.id
    assert uuid.UUID(grant.session_id).version == 4


async def test_what_a_peer_says_of_itself_fits_and_does_no_harm(pool, sessions) -> None:
    """No control character, no more than the column holds."""
    alice = await somebody(pool)
    seen = Seen("fe80::1%" + "x" * 100, "Br\x1b[2Jowser\x00 \u202ezoë " + "x" * 1000)
    opened = await sessions.log_in(alice, scope=None, resources=[], seen=seen, now=NOW)
    session = await stored(sessions, opened)
    assert len(session.address) == 64
    assert len(session.agent) == 256
    assert session.agent.startswith("Br?[2Jowser? ?zo? x")


# --- the account API ---------------------------------------------------------------------------------------------


async def test_the_account_api_is_asked_for_by_name(pool, sessions) -> None:
    """At a login or a refresh of any person; nobody has it who did not name it, by its scope neither."""
    alice = await somebody(pool)
    usual = await log_in(sessions, alice)
    assert ISSUER not in usual.grant.audience
    by_scope = await sessions.log_in(alice, scope="sessions", resources=[], seen=SEEN, now=NOW)
    assert isinstance(by_scope, GrantRefused)
    named = await renewed(sessions, usual.refresh_token, resources=[ISSUER])
    assert (named.grant.audience, named.grant.scopes) == ((ISSUER,), ("sessions",))
    again = await renewed(sessions, named.refresh_token)
    assert (again.grant.audience, again.grant.scopes) == (usual.grant.audience, usual.grant.scopes)
    scoped = await renewed(sessions, again.refresh_token, resources=[ISSUER], scope="sessions")
    assert scoped.grant.scopes == ("sessions",)
    only = await log_in(sessions, alice, resources=[ISSUER])
    assert only.grant.audience == (ISSUER,)
    assert (await renewed(sessions, only.refresh_token)).grant.audience == (ISSUER,)


async def test_a_client_has_no_account(pool, sessions) -> None:
    """It has no sessions to manage."""
    client = await client_of(pool, may={NOTES: ("notes:read",)})
    refused = await sessions.for_client(client, scope=None, resources=[ISSUER], seen=SEEN, now=NOW)
    assert isinstance(refused, GrantRefused)
    assert refused.error == "invalid_target"


# --- a refresh ---------------------------------------------------------------------------------------------------


async def test_a_refresh_gives_a_new_token_of_the_same_session(pool, sessions) -> None:
    """Same id, same place in the list, same login time and deadline; the use is noted."""
    opened = await log_in(sessions, await somebody(pool))
    later = await renewed(sessions, opened.refresh_token, now=NOW + 100, seen=Seen("192.0.2.8", "Browser/2.0"))
    assert later.grant == opened.grant
    assert later.refresh_token not in (None, opened.refresh_token)
    session = await stored(sessions, later)
    assert (session.generation, session.recent_uses) == (1, (at(NOW + 100),))
    assert (session.last_used_at, session.created_at) == (at(NOW + 100), at(NOW))
    assert (session.address, session.agent) == ("192.0.2.8", "Browser/2.0")


async def test_with_extend_the_token_stays(pool, sessions) -> None:
    """Its idle deadline moves, its absolute one does not."""
    opened = await log_in(sessions, await somebody(pool))
    await set_terms(pool, policy="extend")
    for now in range(NOW, NOW + 3600, 599):
        again = await renewed(sessions, opened.refresh_token, now=now)
        assert (again.refresh_token, again.grant.deadline) == (opened.refresh_token, NOW + 3600)
    assert await refresh(sessions, opened.refresh_token, now=NOW + 3600) == RefreshRefused("expired")


async def test_inside_the_window_a_used_token_leads_to_the_good_one(pool, sessions) -> None:
    """Both callers end with the same token, and an access token each; nothing is written for the second."""
    opened = await log_in(sessions, await somebody(pool))
    first = await renewed(sessions, opened.refresh_token, now=NOW)
    before = await stored(sessions, first)
    second = await renewed(sessions, opened.refresh_token, now=NOW + 29)
    assert second.refresh_token == first.refresh_token
    assert await stored(sessions, second) == before
    third = await renewed(sessions, second.refresh_token, now=NOW + 29)
    assert third.refresh_token != second.refresh_token


async def test_outside_the_window_the_session_ends(pool, sessions) -> None:
    """At the boundary, in the database at once, and for whoever has the good token too."""
    opened = await log_in(sessions, await somebody(pool))
    other = await log_in(sessions, await somebody(pool, "bob"))
    first = await renewed(sessions, opened.refresh_token, now=NOW)
    assert await refresh(sessions, opened.refresh_token, now=NOW + 30) == RefreshRefused("replay")
    session = await stored(sessions, opened)
    assert (session.ended_at, session.ended_by) == (at(NOW + 30), "replay")
    assert await refresh(sessions, first.refresh_token, now=NOW + 30) == RefreshRefused("ended")
    bits = await pool.fetch("SELECT list_id, index, version FROM status_revocations")
    assert [tuple(row) for row in bits] == [(session.status_list, session.status_index, 2)]
    await renewed(sessions, other.refresh_token, now=NOW + 30)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param("idle", "idle", id="idle-for-too-long"),
        pytest.param("absolute", "expired", id="past-its-deadline"),
        pytest.param("shorter", "expired", id="past-the-deadline-as-set-now"),
        pytest.param("policy", "policy", id="the-client-has-none-any-more"),
        pytest.param("user-disabled", "not_active", id="the-person-is-disabled"),
        pytest.param("user-deleted", "not_active", id="the-person-is-gone"),
        pytest.param("client-disabled", "not_active", id="the-client-is-disabled"),
    ],
)
async def test_a_token_is_refused_for_what_happened_since(pool, sessions, change, reason) -> None:
    """The row alone is changed, as if whoever ends sessions had not come so far; nothing is used up."""
    alice = await somebody(pool)
    opened, now = await log_in(sessions, alice), NOW + 10
    async with pool.acquire() as conn:
        match change:
            case "idle":
                now = NOW + 600
            case "absolute":
                await set_terms(pool, idle_seconds=86400)
                now = NOW + 3600
            case "shorter":
                await set_terms(pool, absolute_seconds=60)
                now = NOW + 60
            case "policy":
                await set_terms(pool, policy="none")
            case "user-disabled":
                await users.set_disabled(conn, alice.id, at(NOW), now=at(NOW))
            case "user-deleted":
                await users.delete(conn, alice.id)
            case _:
                await clients.set_disabled(conn, "login", at(NOW), now=at(NOW))
    assert await refresh(sessions, opened.refresh_token, now=now) == RefreshRefused(reason)
    assert (await stored(sessions, opened)).generation == 0


async def test_the_servers_own_tokens_alone_are_known(pool, sessions) -> None:
    """Made up, of a session that is gone, of another client: refused, and no session ends by it."""
    opened = await log_in(sessions, await somebody(pool))
    await client_of(pool, "other")
    other = await sessions_over(pool, peppers=(OTHER_PEPPER,))
    foreign = await log_in(other, await somebody(pool, "bob"))
    await renewed(sessions, opened.refresh_token)
    session = await stored(sessions, opened)
    for generation in (0, 1, 2):
        made_up = derive(OTHER_PEPPER, session.refresh_nonce, session.id, generation).text
        assert await refresh(sessions, made_up, now=NOW + 1000) == RefreshRefused("unknown")
    assert await refresh(sessions, derive(PEPPER, bytes(32), uuid.uuid4(), 0).text) == RefreshRefused("unknown")
    assert await refresh(sessions, "fsr_" + "A" * 76) == RefreshRefused("malformed")
    assert await refresh(sessions, opened.refresh_token, client_id="other") == RefreshRefused("foreign_client")
    assert (await stored(sessions, opened)).ended_at is None
    assert (await stored(other, foreign)).ended_at is None


async def test_a_refresh_may_narrow_and_the_next_one_has_all_again(pool, sessions) -> None:
    """RFC 6749 section 6: what is left out is not lost; what was not granted is refused and uses nothing up."""
    opened = await log_in(sessions, await somebody(pool), scope="notes:read reports:read")
    narrow = await renewed(sessions, opened.refresh_token, scope="notes:read")
    assert (narrow.grant.audience, narrow.grant.scopes) == ((NOTES,), ("notes:read",))
    one = await renewed(sessions, narrow.refresh_token, resources=[REPORTS])
    assert (one.grant.audience, one.grant.scopes) == ((REPORTS,), ("reports:read",))
    for wrong in (
        {"scope": "notes:write"},  # the person's, not the session's
        {"scope": "notes:read", "resources": [REPORTS]},
        {"scope": "notes:read\tnotes:write"},
        {"resources": ["http://127.0.0.1:9999"]},
    ):
        refused = await refresh(sessions, one.refresh_token, **wrong)
        assert isinstance(refused, GrantRefused)
        assert refused.error in ("invalid_scope", "invalid_target")
    everything = await renewed(sessions, one.refresh_token)
    assert everything.grant == opened.grant


async def test_a_permission_that_was_lost_is_left_out_and_one_that_was_won_does_not_come(pool, sessions) -> None:
    """Silently without `scope`; asked for by name it is refused. Roles, attributes and lifetimes are those of now."""
    alice = await somebody(pool, may={NOTES: ("notes:read",), REPORTS: ("reports:read",)})
    opened = await log_in(sessions, alice)
    async with pool.acquire() as conn:
        await permissions.set_user(conn, alice.id, {NOTES: ("notes:read", "notes:write")})
        await users.add_role(conn, alice.id, "analyst")
        await users.set_attributes(conn, alice.id, {"org_id": "new"}, now=at(NOW))
    refused = await refresh(sessions, opened.refresh_token, scope="reports:read")
    assert isinstance(refused, GrantRefused)
    grant = (await renewed(sessions, opened.refresh_token)).grant
    assert (grant.audience, grant.scopes) == ((NOTES,), ("notes:read",))
    assert (grant.roles, grant.claims) == (("analyst",), {"org_id": "new"})
    async with pool.acquire() as conn:
        await permissions.set_user(conn, alice.id, {})
    nothing = await refresh(sessions, opened.refresh_token)
    assert isinstance(nothing, GrantRefused)
    assert nothing.error == "invalid_target"


async def test_defaults_of_the_client_do_not_narrow_a_refresh(pool, sessions) -> None:
    """All that was granted is meant when nothing is named."""
    alice = await somebody(pool)
    async with pool.acquire() as conn:
        await permissions.set_client(conn, "login", {REPORTS: ()}, [REPORTS])
    opened = await log_in(sessions, alice, resources=[NOTES, REPORTS])
    assert (await renewed(sessions, opened.refresh_token)).grant.audience == (NOTES, REPORTS)


async def test_a_retry_after_a_lost_answer_works(pool, sessions) -> None:
    """Whoever dies between the commit and the answer: the client comes again with what it has."""
    opened = await log_in(sessions, await somebody(pool))
    committed = asyncio.Event()
    rotate = grant_uses.rotate

    async def rotate_and_die(*args, **more):
        assert await rotate(*args, **more)
        committed.set()
        raise asyncio.CancelledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grant_uses, "rotate", rotate_and_die)
        with pytest.raises(asyncio.CancelledError):
            await refresh(sessions, opened.refresh_token)
    assert committed.is_set()
    assert (await stored(sessions, opened)).generation == 1
    again = await renewed(sessions, opened.refresh_token, now=NOW + 5)
    await renewed(sessions, again.refresh_token, now=NOW + 10)


# --- keys --------------------------------------------------------------------------------------------------------


async def test_replicas_with_different_keys_work_side_by_side(pool) -> None:
    """While a key-encryption key is being replaced: one has both, the other the old one alone."""
    new = await sessions_over(pool, peppers=(PEPPER, OTHER_PEPPER))
    old = await sessions_over(pool, peppers=(OTHER_PEPPER,))
    opened = await log_in(old, await somebody(pool))
    first = await renewed(new, opened.refresh_token)
    again = await renewed(new, opened.refresh_token)  # made under the old one, its successor under the new one
    assert again.refresh_token == first.refresh_token
    with pytest.raises(ProblemError) as elsewhere:
        await refresh(old, opened.refresh_token)
    assert (elsewhere.value.status, elsewhere.value.code) == (503, "session_elsewhere")
    second = await renewed(old, first.refresh_token)  # the good one is known by its hash
    assert (await renewed(new, first.refresh_token)).refresh_token == second.refresh_token
    assert await refresh(new, opened.refresh_token, now=NOW + 30) == RefreshRefused("replay")


async def test_sessions_outlive_a_lost_key(pool) -> None:
    """The good token is taken and its successor made under the new key; older ones are unknown and end nothing."""
    before = await sessions_over(pool, peppers=(OTHER_PEPPER,))
    opened = await log_in(before, await somebody(pool))
    first = await renewed(before, opened.refresh_token)
    after = await sessions_over(pool, peppers=(PEPPER,))
    assert await refresh(after, opened.refresh_token, now=NOW + 1) == RefreshRefused("unknown")
    second = await renewed(after, first.refresh_token, now=NOW + 2)
    await renewed(after, second.refresh_token, now=NOW + 3)


def test_without_a_key_there_are_no_sessions() -> None:
    """At start, not at the first login."""
    with pytest.raises(ValueError, match="pepper"):
        Sessions(None, None, (), issuer=ISSUER, defaults=DEFAULTS)  # type: ignore[arg-type]


# --- recognising -------------------------------------------------------------------------------------------------


async def test_a_token_is_recognised_while_its_session_lives(pool, sessions) -> None:
    """The good one and every genuine one before it, however old; nothing is used up."""
    opened = await log_in(sessions, await somebody(pool))
    first = await renewed(sessions, opened.refresh_token)
    for token in (first.refresh_token, opened.refresh_token):
        session = await sessions.recognise(token, now=NOW + 500)
        assert session is not None
        assert session.id == uuid.UUID(opened.grant.session_id)
        assert await sessions.recognise(token, now=NOW + 600) is None  # idle
    assert await sessions.recognise("fsr_" + "A" * 76, now=NOW) is None
    assert await sessions.recognise("", now=NOW) is None
    await sessions.end(by="logout", now=NOW, ids=[uuid.UUID(opened.grant.session_id)])
    assert await sessions.recognise(first.refresh_token, now=NOW) is None


async def test_a_person_sees_their_living_sessions_the_newest_first(pool, sessions) -> None:
    """Not those that ended or expired, nor anybody else's."""
    alice, bob = await somebody(pool), await somebody(pool, "bob")
    opened = [await log_in(sessions, alice, now=NOW + number) for number in range(4)]
    await log_in(sessions, bob)
    await sessions.end(by="logout", now=NOW + 5, ids=[uuid.UUID(opened[1].grant.session_id)])
    now = NOW + 600
    living = [str(session.id) for session in await sessions.of_user(alice.id, now=now, limit=9)]
    assert living == [opened[3].grant.session_id, opened[2].grant.session_id]  # the first has been idle for 600 s
    (newest,) = await sessions.of_user(alice.id, now=now, limit=1)
    assert str(newest.id) == opened[3].grant.session_id
    assert await sessions.of_user(uuid.uuid4(), now=now, limit=9) == ()
    assert sessions.deadline(await stored(sessions, opened[0])) == NOW + 3600


# --- a client's own ----------------------------------------------------------------------------------------------


async def own(sessions, client, *, now=NOW, scope=None, resources=()) -> Grant:
    opened = await sessions.for_client(client, scope=scope, resources=resources, seen=SEEN, now=now)
    assert isinstance(opened, Opened), opened
    assert opened.refresh_token is None
    return opened.grant


async def test_a_grant_to_a_client_is_in_its_own_name(pool, sessions) -> None:
    """Subject and client are the same id; no roles, no attributes, no login; its own lifetime and defaults."""
    client = await client_of(
        pool, may={NOTES: ("notes:read",), REPORTS: ("reports:read",)}, defaults=(NOTES,), seconds=30
    )
    grant = await own(sessions, client)
    assert grant == Grant(
        "nightly", "nightly", (NOTES,), ("notes:read",), (), {}, None, 30,
        grant.session_id, grant.status, NOW + STANDING_SECONDS,
    )  # fmt: skip
    both = await own(sessions, client, scope="reports:read", resources=[NOTES, REPORTS])
    assert (both.audience, both.scopes) == ((NOTES, REPORTS), ("reports:read",))
    assert (both.session_id, both.status) == (grant.session_id, grant.status)


async def test_a_client_that_may_not_act_for_itself_gets_nothing(pool, sessions) -> None:
    """Without client_credentials, disabled or gone since: unauthorized_client."""
    client = await client_of(pool, may={NOTES: ("notes:read",)})
    async with pool.acquire() as conn:
        await clients.update(conn, "nightly", name="x", grant_types=[], access_token_seconds=None, now=at(NOW))
    unable = await sessions.for_client(client, scope=None, resources=[], seen=SEEN, now=NOW)
    async with pool.acquire() as conn:
        await clients.delete(conn, "nightly")
    gone = await sessions.for_client(client, scope=None, resources=[], seen=SEEN, now=NOW)
    wrong = await sessions.for_client(client, scope="\0", resources=["\0"], seen=SEEN, now=NOW)
    for refused in (unable, gone, wrong):
        assert isinstance(refused, GrantRefused)
        assert refused.error == "unauthorized_client"
    assert await pool.fetchval("SELECT count(*) FROM grants") == 0


async def test_a_refusal_of_the_rules_reaches_the_client(pool, sessions) -> None:
    """What the rules refuse is refused, with their error, and begins nothing."""
    client = await client_of(pool, may={NOTES: ("notes:read",)})
    refused = await sessions.for_client(client, scope="notes:write", resources=[], seen=SEEN, now=NOW)
    assert isinstance(refused, GrantRefused)
    assert refused.error == "invalid_scope"
    assert await pool.fetchval("SELECT count(*) FROM grants") == 0


async def test_a_clients_own_is_renewed_before_a_token_could_outlive_it(pool, sessions) -> None:
    """At the last moment at which the longest token still fits; the one before lives on for the tokens it has."""
    client = await client_of(pool, may={NOTES: ("notes:read",)})
    first = await own(sessions, client)
    last = NOW + STANDING_SECONDS - DEFAULTS.max_token
    assert (await own(sessions, client, now=last)).session_id == first.session_id
    second = await own(sessions, client, now=last + 1)
    assert second.session_id != first.session_id
    assert second.deadline == last + 1 + STANDING_SECONDS
    before = await sessions.find(uuid.UUID(first.session_id))
    assert (before.standing, before.ended_at) == (False, None)


async def test_a_clients_own_that_was_ended_is_followed_by_another(pool, sessions) -> None:
    """An operator ends it: every token of it dies, and the client goes on with new ones."""
    client = await client_of(pool, may={NOTES: ("notes:read",)})
    first = await own(sessions, client)
    ended = await sessions.end(by="operator", now=NOW, clients=["nightly"])
    assert [str(session.id) for session in ended] == [first.session_id]
    second = await own(sessions, client)
    assert second.session_id != first.session_id
    assert second.status != first.status


async def test_the_use_of_a_clients_own_is_noted_once_a_minute(pool, sessions) -> None:
    """A thousand tokens a second do not wait for one row."""
    client = await client_of(pool, may={NOTES: ("notes:read",)})
    grant = await own(sessions, client)
    for now, noted in ((NOW + 59, NOW), (NOW + 60, NOW + 60), (NOW + 61, NOW + 60)):
        await own(sessions, client, now=now)
        session = await sessions.find(uuid.UUID(grant.session_id))
        assert session.last_used_at == at(noted)


async def test_fifty_at_once_make_one(pool) -> None:
    """One row stands, and every caller has it."""
    client = await client_of(pool, may={NOTES: ("notes:read",)})
    sessions = await sessions_over(pool)
    for now in (NOW, NOW + STANDING_SECONDS):
        grants = await asyncio.gather(*(own(sessions, client, now=now) for _ in range(50)))
        assert len({grant.session_id for grant in grants}) == 1
        assert await pool.fetchval("SELECT count(*) FROM grants WHERE standing") == 1
    assert await pool.fetchval("SELECT count(*) FROM grants") == 2


async def test_a_client_disabled_while_its_own_begins_gets_nothing(pool) -> None:
    """Its row is locked until the new grant is in: whoever disables it comes before, or finds the grant to end."""
    client = await client_of(pool, may={NOTES: ("notes:read",)})
    sessions = await sessions_over(pool)
    taken = CountingEntries.take

    async def disable_first(entries):
        async with pool.acquire() as conn:
            await clients.set_disabled(conn, "nightly", at(NOW), now=at(NOW))
        return await taken(entries)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CountingEntries, "take", disable_first)
        refused = await sessions.for_client(client, scope=None, resources=[], seen=SEEN, now=NOW)
    assert isinstance(refused, GrantRefused)
    assert await pool.fetchval("SELECT count(*) FROM grants") == 0
