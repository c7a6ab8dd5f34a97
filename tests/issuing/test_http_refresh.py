"""``grant_type=refresh_token`` as it runs (RFC 6749 section 6): who goes on, who is refused, and what a race leaves."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from auth_server.accounts import changes
from auth_server.grants import refresh_tokens
from auth_server.storage import permissions
from farseal import clock as process_clock
from farseal.clock import at
from tests.support.auth import (
    NOTES,
    READ,
    REPORT,
    REPORTS,
    SECRET,
    WRITE,
    AuthServer,
    Running,
    basic,
    claims_of,
    environment,
)
from tests.support.postgres import NewDatabase, run_apart
from tests.support.session_server import (
    BASIC_CHALLENGE,
    BATCH,
    ISSUER,
    PUBLIC,
    STATUS,
    TOKEN,
    Answer,
    Clock,
    World,
    ask,
    form,
    is_oauth_error,
    log_in,
    refresh,
    world,
)

WEB = basic("web", SECRET)
NOT_VALID = b'{"error":"invalid_grant","error_description":"the refresh token is not valid"}'


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def there(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> World:
    return run_apart(world(database_url, tmp_path_factory.mktemp("auth")))


@pytest.fixture(scope="module")
def server(there: World, clock: Clock) -> Iterator[Running]:
    with AuthServer(environment(there.dsn, there.directory), clock=clock) as running:
        yield running


@pytest.fixture
async def http(server: Running, clock: Clock):
    clock.ahead = 0
    async with aiohttp.ClientSession(server.url) as session:
        yield session
    clock.ahead = 0


@pytest.fixture
async def conn(there: World):
    conn = await asyncpg.connect(there.dsn)
    yield conn
    await conn.close()


def sid(answer: dict[str, Any]) -> str:
    found: str = claims_of(answer["access_token"])["sid"]
    return found


def is_refused(answer: Answer) -> None:
    """The one answer to every refresh token that will not do: byte for byte."""
    is_oauth_error(answer, 400, "invalid_grant")
    assert answer.body == NOT_VALID


# --- what works --------------------------------------------------------------------------------------------------


async def test_a_refresh_gives_the_next_pair(http: aiohttp.ClientSession, there: World) -> None:
    """The same session and person, the moment of the login as ``auth_time``, and another refresh token."""
    begun = await log_in(http)
    assert begun.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    before = claims_of(begun["access_token"])
    answer = await refresh(http, begun["refresh_token"])
    assert (answer.status, answer.type, answer.headers["Pragma"]) == (200, "application/json", "no-cache")
    said = answer.json
    assert said.keys() == begun.keys()
    assert (said["token_type"], said["expires_in"], said["scope"]) == ("Bearer", 300, begun["scope"])
    assert said["refresh_token"] != begun["refresh_token"]
    assert refresh_tokens.parse(said["refresh_token"]) is not None
    after = claims_of(said["access_token"])
    assert after["jti"] != before["jti"]
    moving = {"jti", "iat", "exp"}
    assert {name: after[name] for name in after.keys() - moving} == {
        name: before[name] for name in before.keys() - moving
    }


async def test_a_session_goes_on_and_on(http: aiohttp.ClientSession) -> None:
    """Ten refreshes, each with what the one before gave; no token comes twice."""
    begun = await log_in(http)
    token, seen = begun["refresh_token"], {begun["refresh_token"]}
    for _ in range(10):
        said = (await refresh(http, token)).json
        assert sid(said) == sid(begun)
        token = said["refresh_token"]
        assert token not in seen
        seen.add(token)


async def test_extend_keeps_the_one_token(http: aiohttp.ClientSession, there: World) -> None:
    """The client's policy: one token until its deadline, however often it is used."""
    session, token = await there.open("kiosk")
    for _ in range(3):
        said = (await refresh(http, token, client={"client_id": "kiosk"})).json
        assert (said["refresh_token"], sid(said)) == (token, str(session))


