"""The token endpoints as they run: every way in, every refusal, every kind of bad input."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from auth_server.accounts.passwords import PasswordHasher
from farseal.encoding import b64url_decode
from farseal.jwks import parse_jwks
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier
from tests.support.auth import (
    NOTES,
    PASSWORD,
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
    migrate,
    seed,
)
from tests.support.postgres import NewDatabase, run_apart

LOGIN, TOKEN = "/api/tokens", "/oauth2/token"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def people(database_url: str) -> dict[str, UUID]:
    async def prepare() -> dict[str, UUID]:
        await migrate(database_url)
        return await seed(database_url)

    return run_apart(prepare())


@pytest.fixture(scope="module")
def server(database_url: str, people: dict[str, UUID], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with AuthServer(environment(database_url, tmp_path_factory.mktemp("auth"))) as running:
        yield running


@pytest.fixture
async def http(server: Running):
    async with aiohttp.ClientSession(server.url) as session:
        yield session


class Answer:
    """A response, read to its end."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.type = response.content_type
        self.body = body

    @property
    def json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said

    def __repr__(self) -> str:
        return f"<{self.status} {self.type} {self.body[:300]!r}>"


async def post(http: aiohttp.ClientSession, path: str, **request: Any) -> Answer:
    async with http.post(path, **request) as response:
        answer = Answer(response, await response.read())
    # Said once for every answer of every test here.
    assert answer.headers["Cache-Control"] == "no-store"
    assert PASSWORD not in answer.body.decode("latin-1")
    assert SECRET not in answer.body.decode("latin-1")
    if answer.type == PROBLEM:
        said = answer.json
        assert said["status"] == answer.status
        assert {"type", "title", "code"} <= said.keys()
    return answer


def problem_of(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.type, answer.json["code"]) == (status, PROBLEM, code), answer


def oauth_error_of(answer: Answer, status: int, error: str) -> None:
    assert (answer.status, answer.type, answer.json["error"]) == (status, JSON, error), answer
    assert answer.json.keys() == {"error", "error_description"}
    assert set(answer.json["error_description"]) <= {chr(c) for c in range(0x20, 0x7F)} - {'"', "\\"}


def credentials(name: str = "alice", password: object = PASSWORD, **members: Any) -> dict[str, Any]:
    return {"username": name, "password": password, **members}


# --- what works --------------------------------------------------------------------------------------------------


