"""``/api/sessions`` as it runs: people see and end their own sessions, and nobody else's."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest

from auth_server.storage import permissions, resources
from farseal import clock as process_clock
from farseal.clock import at
from tests.support.auth import NOTES, AuthServer, Running, claims_of, environment
from tests.support.postgres import run_apart
from tests.support.session_server import (
    BATCH,
    ISSUER,
    LOGOUT,
    PUBLIC,
    REVOKE,
    SESSIONS,
    TOKEN,
    Answer,
    Clock,
    World,
    account_token,
    ask,
    bearer,
    form,
    is_oauth_error,
    is_problem,
    log_in,
    refresh,
    world,
)

NONE = 'Bearer realm="farseal"'


def challenge(error: str, description: str, more: str = "") -> str:
    return f'{NONE}, error="{error}", error_description="{description}"{more}'


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def there(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> World:
    return run_apart(world(database_url, tmp_path_factory.mktemp("auth")))


@pytest.fixture(scope="module")
def server(there: World, clock: Clock) -> Iterator[Running]:
    environ = environment(there.dsn, there.directory, TRUSTED_PROXIES="127.0.0.0/8")
    with AuthServer(environ, clock=clock) as running:
        yield running


@pytest.fixture
async def http(server: Running, there: World, clock: Clock):
    clock.ahead = 0
    await there.execute("DELETE FROM grants")
    async with aiohttp.ClientSession(server.url) as session:
        yield session
    clock.ahead = 0


async def listed(http: aiohttp.ClientSession, token: str) -> list[dict[str, Any]]:
    answer = await ask(http, "GET", SESSIONS, headers=bearer(token))
    assert answer.status == 200, answer
    assert answer.json.keys() == {"sessions", "more"}
    assert answer.json["more"] is False
    found: list[dict[str, Any]] = answer.json["sessions"]
    return found


def sid(answer: dict[str, Any]) -> str:
    found: str = claims_of(answer["access_token"])["sid"]
    return found


async def test_a_person_sees_their_own_living_sessions(http: aiohttp.ClientSession) -> None:
    """The newest first, the one that asks marked; nobody else's, and none that has ended."""
    await log_in(http, "bob")
    gone = await log_in(http)
    await ask(http, "POST", LOGOUT, headers=bearer(gone["access_token"]))
    old = await log_in(http)
    await asyncio.sleep(1.1)  # moments are whole seconds
    token = await account_token(http)
    found = await listed(http, token)
    assert [one["id"] for one in found] == [claims_of(token)["sid"], sid(old)]
    assert [one["current"] for one in found] == [True, False]


async def test_many_sessions_are_told_in_a_bounded_answer(http: aiohttp.ClientSession, there: World) -> None:
    """The newest hundred, and that there are more: whose program logs in each minute gets no megabytes."""
    token = await account_token(http, "zoë")
    await there.execute(
        "INSERT INTO status_lists (id, size, permutation_key) VALUES ($1, 1024, $2)", "Z" * 16, bytes(16)
    )
    await there.execute(
        """
        INSERT INTO grants (id, client_id, user_id, audience, scopes, created_at, expires_at, last_used_at, agent,
                            status_list, status_index, keep_until)
        SELECT gen_random_uuid(), 'login', $1, '{}', '{}', now() + n * interval '1 second', now() + interval '1 day',
               now(), n::text, $2, n, now() + interval '3 days'
          FROM generate_series(1, 120) AS n
        """,
        there.people["zoë"], "Z" * 16,
    )  # fmt: skip
    answer = await ask(http, "GET", SESSIONS, headers=bearer(token))
    assert [one["agent"] for one in answer.json["sessions"]] == [str(n) for n in range(120, 20, -1)]
    assert answer.json["more"] is True
    await there.execute(
        "UPDATE grants SET created_at = now() - interval '1 hour', expires_at = now()"
        " WHERE status_list = $1 AND status_index > 21",
        "Z" * 16,
    )
    assert next(one["agent"] for one in await listed(http, token)) == "21"


