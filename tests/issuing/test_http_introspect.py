"""``POST /oauth2/introspect`` as it runs (RFC 7662): who may know is told the truth of this moment, others nothing."""

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

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
from tests.support.postgres import run_apart
from tests.support.session_server import (
    BASIC_CHALLENGE,
    BATCH,
    INTROSPECT,
    ISSUER,
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

WEB, INSPECTOR = basic("web", SECRET), basic("inspector", SECRET)


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


async def introspect(http: aiohttp.ClientSession, token: str, *, by: Any = INSPECTOR, **more: str) -> Answer:
    return await form(http, INTROSPECT, {"token": token} | more, headers=by)


def is_inactive(answer: Answer) -> None:
    """All that is said of what the caller may not know of (section 2.2): byte for byte the same."""
    assert (answer.status, answer.type, answer.body) == (200, "application/json", b'{"active":false}'), answer


async def client_token(http: aiohttp.ClientSession, **asked: str) -> str:
    answer = await form(http, TOKEN, {"grant_type": "client_credentials"} | asked, headers=BATCH)
    token: str = answer.json["access_token"]
    return token


async def test_an_access_token_is_told_as_it_is(http: aiohttp.ClientSession, there: World) -> None:
    """The members of section 2.2 that the token itself has, and no attribute of the person."""
    token = (await log_in(http, resource=[NOTES]))["access_token"]
    claims = claims_of(token)
    answer = await introspect(http, token)
    assert (answer.status, answer.type) == (200, "application/json")
    assert answer.json == {
        "active": True, "scope": f"{READ} {WRITE}", "client_id": "login", "token_type": "Bearer",
        "exp": claims["exp"], "iat": claims["iat"], "sub": str(there.people["alice"]), "aud": NOTES, "iss": ISSUER,
        "jti": claims["jti"], "sid": claims["sid"],
    }  # fmt: skip


async def test_without_scopes_there_is_no_scope(http: aiohttp.ClientSession, there: World) -> None:
    """A member that says nothing is left out."""
    await there.execute("DELETE FROM client_scopes WHERE client_id = 'batch' AND audience = $1", REPORTS)
    token = await client_token(http, resource=REPORTS)
    said = (await introspect(http, token, by=BATCH)).json
    await there.execute("INSERT INTO client_scopes VALUES ('batch', $1, $2)", REPORTS, REPORT)
    assert said["active"] is True
    assert "scope" not in said


@pytest.mark.parametrize(
    ("asked", "by", "active"),
    [
        pytest.param({"resource": [NOTES]}, INSPECTOR, True, id="for-its-resource"),
        pytest.param({"resource": [NOTES, REPORTS]}, INSPECTOR, True, id="for-its-resource-and-another"),
        pytest.param({"resource": [REPORTS]}, INSPECTOR, False, id="for-another-resource"),
        pytest.param({"resource": [ISSUER]}, INSPECTOR, False, id="for-the-account"),
        pytest.param({"resource": [NOTES]}, WEB, False, id="by-another-client"),
        pytest.param({"resource": [NOTES]}, BATCH, False, id="by-one-who-only-has-scopes-there"),
    ],
)
async def test_a_client_knows_tokens_for_resources_that_name_it(
    http: aiohttp.ClientSession, asked: dict[str, Any], by: dict[str, str], active: bool
) -> None:
    """The resource says who may introspect for it; a scope there, or a token in hand, does not."""
    answer = await introspect(http, (await log_in(http, **asked))["access_token"], by=by)
    if active:
        assert answer.json["active"] is True
    else:
        is_inactive(answer)


async def test_a_client_knows_its_own_tokens(http: aiohttp.ClientSession) -> None:
    """Whatever they are for; nobody else does but who may introspect for that."""
    token = await client_token(http, resource=REPORTS)
    said = (await introspect(http, token, by=BATCH)).json
    assert (said["active"], said["sub"], said["client_id"], said["aud"]) == (True, "batch", "batch", REPORTS)
    is_inactive(await introspect(http, token, by=WEB))
    is_inactive(await introspect(http, token, by=INSPECTOR))


async def test_a_refresh_token_is_known_to_its_client_alone(http: aiohttp.ClientSession, there: World) -> None:
    """What the session has and until when; no token_type, which is of access tokens (RFC 6749 section 7.1)."""
    session, token = await there.open("web", audience=[NOTES, REPORTS], scopes=[READ, REPORT])
    said = (await introspect(http, token, by=WEB)).json
    until = said.pop("exp")
    created = await there.value("SELECT created_at FROM grants WHERE id = $1", session)
    assert until == int(created.timestamp()) + 86400
    assert said == {
        "active": True, "scope": f"{READ} {REPORT}", "client_id": "web", "sub": str(there.people["alice"]),
        "aud": [NOTES, REPORTS], "iss": ISSUER, "sid": str(session),
    }  # fmt: skip
    is_inactive(await introspect(http, token, by=INSPECTOR))
    is_inactive(await introspect(http, (await log_in(http))["refresh_token"], by=WEB))


async def test_a_refresh_token_that_was_used_is_not_active(http: aiohttp.ClientSession, there: World) -> None:
    """Although it leads to its successor for a while; asking uses nothing up."""
    session, token = await there.open("web")
    for _ in range(3):
        assert (await introspect(http, token, by=WEB)).json["active"] is True
    fresh = (await refresh(http, token, headers=WEB)).json["refresh_token"]
    is_inactive(await introspect(http, token, by=WEB))
    assert (await introspect(http, fresh, by=WEB)).json["active"] is True
    assert await there.ended_by(str(session)) is None


async def test_a_refresh_token_that_its_client_may_not_use_is_not_active(
    http: aiohttp.ClientSession, there: World
) -> None:
    """The client's policy of this moment counts."""
    _, token = await there.open("web")
    await there.execute("UPDATE clients SET refresh_policy = 'none' WHERE id = 'web'")
    answer = await introspect(http, token, by=WEB)
    await there.execute("UPDATE clients SET refresh_policy = 'rotate' WHERE id = 'web'")
    is_inactive(answer)


@pytest.mark.parametrize("by", ["logout", "revoke"])
async def test_what_has_been_ended_is_inactive_at_once(http: aiohttp.ClientSession, by: str) -> None:
    """From the database, in the next request: no list has to be published for that."""
    begun = await log_in(http, resource=[NOTES])
    assert (await introspect(http, begun["access_token"])).json["active"] is True
    if by == "logout":
        await ask(http, "POST", LOGOUT, headers=bearer(begun["access_token"]))
    else:
        await form(http, REVOKE, PUBLIC | {"token": begun["refresh_token"]})
    is_inactive(await introspect(http, begun["access_token"]))


async def test_a_token_is_inactive_from_its_exp_on(http: aiohttp.ClientSession, there: World, clock: Clock) -> None:
    """An access token at its exp, a refresh token at the deadline of its session."""
    _, mine = await there.open("web")
    token = (await log_in(http, resource=[NOTES]))["access_token"]
    clock.ahead = 290
    assert (await introspect(http, token)).json["active"] is True
    clock.ahead = 300
    is_inactive(await introspect(http, token))
    clock.ahead = 86380
    assert (await introspect(http, mine, by=WEB)).json["active"] is True
    clock.ahead = 86400
    is_inactive(await introspect(http, mine, by=WEB))


async def test_a_session_that_nobody_knows_is_inactive(http: aiohttp.ClientSession, there: World) -> None:
    """As after a backup was restored: a good signature is not enough."""
    token = (await log_in(http, resource=[NOTES]))["access_token"]
    await there.execute("DELETE FROM grants WHERE id = $1::text::uuid", claims_of(token)["sid"])
    is_inactive(await introspect(http, token))


@pytest.mark.parametrize("by", [BATCH, WEB, INSPECTOR], ids=["batch", "web", "inspector"])
async def test_what_is_no_token_is_inactive(http: aiohttp.ClientSession, by: dict[str, str]) -> None:
    """Garbage, cut, altered, of another kind: 200 and one answer, never an error."""
    good = (await log_in(http, resource=[NOTES]))["access_token"]
    for token in ("x", "x.y.z", "..", "fsr_", "fsr_" + "A" * 76, good[:-1], good + "=", good + ".x", " " + good, "é",
                  good.rpartition(".")[0] + ".", "A" * 60_000):  # fmt: skip
        is_inactive(await introspect(http, token, by=by))


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "pct", ""])
async def test_a_hint_changes_nothing(http: aiohttp.ClientSession, hint: str) -> None:
    """A wrong one widens the search (section 2.1)."""
    token = (await log_in(http, resource=[NOTES]))["access_token"]
    assert (await introspect(http, token, token_type_hint=hint)).json["active"] is True