async def test_a_login_gives_a_token_of_a_published_key(http: aiohttp.ClientSession, people: dict[str, UUID]) -> None:
    """One login, every permitted scope and audience; the signature is good under the JWKS of the same server."""
    answer = await post(http, LOGIN, json=credentials())
    assert (answer.status, answer.type) == (200, JSON)
    said = answer.json
    assert said.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (said["token_type"], said["expires_in"]) == ("Bearer", 300)
    claims = claims_of(said["access_token"])
    assert claims["sub"] == str(people["alice"])
    assert claims["aud"] == [NOTES, REPORTS]
    assert claims["scope"] == said["scope"] == f"{READ} {WRITE} {REPORT}"
    assert claims["roles"] == ["analyst"]
    assert claims["org_id"] == "acme"
    assert claims["exp"] - claims["iat"] == 300
    assert claims["auth_time"] == claims["iat"]
    assert claims["iss"] == "http://127.0.0.1:9000"
    assert claims["client_id"] == "login"

    async with http.get("/.well-known/jwks.json") as response:
        published = {key["kid"]: key for key in json.loads(await response.read())["keys"]}
    head, body, signature = said["access_token"].split(".")
    header = json.loads(b64url_decode(head))
    assert header == {"alg": "RS256", "kid": header["kid"], "typ": "at+jwt"}
    key = published[header["kid"]]
    numbers = (int.from_bytes(b64url_decode(key[member])) for member in ("e", "n"))
    rsa.RSAPublicNumbers(*numbers).public_key().verify(
        b64url_decode(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256()
    )


@pytest.mark.parametrize(
    ("asked", "audience", "scope"),
    [
        pytest.param({}, [NOTES, REPORTS], f"{READ} {WRITE} {REPORT}", id="everything"),
        pytest.param({"scope": READ}, NOTES, READ, id="one-scope"),
        pytest.param({"resource": [REPORTS]}, REPORTS, REPORT, id="one-resource"),
        pytest.param({"resource": [NOTES, REPORTS], "scope": f"{READ} {REPORT}"}, [NOTES, REPORTS], f"{READ} {REPORT}",
                     id="two-of-both"),
        pytest.param({"scope": None, "resource": []}, [NOTES, REPORTS], f"{READ} {WRITE} {REPORT}", id="nulls"),
        pytest.param({"scope": ""}, [NOTES, REPORTS], f"{READ} {WRITE} {REPORT}", id="empty-is-omitted"),
    ],
)  # fmt: skip
async def test_a_login_may_ask_for_less(
    http: aiohttp.ClientSession, asked: dict[str, Any], audience: str | list[str], scope: str
) -> None:
    """Scope and resource narrow the token (RFC 8707), by JSON and beside HTTP Basic alike."""
    for request in ({"json": credentials(**asked)}, {"json": asked, "headers": basic("alice", PASSWORD)}):
        answer = await post(http, LOGIN, **request)
        assert answer.status == 200, answer
        claims = claims_of(answer.json["access_token"])
        assert claims["scope"] == scope
        assert claims["aud"] == audience


async def test_basic_needs_no_body_and_takes_utf_8(http: aiohttp.ClientSession, people: dict[str, UUID]) -> None:
    """``curl -u zoë:... -X POST`` is enough (RFC 7617 section 2.1)."""
    answer = await post(http, LOGIN, headers=basic("zoë", PASSWORD))
    assert answer.status == 200
    assert claims_of(answer.json["access_token"])["sub"] == str(people["zoë"])


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        pytest.param(basic("batch", SECRET), {}, id="basic"),
        pytest.param(basic("batch", SECRET.replace("_", "%5F")), {}, id="basic-form-encoded"),
        pytest.param(basic("batch", SECRET), {"client_id": "batch"}, id="basic-and-its-own-id"),
        pytest.param({}, {"client_id": "batch", "client_secret": SECRET}, id="post"),
        pytest.param(basic("batch", SECRET), {"unknown": "x", "scope": ""}, id="unknown-and-empty-parameters"),
        pytest.param(basic("batch", SECRET), [("unknown", "x"), ("unknown", "y")], id="unknown-twice"),
    ],
)
async def test_a_client_gets_a_token_of_its_own(http: aiohttp.ClientSession, headers: Any, form: Any) -> None:
    """``sub`` is the client, no login happened, and its own lifetime holds (RFC 9068 section 2.2)."""
    fields = [("grant_type", "client_credentials"), *(form if isinstance(form, list) else form.items())]
    answer = await post(http, TOKEN, headers=headers, data=aiohttp.FormData(fields))
    assert (answer.status, answer.type) == (200, JSON), answer
    claims = claims_of(answer.json["access_token"])
    assert (claims["sub"], claims["client_id"]) == ("batch", "batch")
    assert answer.json["expires_in"] == claims["exp"] - claims["iat"] == 60
    assert not {"auth_time", "roles", "org_id"} & claims.keys()


async def test_resource_may_repeat(http: aiohttp.ClientSession) -> None:
    """RFC 8707 section 2: the one parameter that may be sent twice."""
    fields = [("grant_type", "client_credentials"), ("resource", NOTES), ("resource", REPORTS)]
    answer = await post(http, TOKEN, headers=basic("batch", SECRET), data=aiohttp.FormData(fields))
    assert claims_of(answer.json["access_token"])["aud"] == [NOTES, REPORTS]
    answer = await post(http, TOKEN, headers=basic("batch", SECRET), data=aiohttp.FormData(fields[:2]))
    assert claims_of(answer.json["access_token"])["aud"] == NOTES