async def test_a_session_is_told_by_what_people_recognise(http: aiohttp.ClientSession) -> None:
    """When it began, was last used and will end; from where and with what; by the last use, a refresh among them."""
    headers = {"User-Agent": "Lynx/2.9 <script>", "X-Forwarded-For": "203.0.113.9"}
    async with http.post("/api/tokens", json={"username": "alice", "password": "correct horse"}, headers=headers) as r:
        begun = await r.json()
    token = await account_token(http)
    one = next(one for one in await listed(http, token) if one["id"] == sid(begun))
    assert one.keys() == {
        "id", "client_id", "created_at", "last_used_at", "idle_until", "expires_at", "address", "agent", "current",
    }  # fmt: skip
    assert (one["client_id"], one["address"], one["agent"]) == ("login", "203.0.113.9", "Lynx/2.9 <script>")
    moments = [one[name] for name in ("created_at", "last_used_at", "idle_until", "expires_at")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment) for moment in moments)
    assert moments[0] == moments[1] < moments[2] < moments[3]

    async with http.post(
        TOKEN,
        data={"grant_type": "refresh_token", "refresh_token": begun["refresh_token"]} | PUBLIC,
        headers={"User-Agent": "Elsewhere", "X-Forwarded-For": "2001:db8::1"},
    ) as response:
        assert response.status == 200
    one = next(one for one in await listed(http, token) if one["id"] == sid(begun))
    assert (one["address"], one["agent"]) == ("2001:db8::1", "Elsewhere")


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        pytest.param(b"\xff\xfe caf\xc3\xa9", "?? caf?", id="bytes-of-no-meaning"),
        pytest.param(b"x" * 5000, "x" * 256, id="long"),
        pytest.param(b"a\tb", "a?b", id="tab"),
        pytest.param(b"", "", id="nothing"),
    ],
)
async def test_whatever_an_agent_says_of_itself_fits(
    http: aiohttp.ClientSession, server: Running, agent: bytes, told: str
) -> None:
    """Printable ASCII, at most 256 characters: a login never fails for it, and nobody is shown more."""
    body = b'{"username": "alice", "password": "correct horse", "resource": ["http://127.0.0.1:9000"]}'
    head = b"POST /api/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + b"User-Agent: %b\r\nContent-Length: %d\r\n\r\n%b" % (agent, len(body), body))
    answer = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert answer[0].startswith(b"HTTP/1.1 200 "), answer
    (one,) = await listed(http, json.loads(answer[2])["access_token"])
    # How many marks stand for bytes of no meaning is not promised.
    assert re.sub(r"\?+", "?", one["agent"]) == re.sub(r"\?+", "?", told)


async def test_the_account_api_is_for_those_who_ask_by_name(http: aiohttp.ClientSession) -> None:
    """Neither a login nor a refresh gives the scope unasked; either gives it where the issuer is named."""
    begun = await log_in(http)
    assert ISSUER not in claims_of(begun["access_token"])["aud"]
    plain = (await refresh(http, begun["refresh_token"])).json
    assert ISSUER not in claims_of(plain["access_token"])["aud"]
    named = (await refresh(http, plain["refresh_token"], resource=ISSUER)).json
    claims = claims_of(named["access_token"])
    assert (claims["aud"], claims["scope"], claims["sid"]) == (ISSUER, "sessions", sid(begun))
    assert [one["id"] for one in await listed(http, named["access_token"])] == [sid(begun)]


async def test_a_person_ends_another_session_of_theirs(http: aiohttp.ClientSession, there: World) -> None:
    """204; it leaves the list and its refresh token is good no more; the one that asked stays."""
    lost = await log_in(http)
    token = await account_token(http)
    answer = await ask(http, "DELETE", f"{SESSIONS}/{sid(lost)}", headers=bearer(token))
    assert (answer.status, answer.body) == (204, b"")
    assert await there.ended_by(sid(lost)) == "logout"
    is_oauth_error(await refresh(http, lost["refresh_token"]), 400, "invalid_grant")
    assert [one["id"] for one in await listed(http, token)] == [claims_of(token)["sid"]]