async def test_a_client_with_a_secret_proves_it_in_either_way(http: aiohttp.ClientSession, there: World) -> None:
    """HTTP Basic or the body, as at every grant (RFC 6749 section 2.3.1)."""
    _, token = await there.open("web")
    fresh = (await refresh(http, token, headers=WEB)).json["refresh_token"]
    said = {"client_id": "web", "client_secret": SECRET}
    assert (await refresh(http, fresh, client=said)).status == 200


@pytest.mark.parametrize(
    ("asked", "audience", "scope"),
    [
        pytest.param({}, [NOTES, REPORTS], f"{READ} {WRITE} {REPORT}", id="everything"),
        pytest.param({"scope": READ}, NOTES, READ, id="one-scope"),
        pytest.param({"resource": REPORTS}, REPORTS, REPORT, id="one-resource"),
        pytest.param({"resource": NOTES, "scope": WRITE}, NOTES, WRITE, id="both"),
        pytest.param({"scope": "", "resource": ""}, [NOTES, REPORTS], f"{READ} {WRITE} {REPORT}", id="empty"),
        pytest.param({"resource": ISSUER}, ISSUER, "sessions", id="the-account"),
    ],
)  # fmt: skip
async def test_a_refresh_may_ask_for_less(
    http: aiohttp.ClientSession, asked: dict[str, str], audience: Any, scope: str
) -> None:
    """For this token alone: the next one may have everything again (RFC 6749 section 6, RFC 8707 section 2.2)."""
    begun = await log_in(http)
    said = (await refresh(http, begun["refresh_token"], **asked)).json
    claims = claims_of(said["access_token"])
    assert (claims["aud"], claims["scope"]) == (audience, scope)
    again = (await refresh(http, said["refresh_token"])).json
    assert claims_of(again["access_token"])["aud"] == [NOTES, REPORTS]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        pytest.param({"scope": WRITE}, "invalid_scope", id="a-scope-that-was-not-granted"),
        pytest.param({"scope": f"{READ} {REPORT}"}, "invalid_scope", id="one-more"),
        pytest.param({"scope": "notes:delete"}, "invalid_scope", id="unknown-scope"),
        pytest.param({"scope": f"{READ}  {READ}"}, "invalid_scope", id="two-spaces"),
        pytest.param({"scope": 'a"b\\c\n'}, "invalid_scope", id="characters"),
        pytest.param({"resource": REPORTS}, "invalid_target", id="a-resource-that-was-not-granted"),
        pytest.param({"resource": "http://127.0.0.1:1"}, "invalid_target", id="unknown-resource"),
        pytest.param({"resource": "notes"}, "invalid_target", id="no-uri"),
    ],
)
async def test_a_refresh_never_asks_for_more_and_the_attempt_uses_nothing_up(
    http: aiohttp.ClientSession, asked: dict[str, str], error: str
) -> None:
    """Although alice may have it: the session has not. Its refresh token is good afterwards as before."""
    begun = await log_in(http, scope=READ)
    for _ in range(2):
        is_oauth_error(await refresh(http, begun["refresh_token"], **asked), 400, error)
    said = (await refresh(http, begun["refresh_token"])).json
    assert claims_of(said["access_token"])["scope"] == READ
    # Had the attempts used it up, this would have been the grace of a second use.
    assert refresh_tokens.parse(said["refresh_token"]).generation == 1


async def test_what_a_person_lost_meanwhile_is_left_out(
    http: aiohttp.ClientSession, there: World, conn: asyncpg.Connection
) -> None:
    """Permissions are those of this moment: fewer without a word, and refused when asked for by name."""
    begun = await log_in(http)
    await permissions.permit_user(conn, there.people["alice"], NOTES, [READ])
    await conn.execute("DELETE FROM user_scopes WHERE user_id = $1 AND scope = $2", there.people["alice"], WRITE)
    try:
        said = (await refresh(http, begun["refresh_token"])).json
        assert said["scope"] == f"{READ} {REPORT}"
        is_oauth_error(await refresh(http, said["refresh_token"], scope=WRITE), 400, "invalid_scope")
    finally:
        await permissions.permit_user(conn, there.people["alice"], NOTES, [WRITE])
    assert (await refresh(http, said["refresh_token"])).json["scope"] == begun["scope"]


# --- who is refused ----------------------------------------------------------------------------------------------