@pytest.mark.parametrize(
    ("fields", "headers", "error", "challenge"),
    [
        pytest.param({}, INSPECTOR, "invalid_request", None, id="no-token"),
        pytest.param([("token", "a"), ("token", "a")], INSPECTOR, "invalid_request", None, id="token-twice"),
        pytest.param([("token", "a"), ("token_type_hint", "a"), ("token_type_hint", "a")], INSPECTOR,
                     "invalid_request", None, id="hint-twice"),
        pytest.param({"token": "a", "client_id": "inspector", "client_secret": SECRET}, INSPECTOR,
                     "invalid_request", None, id="two-ways"),
        pytest.param({"token": "a"}, None, "invalid_client", None, id="nobody"),
        pytest.param({"token": "a", "client_id": "login"}, None, "invalid_client", None, id="public-client"),
        pytest.param({"token": "a", "client_id": "kiosk"}, None, "invalid_client", None, id="another-public-one"),
        pytest.param({"token": "a", "client_id": "inspector"}, None, "invalid_client", None, id="id-alone"),
        pytest.param({"token": "a", "client_id": "inspector", "client_secret": "x"}, None, "invalid_client", None,
                     id="wrong-secret"),
        pytest.param({"token": "a"}, basic("inspector", "x"), "invalid_client", BASIC_CHALLENGE,
                     id="basic-wrong-secret"),
        pytest.param({"token": "a"}, basic("stranger", SECRET), "invalid_client", BASIC_CHALLENGE, id="unknown"),
        pytest.param({"token": "a"}, basic("login", ""), "invalid_client", BASIC_CHALLENGE,
                     id="basic-public-client"),
    ],
)  # fmt: skip
async def test_only_clients_with_a_secret_may_ask(
    http: aiohttp.ClientSession, fields: Any, headers: Any, error: str, challenge: str | None
) -> None:
    """An endpoint that anybody may ask would be one to try tokens at (section 2.1, section 4)."""
    is_oauth_error(await form(http, INTROSPECT, fields, headers=headers), STATUS[error], error, challenge=challenge)