async def test_a_person_may_end_the_session_that_asks(http: aiohttp.ClientSession) -> None:
    """The token is of no use from that moment on, long before it expires."""
    token = await account_token(http)
    assert (await ask(http, "DELETE", f"{SESSIONS}/{claims_of(token)['sid']}", headers=bearer(token))).status == 204
    is_problem(
        await ask(http, "GET", SESSIONS, headers=bearer(token)),
        401,
        "token_revoked",
        challenge=challenge("invalid_token", "the session of the access token has ended"),
    )


NOT_FOUND = {
    "type": "urn:farseal:problem:not_found", "title": "Not Found", "status": 404, "code": "not_found",
    "detail": "no such session",
}  # fmt: skip


async def test_another_persons_session_is_as_good_as_none(http: aiohttp.ClientSession, there: World) -> None:
    """One answer for another's, an unknown, an ended and an impossible id; and another's lives (RFC 9700)."""
    theirs = await log_in(http, "bob")
    ended = await log_in(http)
    await form(http, REVOKE, PUBLIC | {"token": ended["refresh_token"]})
    client = (await form(http, TOKEN, {"grant_type": "client_credentials"}, headers=BATCH)).json
    token = await account_token(http)
    for id_ in (sid(theirs), sid(ended), sid(client), str(uuid4()), "x", "%00", "..%2F", sid(theirs).upper(), "é" * 99):
        answer = await ask(http, "DELETE", f"{SESSIONS}/{id_}", headers=bearer(token))
        is_problem(answer, 404, "not_found")
        assert answer.json == NOT_FOUND
    assert await there.ended_by(sid(theirs)) is None
    assert await there.ended_by(sid(client)) is None
    assert (await refresh(http, theirs["refresh_token"])).status == 200