def altered(token: str, place: int) -> str:
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def made_up(token: str, *, ahead: int = 0) -> str:
    said = refresh_tokens.parse(token)
    return refresh_tokens.derive(b"x" * 32, b"y" * 32, said.session_id, said.generation + ahead).text


async def test_whatever_is_wrong_with_a_refresh_token_is_one_answer(http: aiohttp.ClientSession, there: World) -> None:
    """Unknown, mistyped, made up, of another kind: 400 ``invalid_grant``, and the session lives."""
    begun = await log_in(http)
    good = begun["refresh_token"]
    nobodys = refresh_tokens.derive(b"x" * 32, b"y" * 32, UUID(int=7), 0).text
    for token in ("x", "fsr_", "fsr_" + "A" * 76, altered(good, 10), altered(good, 40), altered(good, -1), good[:-1],
                  good + "=", good + " ", good.upper(), nobodys, made_up(good), made_up(good, ahead=1), "é" * 80,
                  begun["access_token"], SECRET):  # fmt: skip
        is_refused(await refresh(http, token))
    assert await there.ended_by(sid(begun)) is None
    assert (await refresh(http, good)).status == 200


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        pytest.param({}, BATCH, id="with-a-secret"),
        pytest.param({}, WEB, id="another-with-a-secret"),
        pytest.param({"client_id": "kiosk"}, None, id="without-one"),
    ],
)
async def test_another_client_is_refused_and_the_session_lives(
    http: aiohttp.ClientSession, there: World, client: dict[str, str], headers: Any
) -> None:
    """A refresh token is bound to its client (RFC 6749 section 10.4). Neither a good nor a used one ends a session."""
    begun = await log_in(http)
    fresh = (await refresh(http, begun["refresh_token"])).json
    for token in (begun["refresh_token"], fresh["refresh_token"]):
        is_refused(await refresh(http, token, client=client, headers=headers))
    assert await there.ended_by(sid(begun)) is None
    assert (await refresh(http, fresh["refresh_token"])).status == 200


async def test_a_client_that_may_not_refresh_is_refused(http: aiohttp.ClientSession, there: World) -> None:
    """The policy of this moment, not that of the login."""
    _, token = await there.open("plain")
    is_refused(await refresh(http, token, client={"client_id": "plain"}))


@pytest.mark.parametrize(
    ("fields", "headers", "error", "challenge"),
    [
        pytest.param({"client_id": "login"}, None, "invalid_request", None, id="no-refresh-token"),
        pytest.param({"client_id": "login", "refresh_token": ""}, None, "invalid_request", None, id="empty"),
        pytest.param([("client_id", "login"), ("refresh_token", "a"), ("refresh_token", "a")], None,
                     "invalid_request", None, id="token-twice"),
        pytest.param([("client_id", "login"), ("refresh_token", "a"), ("scope", "a"), ("scope", "a")], None,
                     "invalid_request", None, id="scope-twice"),
        pytest.param([("client_id", "login"), ("client_id", "login"), ("refresh_token", "a")], None,
                     "invalid_request", None, id="id-twice"),
        pytest.param({"refresh_token": "a", "client_id": "web", "client_secret": SECRET}, WEB, "invalid_request",
                     None, id="two-ways"),
        pytest.param({"refresh_token": "a", "client_id": "login"}, WEB, "invalid_request", None, id="two-clients"),
        pytest.param({"refresh_token": "a"}, {"Authorization": "Basic ???"}, "invalid_request", None,
                     id="garbage"),
        pytest.param({"refresh_token": "a"}, None, "invalid_client", None, id="nobody"),
        pytest.param({"refresh_token": "a", "client_secret": SECRET}, None, "invalid_client", None,
                     id="secret-alone"),
        pytest.param({"refresh_token": "a", "client_id": "web"}, None, "invalid_client", None,
                     id="without-its-secret"),
        pytest.param({"refresh_token": "a", "client_id": "web", "client_secret": "x"}, None, "invalid_client",
                     None, id="wrong-secret"),
        pytest.param({"refresh_token": "a", "client_id": "login", "client_secret": SECRET}, None,
                     "invalid_client", None, id="secret-of-one-without"),
        pytest.param({"refresh_token": "a", "client_id": "stranger"}, None, "invalid_client", None, id="unknown"),
        pytest.param({"refresh_token": "a", "client_id": "shut"}, None, "invalid_client", None, id="disabled"),
        pytest.param({"refresh_token": "a"}, basic("web", "x"), "invalid_client", BASIC_CHALLENGE,
                     id="basic-wrong-secret"),
        pytest.param({"refresh_token": "a"}, basic("login", ""), "invalid_client", BASIC_CHALLENGE,
                     id="basic-without-secret"),
        pytest.param({"refresh_token": "a"}, {"Authorization": "Bearer x"}, "invalid_client", BASIC_CHALLENGE,
                     id="bearer"),
    ],
)  # fmt: skip
async def test_a_malformed_refresh_is_told_what_is_wrong(
    http: aiohttp.ClientSession, fields: Any, headers: Any, error: str, challenge: str | None
) -> None:
    """Sections 3.2 and 5.2; a challenge where the Authorization header was used."""
    pairs = fields if isinstance(fields, list) else list(fields.items())
    answer = await form(http, TOKEN, [("grant_type", "refresh_token"), *pairs], headers=headers)
    is_oauth_error(answer, STATUS[error], error, challenge=challenge)


