"""``POST /api/logout`` as it runs: whoever holds an access token ends its session, and nothing else."""

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from auth_server.keys import requests, store
from auth_server.keys.lifecycle import Key
from auth_server.keys.requests import Changed, Outcome
from auth_server.settings import AuthServerSettings
from farseal import clock as process_clock
from farseal.encoding import b64url_decode
from tests.support.auth import NOTES, READ, REPORTS, AuthServer, Running, claims_of, environment
from tests.support.postgres import NewDatabase, run_apart
from tests.support.session_server import (
    BATCH,
    LOGOUT,
    SESSIONS,
    TOKEN,
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


def challenge(error: str, description: str) -> str:
    return f'{NONE}, error="{error}", error_description="{description}"'


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


async def test_a_logout_ends_the_session(http: aiohttp.ClientSession, there: World) -> None:
    """204 without a body; the session is ended in the database and its refresh token is good no more."""
    begun = await log_in(http)
    answer = await ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"]))
    assert (answer.status, answer.body) == (204, b"")
    assert await there.ended_by(claims_of(begun["access_token"])["sid"]) == "logout"
    is_oauth_error(await refresh(http, begun["refresh_token"]), 400, "invalid_grant")


async def test_another_session_of_the_same_person_stays(http: aiohttp.ClientSession, there: World) -> None:
    """A logout is of one session, not of a person."""
    one, other = await log_in(http), await log_in(http)
    await ask(http, "POST", LOGOUT, headers=bearer(one["access_token"]))
    assert await there.ended_by(claims_of(other["access_token"])["sid"]) is None
    assert (await refresh(http, other["refresh_token"])).status == 200


async def test_the_end_is_written_where_it_is_published_from(http: aiohttp.ClientSession, there: World) -> None:
    """The bit of the session, in the list that its tokens name, under a new version of that list."""
    begun = await log_in(http)
    list_id = claims_of(begun["access_token"])["status"]["status_list"]["uri"].rpartition("/")[2].removesuffix(".jwt")
    before = await there.value("SELECT version FROM status_lists WHERE id = $1", list_id)
    await ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"]))
    (version,) = await there.revocations(begun["access_token"])
    assert version > before


async def published(http: aiohttp.ClientSession, access_token: str) -> int:
    """The entry of a token's session in its list, as the list is served at this moment."""
    entry = claims_of(access_token)["status"]["status_list"]
    async with http.get(urlsplit(entry["uri"]).path) as response:
        assert (response.status, response.content_type) == (200, "application/statuslist+jwt")
        said = claims_of(await response.text())
    assert said["sub"] == entry["uri"]
    data = zlib.decompress(b64url_decode(said["status_list"]["lst"]))
    return data[entry["idx"] >> 3] >> (entry["idx"] & 7) & 1


async def test_the_end_is_published_and_no_other(http: aiohttp.ClientSession) -> None:
    """Within moments of the 204 the list says so, for every server that never asks; another session's entry stays 0."""
    ended, other = (await log_in(http))["access_token"], (await log_in(http))["access_token"]
    assert await published(http, ended) == await published(http, other) == 0
    await ask(http, "POST", LOGOUT, headers=bearer(ended))

    async def is_told() -> bool:
        return await published(http, ended) == 1

    await until(is_told)
    assert await published(http, other) == 0


async def test_logging_out_twice_is_no_error(http: aiohttp.ClientSession, there: World) -> None:
    """Whoever logs out wants to be logged out, and is. What ended the session first stays its reason."""
    begun = await log_in(http)
    await form(http, "/oauth2/revoke", {"client_id": "login", "token": begun["refresh_token"]})
    for _ in range(2):
        answer = await ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"]))
        assert (answer.status, answer.body) == (204, b"")
    assert await there.ended_by(claims_of(begun["access_token"])["sid"]) == "revoked"


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"resource": [NOTES], "scope": READ}, id="for-notes"),
        pytest.param({"resource": [REPORTS]}, id="for-reports"),
        pytest.param({"resource": [NOTES, REPORTS]}, id="for-both"),
        pytest.param({"resource": ["http://127.0.0.1:9000"]}, id="for-the-account-api"),
    ],
)
async def test_any_token_of_the_session_will_do(
    http: aiohttp.ClientSession, there: World, asked: dict[str, object]
) -> None:
    """Whatever its audience and scopes: nobody needs another token in order to log out."""
    token = (await log_in(http, **asked))["access_token"]
    assert (await ask(http, "POST", LOGOUT, headers=bearer(token))).status == 204
    assert await there.ended_by(claims_of(token)["sid"]) == "logout"