# --- who is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "password"),
    [
        pytest.param("alice", "wrong", id="wrong-password"),
        pytest.param("nobody-here", PASSWORD, id="unknown-user"),
        pytest.param("carol", PASSWORD, id="disabled"),
        pytest.param("not a name!\t", PASSWORD, id="no-possible-name"),
        pytest.param("bob", "x" * 3000, id="no-possible-password"),
    ],
)
async def test_whatever_is_wrong_with_credentials_is_one_answer(
    http: aiohttp.ClientSession, name: str, password: str
) -> None:
    """Nobody learns who exists. The challenge comes only where Basic was tried: a browser would ask people again."""
    by_body = await post(http, LOGIN, json=credentials(name, password))
    problem_of(by_body, 401, "wrong_credentials")
    assert "WWW-Authenticate" not in by_body.headers
    expected = {"type": "urn:farseal:problem:wrong_credentials", "title": "Unauthorized", "status": 401}
    assert by_body.json == expected | {"code": "wrong_credentials", "detail": "username or password is wrong"}
    if "\t" not in name:
        by_basic = await post(http, LOGIN, headers=basic(name, password))
        assert by_basic.json == by_body.json
        assert by_basic.headers["WWW-Authenticate"] == 'Basic realm="farseal", charset="UTF-8"'


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        pytest.param({"scope": "notes:delete"}, 400, "invalid_scope", id="unknown-scope"),
        pytest.param({"scope": WRITE}, 400, "invalid_scope", id="scope-not-permitted"),
        pytest.param({"scope": f"{READ}  {READ}"}, 400, "invalid_scope", id="two-spaces"),
        pytest.param({"scope": f"{READ}\u00a0x"}, 400, "invalid_scope", id="nbsp"),
        pytest.param({"resource": ["http://127.0.0.1:1"]}, 400, "invalid_target", id="unknown-resource"),
        pytest.param({"resource": [REPORTS]}, 400, "invalid_target", id="resource-not-permitted"),
        pytest.param({"resource": ["notes"]}, 400, "invalid_target", id="not-a-uri"),
        pytest.param({"resource": [NOTES + "#x"]}, 400, "invalid_target", id="fragment"),
    ],
)
async def test_a_login_cannot_ask_for_more(
    http: aiohttp.ClientSession, asked: dict[str, Any], status: int, code: str
) -> None:
    """A grant is never wider than the permissions, and never silently narrower than asked."""
    problem_of(await post(http, LOGIN, json=credentials("bob", **asked)), status, code)


async def test_too_many_attempts_are_told_when_to_come_back(http: aiohttp.ClientSession) -> None:
    """429 with Retry-After in whole seconds; other accounts are not touched by it."""
    for _ in range(30):
        answer = await post(http, LOGIN, json=credentials("target", "guess"))
        if answer.status == 429:
            break
    problem_of(answer, 429, "too_many_attempts")
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert (await post(http, LOGIN, json=credentials("bob"))).status == 200