async def test_a_token_to_introspect_is_no_credential(http: aiohttp.ClientSession) -> None:
    """An access token in the Authorization header lets nobody ask; the query is never read."""
    token = (await log_in(http, resource=[NOTES]))["access_token"]
    answer = await form(http, INTROSPECT, {"token": token}, headers=bearer(token))
    is_oauth_error(answer, 401, "invalid_client", challenge=BASIC_CHALLENGE)
    answer = await form(http, f"{INTROSPECT}?token={token}", {"x": "y"}, headers=INSPECTOR)
    is_oauth_error(answer, 400, "invalid_request")


async def test_nothing_secret_is_logged(
    http: aiohttp.ClientSession, server: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who asked and what came of it; counted apart."""
    begun = await log_in(http, resource=[NOTES])
    await introspect(http, begun["access_token"])
    await introspect(http, begun["refresh_token"])
    logged = "".join(capfd.readouterr())
    assert "inspector" in logged
    assert begun["access_token"] not in logged
    assert begun["refresh_token"] not in logged
    async with http.get(f"{server.ops_url}/metrics") as response:
        figures = await response.text()
    assert 'auth_session_requests_total{kind="introspect",outcome="active"}' in figures
    assert 'auth_session_requests_total{kind="introspect",outcome="inactive"}' in figures