async def test_an_older_token_of_the_session_ends_it_too(http: aiohttp.ClientSession, there: World) -> None:
    """All access tokens of a session are one session, before and after a refresh."""
    begun = await log_in(http)
    fresh = (await refresh(http, begun["refresh_token"])).json
    assert (await ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"]))).status == 204
    is_oauth_error(await refresh(http, fresh["refresh_token"]), 400, "invalid_grant")


async def test_a_client_may_end_its_own(http: aiohttp.ClientSession, there: World) -> None:
    """Its tokens die with its standing grant; the next one begins another."""
    asked = {"grant_type": "client_credentials"}
    first = (await form(http, TOKEN, asked, headers=BATCH)).json["access_token"]
    assert (await ask(http, "POST", LOGOUT, headers=bearer(first))).status == 204
    assert await there.ended_by(claims_of(first)["sid"]) == "logout"
    second = (await form(http, TOKEN, asked, headers=BATCH)).json["access_token"]
    assert claims_of(second)["sid"] != claims_of(first)["sid"]
    assert await there.ended_by(claims_of(second)["sid"]) is None


async def test_who_holds_a_token_for_notes_ends_that_session_and_no_other(
    http: aiohttp.ClientSession, there: World
) -> None:
    """A resource server that is given alice's token can log that session out. It can neither see nor end the others."""
    other = claims_of((await log_in(http))["access_token"])["sid"]
    token = (await log_in(http, resource=[NOTES]))["access_token"]
    not_for_us = challenge("invalid_token", "the access token is not for this server")
    for method, path in (("GET", SESSIONS), ("DELETE", f"{SESSIONS}/{other}"),
                         ("DELETE", f"{SESSIONS}/{claims_of(token)['sid']}")):  # fmt: skip
        is_problem(await ask(http, method, path, headers=bearer(token)), 401, "audience_mismatch", challenge=not_for_us)
    assert (await ask(http, "POST", LOGOUT, headers=bearer(token))).status == 204
    assert await there.ended_by(claims_of(token)["sid"]) == "logout"
    assert await there.ended_by(other) is None


@pytest.mark.parametrize(
    ("headers", "status", "code", "expected"),
    [
        pytest.param([], 401, "credentials_missing", NONE, id="nothing"),
        pytest.param([("Authorization", "Basic YTpi")], 401, "credentials_missing", NONE, id="another-scheme"),
        pytest.param([("Authorization", "Bearerx.y.z")], 401, "credentials_missing", NONE, id="another-word"),
        pytest.param([("Authorization", "Bearer")], 400, "credentials_malformed",
                     challenge("invalid_request", "the Authorization header does not hold exactly one bearer token"),
                     id="no-token"),
        pytest.param([("Authorization", "Bearer a b")], 400, "credentials_malformed",
                     challenge("invalid_request", "the Authorization header does not hold exactly one bearer token"),
                     id="two-tokens"),
        pytest.param([("Authorization", "Bearer a"), ("Authorization", "Bearer a")], 400, "credentials_malformed",
                     challenge("invalid_request", "more than one Authorization header"), id="two-headers"),
        pytest.param([("Authorization", "Bearer a"), ("Authorization", "Basic YTpi")], 400, "credentials_malformed",
                     challenge("invalid_request", "more than one Authorization header"), id="two-schemes"),
        pytest.param([("Authorization", "Bearer x.y.z")], 401, "token_invalid",
                     challenge("invalid_token", "not an access token of this server"), id="no-token-of-ours"),
        pytest.param([("Authorization", "Bearer fsr_" + "A" * 76)], 401, "token_invalid",
                     challenge("invalid_token", "not an access token of this server"), id="refresh-token"),
    ],
)  # fmt: skip
async def test_without_a_good_token_nothing_ends(
    http: aiohttp.ClientSession, headers: list[tuple[str, str]], status: int, code: str, expected: str
) -> None:
    """The challenge of RFC 6750 section 3: no error where nothing was presented, its error where something was."""
    is_problem(await ask(http, "POST", LOGOUT, headers=headers), status, code, challenge=expected)


async def test_only_the_header_counts(http: aiohttp.ClientSession, there: World) -> None:
    """A token in the query or in the body is not looked for (RFC 6750 section 5.3); the scheme has no case."""
    token = (await log_in(http))["access_token"]
    is_problem(await ask(http, "POST", f"{LOGOUT}?access_token={token}"), 401, "credentials_missing", challenge=NONE)
    is_problem(await form(http, LOGOUT, {"access_token": token}), 401, "credentials_missing", challenge=NONE)
    assert await there.ended_by(claims_of(token)["sid"]) is None
    answer = await ask(http, "POST", LOGOUT, headers={"Authorization": f"bEARER   {token}"})
    assert answer.status == 204


async def test_an_expired_token_ends_nothing(http: aiohttp.ClientSession, there: World, clock: Clock) -> None:
    """At exp and not one second later it is 401: what an old log holds is not good for anything."""
    token = (await log_in(http))["access_token"]
    clock.ahead = 301
    is_problem(
        await ask(http, "POST", LOGOUT, headers=bearer(token)),
        401,
        "token_expired",
        challenge=challenge("invalid_token", "the access token has expired"),
    )
    assert await there.ended_by(claims_of(token)["sid"]) is None


async def test_fifty_logouts_at_once_end_a_session_once(http: aiohttp.ClientSession, there: World) -> None:
    """All are 204, one of them did it, and there is one entry of it."""
    token = (await log_in(http))["access_token"]
    answers = await asyncio.gather(*(ask(http, "POST", LOGOUT, headers=bearer(token)) for _ in range(50)))
    assert {answer.status for answer in answers} == {204}
    assert len(await there.revocations(token)) == 1


async def test_a_logout_while_refreshes_run_leaves_nothing_good(http: aiohttp.ClientSession, there: World) -> None:
    """Whoever comes first: afterwards every refresh token that anybody was given is refused."""
    for _ in range(5):
        begun = await log_in(http)
        answers = await asyncio.gather(
            *(refresh(http, begun["refresh_token"]) for _ in range(5)),
            ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"])),
            *(refresh(http, begun["refresh_token"]) for _ in range(5)),
        )
        assert answers[5].status == 204
        assert {answer.status for answer in answers} <= {200, 204, 400}
        given = {begun["refresh_token"]} | {answer.json["refresh_token"] for answer in answers if answer.status == 200}
        for token in given:
            is_oauth_error(await refresh(http, token), 400, "invalid_grant")
        assert await there.ended_by(claims_of(begun["access_token"])["sid"]) == "logout"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_a_logout_is_a_post_and_of_no_other_origin(http: aiohttp.ClientSession, method: str) -> None:
    """405 with Allow; no preflight is answered, so that no page of another origin gets through."""
    async with http.request(method, LOGOUT, headers={"Origin": "https://evil.example"}) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_logs_and_figures_tell_of_a_logout_without_the_token(
    http: aiohttp.ClientSession, server: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who and which session, never the token; counted by what came of it."""
    begun = await log_in(http)
    await ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"]))
    await ask(http, "POST", LOGOUT, headers=bearer("x.y.z"))
    logged = "".join(capfd.readouterr())
    assert claims_of(begun["access_token"])["sid"] in logged
    assert begun["access_token"] not in logged
    assert begun["refresh_token"] not in logged
    async with http.get(f"{server.ops_url}/metrics") as response:
        figures = await response.text()
    assert 'auth_session_requests_total{kind="logout",outcome="ended"}' in figures
    assert 'auth_session_requests_total{kind="logout",outcome="token_invalid"}' in figures


async def test_a_token_of_a_session_that_nobody_knows_is_refused_for_the_account(
    http: aiohttp.ClientSession, there: World
) -> None:
    """As after a backup was restored: the database knows nothing of the session, and so nobody speaks for it."""
    token = await account_token(http)
    await there.execute("DELETE FROM grants WHERE id = $1", UUID(claims_of(token)["sid"]))
    answer = await ask(http, "GET", SESSIONS, headers=bearer(token))
    assert (answer.status, answer.json["code"]) == (401, "token_revoked")
    assert (await ask(http, "POST", LOGOUT, headers=bearer(token))).status == 204


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.05)


def kid_of(token: str) -> str:
    found: str = json.loads(b64url_decode(token.partition(".")[0]))["kid"]
    return found


async def test_tokens_of_a_retiring_key_are_ours_and_of_a_revoked_key_are_not(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """A key that signs no more is published as long as its tokens may live, and so they log out. One that was withdrawn
    in an emergency is nobody's: who has it may have made the token."""
    there = await world(await new_database(), tmp_path)
    environ = environment(there.dsn, tmp_path)
    policy = AuthServerSettings.from_environ(environ).policy
    server = AuthServer(environ)
    where = await asyncio.to_thread(server.__enter__)
    conn = await asyncpg.connect(there.dsn)
    try:
        async with aiohttp.ClientSession(where.url) as http:
            old, older = await log_in(http), await log_in(http)
            kid = kid_of(old["access_token"])

            async def changed(decide: Callable[[tuple[Key, ...]], Outcome], action: str) -> None:
                now = process_clock.now()
                outcome = await store.apply(conn, decide, actor="test", action=action, reason="a test", now=now)
                assert isinstance(outcome, Changed), outcome

            async def is_announced() -> bool:
                if await conn.fetchval("SELECT count(*) FROM signing_keys WHERE state = 'ready'"):
                    await changed(lambda keys: requests.announce(keys, None, now=process_clock.now()), "announce")
                return bool(await conn.fetchval("SELECT count(*) FROM signing_keys WHERE state = 'announced'"))

            async def another_signs() -> bool:
                return kid_of((await log_in(http))["access_token"]) != kid

            async def is_refused() -> bool:
                return (await ask(http, "POST", LOGOUT, headers=bearer(old["access_token"]))).status == 401

            await until(is_announced)
            await changed(
                lambda keys: requests.activate(keys, None, policy, now=process_clock.now(), force=True), "activate"
            )
            await until(another_signs)
            assert (await ask(http, "POST", LOGOUT, headers=bearer(old["access_token"]))).status == 204

            await changed(lambda keys: requests.revoke(keys, kid, policy, now=process_clock.now()), "revoke")
            await until(is_refused)
            is_problem(
                await ask(http, "POST", LOGOUT, headers=bearer(older["access_token"])),
                401,
                "token_invalid",
                challenge=challenge("invalid_token", "not an access token of this server"),
            )
            assert await there.ended_by(claims_of(older["access_token"])["sid"]) is None
            # The session itself goes on, with tokens of a good key.
            assert (await refresh(http, older["refresh_token"])).status == 200
    finally:
        await conn.close()
        await asyncio.to_thread(server.__exit__)