async def test_ending_a_session_twice_is_found_once(http: aiohttp.ClientSession) -> None:
    """Of twenty who end the same one at once, one does."""
    lost, token = await log_in(http), await account_token(http)
    path = f"{SESSIONS}/{sid(lost)}"
    answers: list[Answer] = await asyncio.gather(*(ask(http, "DELETE", path, headers=bearer(token)) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [204] + [404] * 19


async def test_a_resource_servers_token_opens_nothing_here(http: aiohttp.ClientSession, there: World) -> None:
    """Alice's token for notes, in the hands of notes: neither her sessions nor their ends (RFC 8707 section 1)."""
    other = await log_in(http)
    held = (await log_in(http, resource=[NOTES]))["access_token"]
    expected = challenge("invalid_token", "the access token is not for this server")
    for method, path in (("GET", SESSIONS), ("HEAD", SESSIONS), ("DELETE", f"{SESSIONS}/{sid(other)}")):
        answer = await ask(http, method, path, headers=bearer(held))
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, expected)
    assert await there.ended_by(sid(other)) is None


@pytest.fixture
async def account_resource(there: World):
    """A resource of operators' own making that has the issuer's name, with the scope, and a client that may name it."""
    moment = at(process_clock.now())
    conn = await asyncpg.connect(there.dsn)
    try:
        await resources.create(conn, ISSUER, "Account", now=moment)
        await resources.set_scopes(conn, ISSUER, ["sessions"])
        await permissions.permit_client(conn, "batch", ISSUER, [])
        yield conn
        await resources.delete(conn, ISSUER)
    finally:
        await conn.close()


async def test_the_audience_alone_is_not_enough(
    http: aiohttp.ClientSession, account_resource: asyncpg.Connection
) -> None:
    """The right audience without the scope: 403, and the scope that is needed (RFC 6750 section 3.1)."""
    asked = {"grant_type": "client_credentials", "resource": ISSUER}
    token = (await form(http, TOKEN, asked, headers=BATCH)).json["access_token"]
    assert (claims_of(token)["aud"], claims_of(token).get("scope")) == (ISSUER, None)
    is_problem(
        await ask(http, "GET", SESSIONS, headers=bearer(token)),
        403,
        "scope_insufficient",
        challenge=challenge("insufficient_scope", "the scope sessions is needed", ', scope="sessions"'),
    )


async def test_a_client_has_no_account(http: aiohttp.ClientSession, account_resource: asyncpg.Connection) -> None:
    """Even where operators gave a client both the audience and the scope: it is no person, and sees nobody's."""
    await permissions.permit_client(account_resource, "batch", ISSUER, ["sessions"])
    asked = {"grant_type": "client_credentials", "resource": ISSUER}
    token = (await form(http, TOKEN, asked, headers=BATCH)).json["access_token"]
    assert claims_of(token)["scope"] == "sessions"
    answer = await ask(http, "GET", SESSIONS, headers=bearer(token))
    assert (answer.status, answer.json["code"]) == (401, "token_revoked")


@pytest.mark.parametrize("path", [SESSIONS, f"{SESSIONS}/{UUID(int=7)}"])
async def test_who_shows_no_token_is_told_how(http: aiohttp.ClientSession, path: str) -> None:
    """401 and the bare challenge, 401 invalid_token for a bad one, 400 for two (RFC 6750 section 3.1)."""
    method = "GET" if path == SESSIONS else "DELETE"
    is_problem(await ask(http, method, path), 401, "credentials_missing", challenge=NONE)
    is_problem(
        await ask(http, method, path, headers=bearer("x.y.z")),
        401,
        "token_invalid",
        challenge=challenge("invalid_token", "not an access token of this server"),
    )
    is_problem(
        await ask(http, method, path, headers=[("Authorization", "Bearer a"), ("Authorization", "Bearer b")]),
        400,
        "credentials_malformed",
        challenge=challenge("invalid_request", "more than one Authorization header"),
    )


async def test_an_expired_token_and_a_session_past_its_deadline_see_nothing(
    http: aiohttp.ClientSession, there: World, clock: Clock
) -> None:
    """The token's own end, and the session's where that comes first by the settings of this day."""
    token = await account_token(http)
    clock.ahead = 301
    is_problem(
        await ask(http, "GET", SESSIONS, headers=bearer(token)),
        401,
        "token_expired",
        challenge=challenge("invalid_token", "the access token has expired"),
    )
    await there.execute("UPDATE clients SET session_idle_seconds = 60 WHERE id = 'login'")
    clock.ahead = 100
    answer = await ask(http, "GET", SESSIONS, headers=bearer(token))
    await there.execute("UPDATE clients SET session_idle_seconds = NULL WHERE id = 'login'")
    assert (answer.status, answer.json["code"]) == (401, "token_revoked")


async def test_when_a_session_ends_without_a_refresh_is_told(http: aiohttp.ClientSession, there: World) -> None:
    """Never later than its end in any case; null where there is nothing to refresh."""
    token = await account_token(http)
    (one,) = [one for one in await listed(http, token) if one["current"]]

    def seconds(name: str) -> int:
        return int((datetime.fromisoformat(one[name]) - datetime.fromisoformat(one["last_used_at"])).total_seconds())

    await there.execute("UPDATE clients SET session_idle_seconds = 3600 WHERE id = 'login'")
    (one,) = [one for one in await listed(http, token) if one["current"]]
    assert seconds("idle_until") == 3600 < seconds("expires_at")
    await there.execute("UPDATE clients SET session_idle_seconds = 31536000 WHERE id = 'login'")
    (one,) = [one for one in await listed(http, token) if one["current"]]
    assert one["idle_until"] == one["expires_at"]
    await there.execute("UPDATE clients SET session_idle_seconds = NULL WHERE id = 'login'")
    await there.execute("UPDATE grants SET refresh_hash = NULL, refresh_nonce = NULL WHERE id = $1", UUID(one["id"]))
    (one,) = [one for one in await listed(http, token) if one["current"]]
    assert one["idle_until"] is None


async def test_head_says_what_get_would(http: aiohttp.ClientSession) -> None:
    """RFC 9110 section 9.3.2."""
    token = await account_token(http)
    answer = await ask(http, "HEAD", SESSIONS, headers=bearer(token))
    assert (answer.status, answer.type, answer.body) == (200, "application/json", b"")


@pytest.mark.parametrize("path", [SESSIONS, f"{SESSIONS}/{UUID(int=7)}"])
async def test_no_page_of_another_origin_gets_in(http: aiohttp.ClientSession, path: str) -> None:
    """No CORS: a preflight is 405, and no answer allows an origin."""
    async with http.options(path, headers={"Origin": "https://evil.example"}) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]