async def test_a_client_without_a_secret_gets_no_token_of_its_own(http: aiohttp.ClientSession) -> None:
    """Its id alone is enough for a refresh token only (section 4.4)."""
    for client in ("login", "kiosk"):
        answer = await form(http, TOKEN, {"grant_type": "client_credentials", "client_id": client})
        is_oauth_error(answer, 401, "invalid_client")


async def test_a_client_is_given_no_refresh_token_for_its_own(http: aiohttp.ClientSession) -> None:
    """Section 4.4.3: it has its secret."""
    answer = await form(http, TOKEN, {"grant_type": "client_credentials"}, headers=BATCH)
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}


async def test_the_query_is_never_read(http: aiohttp.ClientSession) -> None:
    """A refresh token there would be in every log between here and there."""
    token = (await log_in(http))["refresh_token"]
    query = f"{TOKEN}?grant_type=refresh_token&client_id=login&refresh_token={token}"
    is_oauth_error(await form(http, query, {"x": "y"}), 400, "invalid_request")
    is_oauth_error(await form(http, query, {"grant_type": "refresh_token"}), 401, "invalid_client")
    is_oauth_error(await form(http, query, PUBLIC | {"grant_type": "refresh_token"}), 400, "invalid_request")
    assert (await refresh(http, token)).status == 200


@pytest.mark.parametrize("change", ["password", "disabled", "deleted"])
async def test_what_happens_to_a_person_ends_their_sessions(
    http: aiohttp.ClientSession, there: World, conn: asyncpg.Connection, change: str
) -> None:
    """A new password, a disabled or a deleted account: the next refresh is refused like any other."""
    begun = await log_in(http, "zoë")
    moment, person = at(process_clock.now()), there.people["zoë"]
    async with conn.transaction():
        if change == "password":
            hashed = await conn.fetchval("SELECT password_hash FROM users WHERE id = $1", person)
            await changes.set_password(conn, person, hashed, now=moment)
        elif change == "disabled":
            await changes.disable_user(conn, person, now=moment)
        else:
            await changes.delete_user(conn, person, now=moment)
    is_refused(await refresh(http, begun["refresh_token"]))
    assert await there.ended_by(sid(begun)) == {
        "password": "password_changed", "disabled": "user_disabled", "deleted": "user_deleted",
    }[change]  # fmt: skip
    if change == "disabled":
        await conn.execute("UPDATE users SET disabled_at = NULL WHERE id = $1", person)


# --- grace, replay, deadlines ------------------------------------------------------------------------------------