# --- malformed logins --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        pytest.param({"data": b""}, 415, "media_type_unsupported", id="nothing-at-all"),
        pytest.param({"json": {}}, 400, "credentials_missing", id="empty-object"),
        pytest.param({"json": {"username": "alice"}}, 400, "credentials_missing", id="no-password"),
        pytest.param({"json": {"password": "x"}}, 400, "credentials_missing", id="no-username"),
        pytest.param({"json": credentials(), "headers": basic("alice", PASSWORD)}, 400, "credentials_twice", id="both"),
        pytest.param({"json": {"password": "x"}, "headers": basic("alice", PASSWORD)}, 400, "credentials_twice",
                     id="half-in-the-body"),
        pytest.param({"json": credentials(extra=1)}, 400, "body_invalid", id="unknown-member"),
        pytest.param({"json": credentials(resource="x")}, 400, "body_invalid", id="resource-is-a-list"),
        pytest.param({"json": credentials(resource=["x"] * 33)}, 400, "body_invalid", id="too-many-resources"),
        pytest.param({"json": credentials(password=7)}, 400, "body_invalid", id="number-for-a-password"),
        pytest.param({"json": credentials("")}, 400, "body_invalid", id="empty-username"),
        pytest.param({"json": credentials("a" * 2000)}, 400, "body_invalid", id="long-username"),
        pytest.param({"json": credentials("al\x00ice")}, 400, "body_invalid", id="nul"),
        pytest.param({"json": [1]}, 400, "body_invalid", id="array"),
        pytest.param({"data": b"{", "headers": {"Content-Type": JSON}}, 400, "json_malformed", id="cut"),
        pytest.param({"data": b"", "headers": {"Content-Type": JSON}}, 400, "json_malformed", id="empty-json"),
        pytest.param({"data": b'{"username": "\xff"}', "headers": {"Content-Type": JSON}}, 400, "json_malformed",
                     id="not-utf-8"),
        pytest.param({"data": b'{"username":"a","username":"b"}', "headers": {"Content-Type": JSON}}, 400,
                     "json_malformed", id="repeated-member"),
        pytest.param({"data": b"[" * 5000, "headers": {"Content-Type": JSON}}, 400, "json_malformed", id="deep"),
        pytest.param({"data": b" " * 70_000, "headers": {"Content-Type": JSON}}, 413, "body_too_large", id="large"),
        pytest.param({"data": "username=alice", "headers": {"Content-Type": FORM}}, 415, "media_type_unsupported",
                     id="form"),
        pytest.param({"data": b"{}", "headers": {"Content-Type": f"{JSON}; charset=utf-16"}}, 415,
                     "charset_unsupported", id="utf-16"),
        pytest.param({"data": b"{}", "headers": {"Content-Type": JSON, "Content-Encoding": "gzip"}}, 415,
                     "content_coding_unsupported", id="gzip"),
        pytest.param({"headers": {"Authorization": "Basic ???"}}, 400, "credentials_malformed", id="basic-garbage"),
        pytest.param({"headers": {"Authorization": "Bearer x.y.z"}}, 401, "scheme_refused", id="bearer"),
        pytest.param({"headers": [("Authorization", basic("alice", PASSWORD)["Authorization"])] * 2}, 400,
                     "credentials_malformed", id="two-authorization-headers"),
        pytest.param({"headers": {"Authorization": "Basic " + "x" * 100_000}}, 431, "headers_too_large",
                     id="100-kB-authorization"),
    ],
)  # fmt: skip
async def test_a_malformed_login_is_told_what_is_wrong(
    http: aiohttp.ClientSession, request_: dict[str, Any], status: int, code: str
) -> None:
    """The kind of error, in one shape, and never a 500."""
    problem_of(await post(http, LOGIN, **request_), status, code)


async def test_credentials_in_the_query_are_never_read(http: aiohttp.ClientSession) -> None:
    """They would be in every log between here and there."""
    answer = await post(http, f"{LOGIN}?username=alice&password={PASSWORD.replace(' ', '%20')}", json={})
    problem_of(answer, 400, "credentials_missing")
    query = f"?grant_type=client_credentials&client_id=batch&client_secret={SECRET}"
    oauth_error_of(await post(http, TOKEN + query, data={"x": "y"}), 400, "invalid_request")
    answer = await post(http, TOKEN + query, data={"grant_type": "client_credentials"})
    oauth_error_of(answer, 401, "invalid_client")


# --- malformed token requests ------------------------------------------------------------------------------------

GRANT = {"grant_type": "client_credentials"}
AUTH = basic("batch", SECRET)


def form(body: str | bytes, **headers: str) -> dict[str, Any]:
    return {"data": body, "headers": AUTH | {"Content-Type": FORM} | headers}


