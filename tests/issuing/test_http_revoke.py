"""``POST /oauth2/revoke`` as it runs (RFC 7009): a client gives back what is its own, and learns of nothing else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from auth_server.grants import refresh_tokens
from tests.support.auth import NOTES, SECRET, AuthServer, Running, Wire, basic, claims_of, environment
from tests.support.postgres import NewDatabase, run_apart
from tests.support.session_server import (
    BASIC_CHALLENGE,
    BATCH,
    LOGOUT,
    PUBLIC,
    REVOKE,
    STATUS,
    TOKEN,
    Answer,
    Clock,
    World,
    ask,
    bearer,
    form,
    is_oauth_error,
    log_in,
    refresh,
    world,
)

WEB = basic("web", SECRET)


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


def is_done(answer: Answer) -> None:
    """The one answer of section 2.2, whatever came of it: nothing in it tells."""
    assert (answer.status, answer.body) == (200, b""), answer
    assert {name.lower() for name in answer.headers} == {
        "cache-control", "pragma", "content-length", "x-content-type-options", "x-request-id", "date", "server",
    }  # fmt: skip


def sid(answer: dict[str, Any]) -> str:
    found: str = claims_of(answer["access_token"])["sid"]
    return found


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
@pytest.mark.parametrize(
    "hint",
    [
        pytest.param({}, id="no-hint"),
        pytest.param({"token_type_hint": "refresh_token"}, id="hint-refresh"),
        pytest.param({"token_type_hint": "access_token"}, id="hint-access"),
        pytest.param({"token_type_hint": "saml2_assertion"}, id="hint-unknown"),
    ],
)
async def test_either_token_ends_the_session(
    http: aiohttp.ClientSession, there: World, which: str, hint: dict[str, str]
) -> None:
    """All of it (section 2.1), and a wrong hint keeps nothing alive."""
    begun = await log_in(http)
    is_done(await form(http, REVOKE, PUBLIC | hint | {"token": begun[which]}))
    assert await there.ended_by(sid(begun)) == "revoked"
    is_oauth_error(await refresh(http, begun["refresh_token"]), 400, "invalid_grant")


async def test_a_token_that_was_used_ends_the_session_too(http: aiohttp.ClientSession, there: World) -> None:
    """A client that missed the last answer gives back what it has: whoever has the successor is logged out."""
    begun = await log_in(http)
    fresh = (await refresh(http, begun["refresh_token"])).json
    is_done(await form(http, REVOKE, PUBLIC | {"token": begun["refresh_token"]}))
    assert await there.ended_by(sid(begun)) == "revoked"
    is_oauth_error(await refresh(http, fresh["refresh_token"]), 400, "invalid_grant")


async def test_giving_back_twice_is_no_error(http: aiohttp.ClientSession, there: World) -> None:
    """Section 2.2: what is not good is as good as revoked. The first reason stays."""
    begun = await log_in(http)
    await ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"]))
    for token in (begun["refresh_token"], begun["access_token"]) * 2:
        is_done(await form(http, REVOKE, PUBLIC | {"token": token}))
    assert await there.ended_by(sid(begun)) == "logout"


async def test_a_client_gives_back_its_own_token(http: aiohttp.ClientSession, there: World) -> None:
    """Of client_credentials: its standing grant ends, by either way to authenticate."""
    for ways in ({"headers": BATCH}, {}):
        said = {} if ways else {"client_id": "batch", "client_secret": SECRET}
        own = (await form(http, TOKEN, {"grant_type": "client_credentials"}, headers=BATCH)).json
        is_done(await form(http, REVOKE, said | {"token": own["access_token"]}, **ways))
        assert await there.ended_by(sid(own)) == "revoked"


def altered(token: str, place: int) -> str:
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def invented(token: str) -> str:
    """Spelled well, of a session that there is, and made by somebody else."""
    said = refresh_tokens.parse(token)
    assert said is not None
    return refresh_tokens.derive(b"x" * 32, b"y" * 32, said.session_id, said.generation).text


async def test_anothers_token_and_no_token_are_one_answer(http: aiohttp.ClientSession, there: World) -> None:
    """Nobody logs others out, and nobody learns what exists: the same 200 as for a success, and the session lives."""
    begun = await log_in(http)
    refresh_token, access_token = begun["refresh_token"], begun["access_token"]
    others = [(WEB, {}, token) for token in (refresh_token, access_token)]
    others += [(None, {"client_id": "kiosk"}, token) for token in (refresh_token, access_token)]
    strange = ["x", "x.y.z", "fsr_", "fsr_" + "A" * 76, altered(refresh_token, 30), altered(refresh_token, -1),
               invented(refresh_token), refresh_token + "=", altered(access_token, -20), access_token + "=",
               access_token.rpartition(".")[0] + ".", "é", " " + refresh_token]  # fmt: skip
    for headers, said, token in [*others, *((None, PUBLIC, token) for token in strange)]:
        is_done(await form(http, REVOKE, said | {"token": token}, headers=headers))
        assert await there.ended_by(sid(begun)) is None, token
    assert (await refresh(http, refresh_token)).status == 200


async def test_a_made_up_old_token_ends_nothing(http: aiohttp.ClientSession, there: World) -> None:
    """An older generation must be one that the server made: else anybody who saw an id could end its session."""
    begun = await log_in(http)
    await refresh(http, begun["refresh_token"])
    is_done(await form(http, REVOKE, PUBLIC | {"token": invented(begun["refresh_token"])}))
    assert await there.ended_by(sid(begun)) is None


async def test_what_has_expired_ends_nothing(http: aiohttp.ClientSession, there: World, clock: Clock) -> None:
    """An access token past its exp: 200 and nothing, and its session goes on."""
    begun = await log_in(http)
    clock.ahead = 301
    is_done(await form(http, REVOKE, PUBLIC | {"token": begun["access_token"]}))
    assert await there.ended_by(sid(begun)) is None
    assert (await refresh(http, begun["refresh_token"])).status == 200


async def test_a_session_past_its_idle_deadline_still_has_an_access_token_to_end(
    http: aiohttp.ClientSession, there: World, clock: Clock
) -> None:
    """It is refreshed no more, but its last access token may live on at resource servers: who gives the refresh token
    back wants that to end."""
    _, token = await there.open("kiosk")
    said = (await refresh(http, token, client={"client_id": "kiosk"})).json
    await there.execute("UPDATE clients SET session_idle_seconds = 60 WHERE id = 'kiosk'")
    clock.ahead = 100
    is_oauth_error(await refresh(http, token, client={"client_id": "kiosk"}), 400, "invalid_grant")
    is_done(await form(http, REVOKE, {"client_id": "kiosk", "token": token}))
    await there.execute("UPDATE clients SET session_idle_seconds = NULL WHERE id = 'kiosk'")
    assert len(await there.revocations(said["access_token"])) == 1


async def test_a_session_of_a_client_with_a_secret_is_its_own(http: aiohttp.ClientSession, there: World) -> None:
    """Its id alone is no proof, and so gives nothing back; with the secret it does."""
    session, token = await there.open("web")
    is_oauth_error(await form(http, REVOKE, {"client_id": "web", "token": token}), 401, "invalid_client")
    assert await there.ended_by(str(session)) is None
    is_done(await form(http, REVOKE, {"token": token}, headers=WEB))
    assert await there.ended_by(str(session)) == "revoked"


@pytest.mark.parametrize(
    ("fields", "headers", "error", "challenge"),
    [
        pytest.param(PUBLIC, None, "invalid_request", None, id="no-token"),
        pytest.param(PUBLIC | {"token": ""}, None, "invalid_request", None, id="empty-token"),
        pytest.param([("token", "a"), ("token", "a"), ("client_id", "login")], None, "invalid_request", None,
                     id="token-twice"),
        pytest.param([("token", "a"), ("token_type_hint", "b"), ("token_type_hint", "b"), ("client_id", "login")], None,
                     "invalid_request", None, id="hint-twice"),
        pytest.param([("token", "a"), ("client_id", "login"), ("client_id", "login")], None, "invalid_request",
                     None, id="id-twice"),
        pytest.param({"token": "a", "client_id": "web", "client_secret": SECRET}, WEB, "invalid_request", None,
                     id="two-ways"),
        pytest.param({"token": "a", "client_id": "login"}, WEB, "invalid_request", None, id="two-clients"),
        pytest.param({"token": "a"}, [("Authorization", WEB["Authorization"])] * 2, "invalid_request", None,
                     id="two-headers"),
        pytest.param({"token": "a"}, {"Authorization": "Basic ???"}, "invalid_request", None, id="garbage"),
        pytest.param({"token": "a"}, None, "invalid_client", None, id="no-client"),
        pytest.param({"token": "a", "client_secret": SECRET}, None, "invalid_client", None, id="secret-alone"),
        pytest.param({"token": "a", "client_id": "stranger"}, None, "invalid_client", None, id="unknown"),
        pytest.param({"token": "a", "client_id": "Not An Id"}, None, "invalid_client", None, id="no-possible-id"),
        pytest.param({"token": "a", "client_id": "shut"}, None, "invalid_client", None, id="disabled"),
        pytest.param({"token": "a", "client_id": "web"}, None, "invalid_client", None, id="without-its-secret"),
        pytest.param({"token": "a", "client_id": "web", "client_secret": "x"}, None, "invalid_client", None,
                     id="wrong-secret"),
        pytest.param({"token": "a", "client_id": "login", "client_secret": SECRET}, None, "invalid_client", None,
                     id="secret-of-one-without"),
        pytest.param({"token": "a"}, basic("web", "x"), "invalid_client", BASIC_CHALLENGE, id="basic-wrong"),
        pytest.param({"token": "a"}, basic("login", ""), "invalid_client", BASIC_CHALLENGE, id="basic-no-secret"),
        pytest.param({"token": "a"}, {"Authorization": "Bearer x"}, "invalid_client", BASIC_CHALLENGE,
                     id="bearer"),
    ],
)  # fmt: skip
async def test_a_request_without_token_or_client_is_refused(
    http: aiohttp.ClientSession, fields: Any, headers: Any, error: str, challenge: str | None
) -> None:
    """In the words of RFC 6749 section 5.2, with a challenge where the Authorization header was used (2.2.1)."""
    sent = [("Content-Type", "application/x-www-form-urlencoded"), *headers] if isinstance(headers, list) else headers
    if isinstance(sent, list):
        answer = await ask(http, "POST", REVOKE, data="token=a", headers=sent)
    else:
        answer = await form(http, REVOKE, fields, headers=sent)
    is_oauth_error(answer, STATUS[error], error, challenge=challenge)


async def test_whatever_is_wrong_with_a_client_is_one_answer(http: aiohttp.ClientSession) -> None:
    """Unknown, disabled, with a secret that was not shown or that is wrong: byte for byte."""
    said = [
        {"client_id": "stranger"},
        {"client_id": "shut"},
        {"client_id": "web"},
        {"client_id": "web", "client_secret": "x"},
    ]
    bodies = {(await form(http, REVOKE, fields | {"token": "a"})).body for fields in said}
    assert bodies == {b'{"error":"invalid_client","error_description":"client authentication failed"}'}


async def test_the_query_is_never_read(http: aiohttp.ClientSession, there: World) -> None:
    """Nor is a body of another kind, and errors before the handler have the form of the others."""
    begun = await log_in(http)
    query = f"{REVOKE}?client_id=login&token={begun['refresh_token']}"
    is_oauth_error(await form(http, query, PUBLIC), 400, "invalid_request")
    is_oauth_error(await form(http, query, {"token": begun["refresh_token"]}), 401, "invalid_client")
    is_oauth_error(await ask(http, "POST", query, json={}), 415, "invalid_request")
    is_oauth_error(await form(http, REVOKE, {"token": "x" * 70_000}), 413, "invalid_request")
    is_oauth_error(await ask(http, "GET", query), 405, "invalid_request")
    assert await there.ended_by(sid(begun)) is None


async def test_fifty_at_once_end_a_session_once(http: aiohttp.ClientSession, there: World) -> None:
    """Both kinds of token at the same time: every answer is the same, and there is one entry."""
    begun = await log_in(http, resource=[NOTES])
    tokens = [begun["refresh_token"], begun["access_token"]] * 25
    for answer in await asyncio.gather(*(form(http, REVOKE, PUBLIC | {"token": token}) for token in tokens)):
        is_done(answer)
    assert len(await there.revocations(begun["access_token"])) == 1


async def test_logs_and_figures_tell_without_the_token(
    http: aiohttp.ClientSession, server: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    """Which client and which session; counted by what came of it."""
    begun = await log_in(http)
    await form(http, REVOKE, {"token": begun["refresh_token"]}, headers=WEB)
    await form(http, REVOKE, PUBLIC | {"token": begun["refresh_token"]})
    await form(http, REVOKE, {"token": begun["refresh_token"], "client_id": "web", "client_secret": "a-wrong-secret"})
    logged = "".join(capfd.readouterr())
    assert sid(begun) in logged
    for secret in (begun["refresh_token"], begun["access_token"], SECRET, "a-wrong-secret", WEB["Authorization"]):
        assert secret not in logged
    async with http.get(f"{server.ops_url}/metrics") as response:
        figures = await response.text()
    for outcome in ("ended", "nothing", "invalid_client"):
        assert f'auth_session_requests_total{{kind="revoke",outcome="{outcome}"}}' in figures


async def test_while_the_database_is_away_nobody_is_told_that_it_is_done(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """503 with Retry-After (section 2.2.1), on every way to end a session: the token may be good, so come back."""
    there = await world(await new_database(), tmp_path)
    wire = Wire(there.dsn)
    async with wire as through:
        server = AuthServer(environment(through, tmp_path))
        where = await asyncio.to_thread(server.__enter__)
        try:
            async with aiohttp.ClientSession(where.url) as http:
                begun = await log_in(http)
                wire.cut()
                for answer in (
                    await form(http, REVOKE, PUBLIC | {"token": begun["refresh_token"]}),
                    await refresh(http, begun["refresh_token"]),
                    await form(http, "/oauth2/introspect", {"token": begun["access_token"]}, headers=WEB),
                ):
                    is_oauth_error(answer, 503, "temporarily_unavailable")
                    assert int(answer.headers["Retry-After"]) >= 1
                answer = await ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"]))
                assert (answer.status, answer.json["code"]) == (503, "database_unavailable")
                wire.mend()
                is_done(await form(http, REVOKE, PUBLIC | {"token": begun["refresh_token"]}))
        finally:
            await asyncio.to_thread(server.__exit__)
    assert await there.ended_by(sid(begun)) == "revoked"