async def test_two_tabs_both_go_on(http: aiohttp.ClientSession, clock: Clock) -> None:
    """The second use of a token within the grace window gets the token that is good now, not one of its own, so that
    neither of the two is logged out later."""
    begun = await log_in(http)
    first = (await refresh(http, begun["refresh_token"])).json
    second = (await refresh(http, begun["refresh_token"])).json
    assert second["refresh_token"] == first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    third = (await refresh(http, first["refresh_token"])).json
    late = (await refresh(http, begun["refresh_token"])).json
    assert late["refresh_token"] == third["refresh_token"]
    clock.ahead = 40
    assert (await refresh(http, third["refresh_token"])).status == 200


async def test_a_replay_ends_the_session_for_both(
    http: aiohttp.ClientSession, there: World, clock: Clock, server: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    """A used token after the grace window: the thief's or the owner's, nobody can tell. The end is committed although
    the answer is a refusal; it is logged and counted; everything of the session is refused from then on."""
    begun = await log_in(http)
    fresh = (await refresh(http, begun["refresh_token"])).json
    clock.ahead = 31
    is_refused(await refresh(http, begun["refresh_token"]))
    assert await there.ended_by(sid(begun)) == "replay"
    is_refused(await refresh(http, fresh["refresh_token"]))
    is_refused(await refresh(http, begun["refresh_token"]))
    assert len(await there.revocations(begun["access_token"])) == 1
    logged = "".join(capfd.readouterr())
    assert "refresh token replayed" in logged
    for token in (begun, fresh):
        assert token["refresh_token"] not in logged
        assert token["access_token"] not in logged
    async with http.get(f"{server.ops_url}/metrics") as response:
        assert 'auth_token_requests_total{grant="refresh_token",outcome="replay"} 1.0' in await response.text()


async def test_a_replay_through_another_session_is_nobodys_business(
    http: aiohttp.ClientSession, there: World, clock: Clock
) -> None:
    """Another session of the same person stays as it is."""
    one, other = await log_in(http), await log_in(http)
    await refresh(http, one["refresh_token"])
    clock.ahead = 60
    is_refused(await refresh(http, one["refresh_token"]))
    assert (await refresh(http, other["refresh_token"])).status == 200


async def test_a_session_is_never_extended_for_ever(http: aiohttp.ClientSession, there: World, clock: Clock) -> None:
    """Used all the time, by either policy: at the absolute deadline it is over, and no access token outlives that."""
    for client, first in (("kiosk", None), ("login", (await log_in(http))["refresh_token"])):
        begun_at = process_clock.now()
        if first is None:
            _, token = await there.open(client)
            lasts = 86400
        else:
            token, lasts = first, 30 * 86400
        clock.ahead = 0
        step = 6 * 86400 if lasts > 86400 else 20_000
        while clock.ahead + step < lasts:
            clock.ahead += step
            said = (await refresh(http, token, client={"client_id": client})).json
            token = said["refresh_token"]
        clock.ahead = lasts - 100
        said = (await refresh(http, token, client={"client_id": client})).json
        token = said["refresh_token"]
        assert said["expires_in"] <= 101
        assert claims_of(said["access_token"])["exp"] <= begun_at + lasts + 1
        clock.ahead = lasts + 1
        is_refused(await refresh(http, token, client={"client_id": client}))


async def test_a_session_that_nobody_uses_ends(http: aiohttp.ClientSession, clock: Clock) -> None:
    """Seven days without a refresh by default; a refresh a second before begins them anew."""
    token = (await log_in(http))["refresh_token"]
    clock.ahead = 7 * 86400 - 5
    fresh = (await refresh(http, token)).json["refresh_token"]
    clock.ahead += 7 * 86400 - 5
    fresh = (await refresh(http, fresh)).json["refresh_token"]
    clock.ahead += 7 * 86400 + 1
    is_refused(await refresh(http, fresh))


# --- races -------------------------------------------------------------------------------------------------------


async def test_fifty_at_once_have_one_successor(http: aiohttp.ClientSession, there: World) -> None:
    """One statement decides: every one of fifty is answered with the same successor and an access token of its own;
    nothing is ended, nothing is a 500, and there is one living line of descent."""
    for _ in range(5):
        begun = await log_in(http)
        answers = await asyncio.gather(*(refresh(http, begun["refresh_token"]) for _ in range(50)))
        assert [answer.status for answer in answers] == [200] * 50
        assert len({answer.json["refresh_token"] for answer in answers}) == 1
        assert len({answer.json["access_token"] for answer in answers}) == 50
        assert {sid(answer.json) for answer in answers} == {sid(begun)}
        assert await there.ended_by(sid(begun)) is None
        generation = await there.value("SELECT generation FROM grants WHERE id = $1", UUID(sid(begun)))
        assert generation == 1


async def test_fifty_replays_at_once_end_the_session_once(
    http: aiohttp.ClientSession, there: World, clock: Clock
) -> None:
    """After the grace window: all refused alike, one end, no deadlock."""
    begun = await log_in(http)
    fresh = (await refresh(http, begun["refresh_token"])).json
    clock.ahead = 31
    answers = await asyncio.gather(*(refresh(http, begun["refresh_token"]) for _ in range(50)))
    for answer in answers:
        is_refused(answer)
    assert await there.ended_by(sid(begun)) == "replay"
    is_refused(await refresh(http, fresh["refresh_token"]))


async def test_without_a_grace_window_one_of_fifty_goes_on_for_a_moment(
    http: aiohttp.ClientSession, there: World
) -> None:
    """A client with a window of 0 seconds: whoever comes second is a replay, so nobody's token is good afterwards."""
    session, token = await there.open("web")
    await there.execute("UPDATE clients SET refresh_grace_seconds = 0 WHERE id = 'web'")
    try:
        answers = await asyncio.gather(*(refresh(http, token, headers=WEB) for _ in range(50)))
        good = [answer for answer in answers if answer.status == 200]
        assert len(good) <= 1
        for answer in answers:
            if answer not in good:
                is_refused(answer)
        assert await there.ended_by(str(session)) == "replay"
        for answer in good:
            is_refused(await refresh(http, answer.json["refresh_token"], headers=WEB))
    finally:
        await there.execute("UPDATE clients SET refresh_grace_seconds = NULL WHERE id = 'web'")


# --- elsewhere ---------------------------------------------------------------------------------------------------


async def test_below_the_path_of_an_issuer_everything_answers_too(new_database: NewDatabase, tmp_path: Path) -> None:
    """An issuer with a path: metadata names the endpoints below it, and they answer there in the same forms."""
    there = await world(await new_database(), tmp_path)
    issuer = "http://127.0.0.1:9000/tenant"
    server = AuthServer(environment(there.dsn, tmp_path, ISSUER=issuer))
    where = await asyncio.to_thread(server.__enter__)
    try:
        async with aiohttp.ClientSession(where.url) as http:
            async with http.get("/.well-known/oauth-authorization-server/tenant") as response:
                metadata = await response.json()
            assert metadata["token_endpoint"] == issuer + "/oauth2/token"
            assert metadata["revocation_endpoint"] == issuer + "/oauth2/revoke"
            assert metadata["introspection_endpoint"] == issuer + "/oauth2/introspect"
            begun = await log_in(http, resource=[issuer])
            asked = PUBLIC | {"grant_type": "refresh_token", "refresh_token": begun["refresh_token"]}
            assert (await form(http, "/tenant/oauth2/token", asked)).status == 200
            headers = {"Authorization": f"Bearer {begun['access_token']}"}
            assert (await ask(http, "GET", "/tenant/api/sessions", headers=headers)).status == 200
            assert (await ask(http, "POST", "/tenant/api/logout", headers=headers)).status == 204
            assert (await ask(http, "DELETE", f"/tenant/api/sessions/{sid(begun)}", headers=headers)).status == 401
            for path in ("/tenant/oauth2/revoke", "/tenant/oauth2/introspect", "/tenant/oauth2/token"):
                is_oauth_error(await ask(http, "POST", path, json={}), 415, "invalid_request")
            done = await form(http, "/tenant/oauth2/revoke", PUBLIC | {"token": begun["refresh_token"]})
            assert done.status == 200
            answer = await form(http, "/tenant/oauth2/introspect", {"token": begun["access_token"]}, headers=WEB)
            assert answer.json == {"active": False}
    finally:
        await asyncio.to_thread(server.__exit__)