@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [
        pytest.param(form(""), 400, "invalid_request", id="empty"),
        pytest.param(form("grant_type="), 400, "invalid_request", id="grant-type-without-value"),
        pytest.param(form("grant_type=password&username=a&password=b"), 400, "unsupported_grant_type", id="password"),
        pytest.param(form("grant_type=authorization_code"), 400, "unsupported_grant_type", id="code"),
        pytest.param(form("grant_type=a&grant_type=a"), 400, "invalid_request", id="grant-type-twice"),
        pytest.param(form("grant_type=client_credentials&client_id=a&client_id=a"), 400, "invalid_request",
                     id="id-twice"),
        pytest.param(form("grant_type=client_credentials&client_secret=a&client_secret=a"), 400, "invalid_request",
                     id="secret-twice"),
        pytest.param(form("grant_type=client_credentials&scope=a&scope=b"), 400, "invalid_request", id="scope-twice"),
        pytest.param(form("grant_type=client_credentials&scope=&scope="), 400, "invalid_request", id="empty-twice"),
        pytest.param(form("grant_type=client_credentials&scope=%FF"), 400, "invalid_request", id="not-utf-8"),
        pytest.param(form("grant_type=client_credentials&scope=%00"), 400, "invalid_request", id="nul"),
        pytest.param(form("grant_type=client_credentials&scope=%zz"), 400, "invalid_request", id="stray-percent"),
        pytest.param(form("&".join(f"f{i}=x" for i in range(200))), 400, "invalid_request", id="200-fields"),
        pytest.param(form("grant_type=client_credentials&scope=notes:write"), 400, "invalid_scope", id="scope"),
        pytest.param(form("grant_type=client_credentials&scope=a%22%5Cb%0A"), 400, "invalid_scope", id="scope-chars"),
        pytest.param(form("grant_type=client_credentials&resource=http://x"), 400, "invalid_target", id="target"),
        pytest.param(form(b"x" * 70_000), 413, "invalid_request", id="large"),
        pytest.param(form("{}", **{"Content-Type": JSON}), 415, "invalid_request", id="json"),
        pytest.param({"headers": AUTH}, 415, "invalid_request", id="no-body"),
        pytest.param({"data": GRANT}, 401, "invalid_client", id="no-authentication"),
        pytest.param({"data": GRANT | {"client_id": "batch"}}, 401, "invalid_client", id="id-alone"),
        pytest.param({"data": GRANT | {"client_secret": SECRET}}, 401, "invalid_client", id="secret-alone"),
        pytest.param({"data": GRANT | {"client_id": "batch", "client_secret": "wrong"}}, 401, "invalid_client",
                     id="wrong-secret"),
        pytest.param({"data": GRANT | {"client_id": "login", "client_secret": SECRET}}, 401, "invalid_client",
                     id="client-without-secret"),
        pytest.param({"data": GRANT | {"client_id": "batch", "client_secret": SECRET}, "headers": AUTH}, 400,
                     "invalid_request", id="two-methods"),
        pytest.param({"data": GRANT | {"client_id": "other"}, "headers": AUTH}, 400, "invalid_request",
                     id="two-clients"),
        pytest.param({"data": GRANT, "headers": {"Authorization": "Basic ???"}}, 400, "invalid_request", id="garbage"),
        pytest.param({"data": GRANT, "headers": basic("batch", "%zz")}, 400, "invalid_request", id="bad-escape"),
        pytest.param({"data": GRANT, "headers": basic("nobody", SECRET)}, 400, "invalid_target", id="no-permissions"),
    ],
)  # fmt: skip
async def test_a_malformed_token_request_gets_the_error_of_rfc_6749(
    http: aiohttp.ClientSession, request_: dict[str, Any], status: int, error: str
) -> None:
    """Section 5.2: its JSON form, whatever goes wrong, at whatever layer."""
    oauth_error_of(await post(http, TOKEN, **request_), status, error)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(basic("batch", "wrong"), id="wrong-secret"),
        pytest.param(basic("unknown", SECRET), id="unknown-client"),
        pytest.param(basic("Not A Client", SECRET), id="no-possible-id"),
        pytest.param({"Authorization": "Bearer x"}, id="another-scheme"),
    ],
)
async def test_a_client_that_tried_basic_is_challenged(http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    """RFC 6749 section 5.2: 401 with the scheme that was tried, or that is spoken here."""
    answer = await post(http, TOKEN, headers=headers, data=GRANT)
    oauth_error_of(answer, 401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_without_basic_there_is_no_challenge(http: aiohttp.ClientSession) -> None:
    """Nothing that would make a browser ask its user."""
    answer = await post(http, TOKEN, data=GRANT | {"client_id": "batch", "client_secret": "wrong"})
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("path", [LOGIN, TOKEN])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_tokens_are_asked_for_by_post_only(http: aiohttp.ClientSession, path: str, method: str) -> None:
    """RFC 6749 section 3.2: 405 with Allow."""
    async with http.request(method, path) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"


async def raw(server: Running, request: bytes) -> bytes:
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"POST /api/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Basic a\x01b\r\n\r\n", id="control-byte"),
        pytest.param(b"POST /api/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Ba\x00sic\r\n\r\n", id="nul"),
        pytest.param(b"POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="length"),
        pytest.param(b"POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
                     id="two-lengths"),
        pytest.param(b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                     b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\nzz\r\n", id="chunk"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="tls"),
    ],
)  # fmt: skip
async def test_bytes_that_are_no_request_are_refused(server: Running, request_: bytes) -> None:
    """400 and a closed connection; what was sent is not sent back."""
    answer = await raw(server, request_)
    assert answer.split(b" ", 2)[1] == b"400", answer


async def test_the_logs_of_all_this_hold_no_secret(
    http: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither password nor secret nor token, of good and of bad requests."""
    good = await post(http, LOGIN, json=credentials())
    await post(http, LOGIN, headers=basic("alice", "a-very-wrong-password"))
    await post(http, TOKEN, data=GRANT | {"client_id": "batch", "client_secret": "a-very-wrong-password"})
    await post(http, LOGIN, data=b'{"password": "a-very-wrong-password', headers={"Content-Type": JSON})
    logged = "".join(capfd.readouterr())
    assert "token issued" in logged
    for secret in ("a-very-wrong-password", PASSWORD, good.json["access_token"], basic("alice", "")["Authorization"]):
        assert secret not in logged


async def test_a_body_that_never_ends_does_not_hold_others_up(http: aiohttp.ClientSession, server: Running) -> None:
    """A slow sender keeps a connection and nothing else."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    await writer.drain()
    assert (await post(http, LOGIN, json=credentials("bob"))).status == 200
    writer.transport.abort()


async def test_the_openapi_description_is_served(http: aiohttp.ClientSession) -> None:
    """Whoever finds the server finds how to speak to it."""
    async with http.get("/openapi.yaml") as response:
        assert (response.status, response.content_type) == (200, "application/yaml")


# --- what a full server says -------------------------------------------------------------------------------------


async def test_too_many_logins_at_once_are_told_to_come_back(new_database: NewDatabase, tmp_path: Path) -> None:
    """The gate before the password hasher: 503 with Retry-After, never a queue without end; those within get theirs."""

    dsn = await new_database()
    await migrate(dsn)
    await seed(dsn)

    def narrow() -> PasswordHasher:
        return PasswordHasher(workers=1, waiting=0, memory_kib=64 * 1024, time_cost=6)

    server = AuthServer(environment(dsn, tmp_path), hasher=narrow)
    where = await asyncio.to_thread(server.__enter__)
    try:
        async with aiohttp.ClientSession(where.url) as http:
            # Nobody's password is hashed at full cost; bob's own hash is a cheap one.
            guesses = (post(http, LOGIN, json=credentials(f"nobody{number}", "guess")) for number in range(4))
            answers = await asyncio.gather(*guesses)
    finally:
        await asyncio.to_thread(server.__exit__)
    assert {answer.status for answer in answers} == {401, 503}
    for answer in answers:
        if answer.status == 503:
            problem_of(answer, 503, "overloaded")
            assert int(answer.headers["Retry-After"]) >= 1


async def test_verifiers_accept_what_is_issued(http: aiohttp.ClientSession, people: dict[str, UUID]) -> None:
    """The library that resource servers use takes the token with the published keys, and reads the same out of it."""
    token = (await post(http, LOGIN, json=credentials())).json["access_token"]
    async with http.get("/.well-known/jwks.json") as response:
        published = parse_jwks(await response.read())
    moment = int(claims_of(token)["iat"])
    trust = IssuerTrust("http://127.0.0.1:9000", published.keys, moment, AgeLimits(900, 86400), ())
    snapshot = TrustSnapshot().with_issuer(trust)
    for audience in (NOTES, REPORTS):
        verifier = Verifier(Expectations(audience, frozenset({"http://127.0.0.1:9000"}), status=StatusPolicy.OFF))
        claims = verifier.verify(token, snapshot, now=moment)
        assert claims.subject == str(people["alice"])
        assert claims.scopes == {READ, WRITE, REPORT}
        assert claims.roles == {"analyst"}
        assert claims.extra["org_id"] == "acme"
