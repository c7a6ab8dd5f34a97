"""The aiohttp layer over real sockets: what passes, what is refused, and with which words."""

import asyncio
import functools
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from farseal.access import AccessRulesError, UnreachableRuleError, parse_rules
from farseal.environment import SettingsError
from farseal.errors import ScopeInsufficientError, TrustUnavailableError
from farseal.problems import problem
from farseal.service import requests
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.sources import SourceStatus
from farseal.trust import TrustSnapshot
from farseal.web import access_rules, principal, requires, setup, trust_source, verification_counts
from tests.support.protected import NOW, anything, bearer, challenge_of, notes_app, read_notes, settings_for
from tests.support.tokens import ISSUER, NOTES, Issuer

METADATA = f"{NOTES}/.well-known/oauth-protected-resource"


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(NOW)


@pytest.fixture
def directory(tmp_path: Path, issuer: Issuer) -> Path:
    published = issuer.publish(tmp_path / "trust")
    os.utime(published / "jwks.json", (NOW, NOW))
    return published


@pytest.fixture
def settings(directory):
    return settings_for(directory)


async def test_three_lines_protect_an_application(aiohttp_client, settings, issuer) -> None:
    """A good token reaches the handler, which learns who asked from the token alone."""
    client = await aiohttp_client(notes_app(settings))
    answer = await client.get("/notes", headers=bearer(issuer.mint()))
    assert answer.status == 200
    assert await answer.json() == {"id": issuer.claims()["sub"], "org": "acme", "same": True}


REFUSALS = [
    pytest.param({}, 401, "credentials_missing", None, id="none"),
    pytest.param({"Authorization": "Basic dTpw"}, 401, "credentials_missing", None, id="another-scheme"),
    pytest.param({"Authorization": "Bearer a b"}, 400, "credentials_malformed", "invalid_request", id="two-tokens"),
    pytest.param({"Authorization": "Bearer abc"}, 401, "token_malformed", "invalid_token", id="malformed"),
    pytest.param({"exp": NOW - 31}, 401, "token_expired", "invalid_token", id="expired"),
    pytest.param({"aud": "https://other.example"}, 401, "audience_mismatch", "invalid_token", id="audience"),
    pytest.param({"iss": "https://evil.example"}, 401, "issuer_unknown", "invalid_token", id="issuer"),
    pytest.param({"scope": "notes:write"}, 403, "scope_insufficient", "insufficient_scope", id="scope"),
]


@pytest.mark.parametrize(("given", "status", "code", "error"), REFUSALS)
async def test_each_refusal_is_told_in_rfc_6750_and_rfc_9457(
    *, aiohttp_client, settings, issuer, given, status, code, error
) -> None:
    """Status, challenge and body agree, and the refusal is counted under its code."""
    app = notes_app(settings)
    client = await aiohttp_client(app)
    headers = given if not given or "Authorization" in given else bearer(issuer.mint(**given))
    answer = await client.get("/notes", headers=headers)
    body = await answer.json()
    assert answer.status == status == body["status"]
    assert answer.content_type == "application/problem+json"
    assert body["code"] == code
    told = challenge_of(answer.headers)
    assert told["realm"] == "farseal"
    assert told["resource_metadata"] == METADATA
    assert told.get("error") == error
    assert told.get("scope") == ("notes:read" if code == "scope_insufficient" else None)
    assert dict(verification_counts(app)) == {code: 1}


async def test_two_authorization_headers_are_an_invalid_request(aiohttp_server, settings, issuer) -> None:
    """Even when both hold the same good token."""
    server = await aiohttp_server(notes_app(settings))
    twice = [("Authorization", f"Bearer {issuer.mint()}")] * 2
    async with ClientSession() as session, session.get(server.make_url("/notes"), headers=twice) as answer:
        assert answer.status == 400
        assert challenge_of(answer.headers)["error"] == "invalid_request"


async def test_a_token_elsewhere_than_in_the_header_is_not_seen(aiohttp_client, settings, issuer) -> None:
    """Query string and form body are not looked at (RFC 9700 section 4.3.2)."""
    client = await aiohttp_client(notes_app(settings))
    answer = await client.get("/notes", params={"access_token": issuer.mint()})
    assert (answer.status, challenge_of(answer.headers).get("error")) == (401, None)
    answer = await client.delete("/notes/1", data={"access_token": issuer.mint()})
    assert answer.status == 401


async def test_no_token_reaches_a_log_or_an_error(aiohttp_client, settings, issuer, caplog) -> None:
    """Neither whole nor in parts, at any level."""
    client = await aiohttp_client(notes_app(settings))
    token = issuer.mint(aud="https://other.example")
    with caplog.at_level(logging.DEBUG):
        answer = await client.get("/notes", headers=bearer(token))
        text = await answer.text() + str(answer.headers) + caplog.text
    assert "audience_mismatch" in caplog.text
    for part in token.split("."):
        assert part not in text


RULES = """\
GET     /notes/public   public
GET     /notes/*        scope:notes:read
*       /any/admin/**   role:admin scope:notes:write
POST    /any/**         authenticated
"""


@pytest.mark.parametrize(
    ("method", "path", "claims", "status"),
    [
        pytest.param("GET", "/notes/public", None, 200, id="public-needs-nothing"),
        pytest.param("HEAD", "/notes/public", None, 200, id="public-head"),
        pytest.param("GET", "/notes/1", None, 401, id="scope-anonymous"),
        pytest.param("GET", "/notes/1", {}, 200, id="scope"),
        pytest.param("GET", "/notes/1", {"scope": None}, 403, id="scope-missing"),
        pytest.param("GET", "/notes/1?a=b", {}, 200, id="query-does-not-matter"),
        pytest.param("GET", "/notes/caf%C3%A9%20a", {}, 200, id="escapes-are-decoded"),
        pytest.param("GET", "/%6Eotes/1", {"scope": None}, 403, id="an-escaped-letter-is-the-letter"),
        pytest.param("GET", "/any/admin/x", {}, 403, id="role-missing"),
        pytest.param("GET", "/any/admin/x", {"roles": ["admin"]}, 200, id="role-and-scope"),
        pytest.param("GET", "/any/admin/x", {"roles": ["admin"], "scope": "a"}, 403, id="role-without-scope"),
        pytest.param("POST", "/any/x", {"scope": None}, 200, id="authenticated"),
        pytest.param("POST", "/any/x", None, 401, id="authenticated-anonymous"),
        pytest.param("PUT", "/any/x", {}, 403, id="no-rule-denies"),
        pytest.param("PUT", "/any/x", None, 401, id="no-rule-anonymous"),
        pytest.param("OPTIONS", "/any/x", None, 401, id="preflight-is-a-request-like-others"),
        pytest.param("DELETE", "/notes/1", {}, 403, id="another-method-has-no-rule"),
        pytest.param("PATCH", "/notes/1", {}, 405, id="no-such-method"),
        pytest.param("PATCH", "/notes/1", None, 401, id="no-such-method-anonymous"),
        pytest.param("GET", "/nowhere", {}, 404, id="no-such-path"),
        pytest.param("GET", "/nowhere", None, 401, id="no-such-path-anonymous"),
        pytest.param("GET", "/nowhere", {"exp": NOW - 99}, 401, id="no-such-path-expired"),
        pytest.param("POST", "/any/admin%2Fx", {}, 400, id="encoded-slash"),
        pytest.param("POST", "/any/%2e%2e/x", {}, 400, id="dot-segment"),
        pytest.param("POST", "/any/x%5Cy", {}, 400, id="backslash"),
        pytest.param("POST", "/any/%00", {}, 400, id="nul"),
        pytest.param("POST", "/any/%ff", {}, 400, id="not-utf-8"),
    ],
)
async def test_rules_decide_over_methods_and_paths(
    *, aiohttp_server, settings, issuer, method, path, claims, status
) -> None:
    """First match wins, no match denies, and only those with a good token learn what exists."""
    server = await aiohttp_server(notes_app(settings, rules=RULES))
    target = URL(str(server.make_url("/")).rstrip("/") + path, encoded=True)
    headers = {} if claims is None else bearer(issuer.mint(**claims))
    async with ClientSession() as session, session.request(method, target, headers=headers) as answer:
        assert answer.status == status
        if status == 400:
            assert (await answer.json(content_type=None))["code"] == "path_refused"


async def raw(port: int, target: bytes, *headers: bytes) -> int:
    """Send a request line that no client library would, and give the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b"")))
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param(b"/notes/../notes/public", 400, id="dot-segment"),
        pytest.param(b"/notes/./public", 400, id="single-dot"),
        pytest.param(b"/notes\\public", 400, id="backslash"),
        pytest.param(b"/notes/\xff", 400, id="raw-byte"),
        pytest.param(b"/notes//public", 401, id="doubled-slash-is-no-rule"),
        pytest.param(b"http://x/notes/public", 200, id="absolute-form"),
        pytest.param(b"http://x/notes/1", 401, id="absolute-form-is-not-a-way-around"),
        pytest.param(b"//notes/public", 401, id="doubled-slash-at-the-beginning"),
        pytest.param(b"//x/notes/public", 401, id="no-host-in-an-origin-form"),
        pytest.param(b"/notes/public", 200, id="plain"),
        pytest.param(b"/notes/public;v=1", 401, id="parameters-are-part-of-the-name"),
    ],
)
async def test_targets_that_only_a_socket_can_send(aiohttp_server, settings, target, status) -> None:
    """Whatever the request line says, the path that is judged is the path that is routed."""
    server = await aiohttp_server(notes_app(settings, rules=RULES))
    assert await raw(server.port, target) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([b"Authorization: Bearer \xff\xfe"], 400, id="not-ascii"),
        pytest.param([b"Authorization: Bearer a\x01b"], 400, id="control-byte"),
        pytest.param([b"Authorization: Bearer"], 400, id="no-token"),
        pytest.param([b"Authorization:"], 401, id="empty"),
        pytest.param([b"Authorization: \xff"], 401, id="no-scheme"),
        pytest.param([b"Authorization: Bearer a", b"authorization: Bearer a"], 400, id="two"),
        pytest.param([b"Authorization: Bearer a,b"], 400, id="joined"),
        pytest.param([b"X: y", b"Proxy-Authorization: Bearer a"], 401, id="another-header"),
    ],
)
async def test_headers_that_only_a_socket_can_send(aiohttp_server, settings, headers, status) -> None:
    """Bytes of any kind end in a refusal of the right kind, never in a server error."""
    server = await aiohttp_server(notes_app(settings))
    assert await raw(server.port, b"/notes", *headers) == status


async def test_a_header_of_100_kilobytes_is_no_server_error(aiohttp_server, settings) -> None:
    """aiohttp refuses it before anything of ours is asked."""
    server = await aiohttp_server(notes_app(settings))
    assert await raw(server.port, b"/notes", b"Authorization: Bearer " + b"a" * 100_000) in {400, 431}


# What a handler requires ---------------------------------------------------------------------------------------------


class Notes(web.View):
    """A view whose methods require different things."""

    @requires("notes:read")
    async def get(self) -> web.Response:
        return web.json_response({"id": principal(self.request).id})

    @requires("notes:write", role="editor")
    @requires("notes:read")
    async def post(self) -> web.Response:
        return web.json_response({})

    async def put(self) -> web.Response:
        return web.json_response({})


@pytest.mark.parametrize(
    ("method", "claims", "status"),
    [
        pytest.param("GET", {"scope": "notes:read"}, 200, id="get"),
        pytest.param("GET", {"scope": "other"}, 403, id="get-without-scope"),
        pytest.param("POST", {"scope": "notes:read notes:write", "roles": ["editor"]}, 200, id="both-and-role"),
        pytest.param("POST", {"scope": "notes:write", "roles": ["editor"]}, 403, id="requirements-add-up"),
        pytest.param("POST", {"scope": "notes:read notes:write"}, 403, id="role-too"),
        pytest.param("PUT", {}, 403, id="a-method-without-requirement-is-denied"),
        pytest.param("DELETE", {}, 403, id="a-method-that-is-not-there-is-denied"),
    ],
)
async def test_the_methods_of_a_view_require_each_their_own(
    *, aiohttp_client, settings, issuer, method, claims, status
) -> None:
    """A class-based view is read method by method."""
    app = web.Application()
    app.router.add_view("/v", Notes)
    setup(app, settings, clock=lambda: NOW)
    client = await aiohttp_client(app)
    answer = await client.request(method, "/v", headers=bearer(issuer.mint(**claims)))
    assert answer.status == status


async def test_an_explicit_rule_and_the_handler_must_both_hold(aiohttp_client, settings, issuer) -> None:
    """Neither the file nor the code can weaken the other; a wider public rule does not open a handler."""
    app = web.Application()
    app.router.add_get("/r/{x}", read_notes)
    setup(app, settings, rules="GET /r/open public\nGET /r/* role:admin", clock=lambda: NOW)
    client = await aiohttp_client(app)
    for path, claims, status in (
        ("/r/1", {"roles": ["admin"]}, 200),
        ("/r/1", {}, 403),
        ("/r/1", {"roles": ["admin"], "scope": "x"}, 403),
        ("/r/open", {}, 200),
        ("/r/open", {"scope": "x"}, 403),
    ):
        answer = await client.get(path, headers=bearer(issuer.mint(**claims)))
        assert (path, claims, answer.status) == (path, claims, status)
    assert (await client.get("/r/open")).status == 401


async def test_partials_and_methods_of_objects_carry_requirements(aiohttp_client, settings, issuer) -> None:
    """However a handler is made, its requirement is found."""

    class Api:
        @requires("notes:read")
        async def get(self, request: web.Request) -> web.Response:
            return web.json_response({"id": principal(request).id})

    @requires(role="admin")
    async def bound(request: web.Request, word: str) -> web.Response:
        return web.json_response({"word": word})

    app = web.Application()
    app.router.add_get("/object", Api().get)
    app.router.add_get("/partial", functools.partial(bound, word="x"))
    setup(app, settings, clock=lambda: NOW)
    client = await aiohttp_client(app)
    headers = bearer(issuer.mint(roles=["admin"]))
    assert [(await client.get(path, headers=headers)).status for path in ("/object", "/partial")] == [200, 200]
    headers = bearer(issuer.mint(scope=None))
    assert [(await client.get(path, headers=headers)).status for path in ("/object", "/partial")] == [403, 403]


async def test_a_requirement_without_setup_is_an_error_and_no_open_door(aiohttp_client) -> None:
    """Forgetting setup() fails closed."""
    app = web.Application()
    app.router.add_get("/notes", read_notes)
    client = await aiohttp_client(app)
    assert (await client.get("/notes")).status == 500


async def test_a_requirement_hidden_by_a_decorator_still_holds(aiohttp_client, settings, issuer) -> None:
    """A decorator without functools.wraps hides it from the middleware, not from the handler."""

    async def hidden(request: web.Request) -> web.StreamResponse:
        return await read_notes(request)

    async def called_with_nothing(request: web.Request) -> web.StreamResponse:
        return await read_notes()  # type: ignore[call-arg]

    app = web.Application()
    app.router.add_get("/hidden", hidden)
    app.router.add_get("/nothing", called_with_nothing)
    app.router.add_get("/open", hidden)
    setup(app, settings, rules="GET /open public\n* /** authenticated", clock=lambda: NOW)
    client = await aiohttp_client(app)
    answer = await client.get("/hidden", headers=bearer(issuer.mint(scope="x")))
    assert (answer.status, challenge_of(answer.headers)["scope"]) == (403, "notes:read")
    assert (await client.get("/hidden", headers=bearer(issuer.mint()))).status == 200
    assert (await client.get("/open")).status == 500
    assert (await client.get("/nothing", headers=bearer(issuer.mint()))).status == 500


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda: requires("a b"), ValueError, id="two-scopes-in-one"),
        pytest.param(lambda: requires(""), ValueError, id="empty-scope"),
        pytest.param(lambda: requires('a"'), ValueError, id="not-a-scope"),
        pytest.param(lambda: requires(role=""), ValueError, id="empty-role"),
        pytest.param(lambda: requires(cast("str", read_notes)), TypeError, id="without-parentheses"),
        pytest.param(lambda: requires("a")(Notes), TypeError, id="on-a-class"),
    ],
)
def test_a_requirement_that_cannot_be_meant_is_refused_where_it_is_written(make, error) -> None:
    """At import, not at the first request."""
    with pytest.raises(error):
        make()


async def test_a_handler_may_refuse_for_itself_in_the_same_words(aiohttp_client, settings, issuer) -> None:
    """What depends on the object asked for is known in the handler only."""

    async def handler(request: web.Request) -> web.Response:
        assert principal(request).has_scope("notes:read")
        assert not principal(request).has_role("admin")
        raise ScopeInsufficientError("This note needs more", scopes=("notes:admin",))

    app = web.Application()
    app.router.add_get("/n", handler)
    setup(app, settings, rules="GET /n authenticated", clock=lambda: NOW)
    answer = await (await aiohttp_client(app)).get("/n", headers=bearer(issuer.mint()))
    assert answer.status == 403
    assert challenge_of(answer.headers)["scope"] == "notes:admin"


@pytest.mark.parametrize("error", [ScopeInsufficientError("Late", scopes=("a",)), TrustUnavailableError("Late")])
async def test_a_refusal_after_the_response_has_begun_breaks_it_off(aiohttp_server, settings, issuer, error) -> None:
    """A second head in the middle of a body would be taken for a part of it, or for the next answer."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first half")
        raise error

    app = web.Application()
    app.router.add_get("/n", handler)
    setup(app, settings, rules="GET /n authenticated", clock=lambda: NOW)
    server = await aiohttp_server(app)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /n HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + issuer.mint().encode() + b"\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert not answer.endswith(b"0\r\n\r\n"), "nobody may take it for whole"


async def test_a_public_handler_has_no_principal(aiohttp_client, settings, issuer) -> None:
    """Credentials of a public request are not looked at, good or bad."""

    async def handler(request: web.Request) -> web.Response:
        with pytest.raises(RuntimeError, match="no principal"):
            principal(request)
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/p", handler)
    setup(app, settings, rules="GET /p public", clock=lambda: NOW)
    client = await aiohttp_client(app)
    for headers in ({}, bearer(issuer.mint()), bearer("rubbish"), {"Authorization": "Bearer a b"}):
        assert (await client.get("/p", headers=headers)).status == 200


async def test_a_principal_cannot_be_changed(aiohttp_client, settings, issuer) -> None:
    """It is what the token said, for as long as the request lasts."""

    @requires()
    async def handler(request: web.Request) -> web.Response:
        who = principal(request)
        with pytest.raises(AttributeError):
            who.id = "root"  # type: ignore[misc]
        with pytest.raises(TypeError):
            who.claims.extra["org_id"] = "globex"  # type: ignore[index]
        assert who.client_id == "login"
        assert who.claim("absent") is None
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/p", handler)
    setup(app, settings, clock=lambda: NOW)
    assert (await (await aiohttp_client(app)).get("/p", headers=bearer(issuer.mint(scope=None)))).status == 200


# Start-up ------------------------------------------------------------------------------------------------------------


async def start(app: web.Application) -> None:
    async with TestServer(app):
        pass


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param("GET /notes public", id="literal"),
        pytest.param("* /** public", id="everything"),
        pytest.param("POST /x authenticated\nGET,POST /notes/** public", id="rest"),
    ],
)
async def test_a_public_rule_over_a_requirement_does_not_start(settings, rules) -> None:
    """Whoever wrote the rule believes the route is open; the handler says otherwise."""
    with pytest.raises(AccessRulesError, match=r"makes GET /notes public, whose handler requires scope:notes:read"):
        await start(notes_app(settings, rules=rules))


@pytest.mark.parametrize(
    ("path", "rules", "starts"),
    [
        pytest.param("/r/{x}", "GET /r/* public", False, id="variable"),
        pytest.param("/r/{x}", "GET /r/a public", True, id="a-single-path-is-not-the-route"),
        pytest.param("/r/{x}.json", "GET /r/* public", False, id="variable-with-a-suffix"),
        pytest.param("/r/{x:.*}", "GET /r/* public", True, id="an-expression-may-reach-further"),
        pytest.param("/r/{x:.*}", "GET /r/** public", False, id="rest-covers-an-expression"),
        pytest.param("/r/{x}", "GET /r/* authenticated\nPOST /r/* public", True, id="first-match-counts"),
        pytest.param("/r/{x}", "POST /r/* public", True, id="another-method"),
    ],
)
async def test_covering_is_decided_by_the_route(settings, path, rules, starts) -> None:
    """A route with variables is compared as the pattern it is."""
    app = web.Application()
    app.router.add_get(path, read_notes)
    setup(app, settings, rules=rules, clock=lambda: NOW)
    if starts:
        await start(app)
    else:
        with pytest.raises(AccessRulesError):
            await start(app)


async def test_a_route_that_nobody_may_call_is_told(settings, caplog, tmp_path) -> None:
    """It is safe, and surely a mistake."""
    app = web.Application()
    app.router.add_get("/forgotten", anything, allow_head=False)
    app.router.add_get("/told/{x}", anything)
    app.router.add_static("/static", tmp_path)
    app.router.add_static("/open", tmp_path)
    setup(app, settings, rules="GET /told/one public\nGET /open/** public", clock=lambda: NOW)
    with caplog.at_level(logging.WARNING, "farseal"):
        await start(app)
    told = [record.message.split(" has no rule")[0] for record in caplog.records if "no rule" in record.message]
    assert told == ["GET /forgotten", "GET /static"]


def test_setup_is_called_once_and_in_time(settings) -> None:
    """Twice, or after the application was frozen, is a mistake of the program."""
    app = notes_app(settings)
    with pytest.raises(RuntimeError, match="before"):
        setup(app, settings)
    frozen = web.Application()
    frozen.freeze()
    with pytest.raises(RuntimeError, match="comes before"):
        setup(frozen, settings)


@pytest.mark.parametrize("rules", ["nonsense", "GET /a public\nGET /a public"])
def test_faulty_rules_are_refused_at_setup(settings, rules) -> None:
    """The text is read at once; only what needs the routes waits for the start."""
    with pytest.raises(AccessRulesError):
        notes_app(settings, rules=rules)


def test_rules_come_parsed_as_text_or_from_the_file_of_the_settings(directory, tmp_path) -> None:
    """From one place: two would leave open which is in force."""
    file = tmp_path / "access.rules"
    file.write_text("GET /a public\n")
    assert str(access_rules(notes_app(settings_for(directory, access_rules_file=file))).rules[0]) == "GET /a public"
    rules = parse_rules("GET /b public")
    assert access_rules(notes_app(settings_for(directory), rules=rules)) is rules
    with pytest.raises(SettingsError, match="one of both"):
        notes_app(settings_for(directory, access_rules_file=file), rules=rules)
    file.write_text("GET /a public\nGET /a public\n")
    with pytest.raises(UnreachableRuleError):
        notes_app(settings_for(directory, access_rules_file=file))
    file.write_bytes(b"GET /a public\r\nGET /b public\r\n")
    assert len(access_rules(notes_app(settings_for(directory, access_rules_file=file)))) == 2
    file.write_bytes(b"# a comment\r* /** public\n")
    with pytest.raises(AccessRulesError, match="cannot be seen"):
        notes_app(settings_for(directory, access_rules_file=file))
    file.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        notes_app(settings_for(directory, access_rules_file=file))
    file.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(SettingsError, match="longer than"):
        notes_app(settings_for(directory, access_rules_file=file))
    with pytest.raises(SettingsError, match="No such file"):
        notes_app(settings_for(directory, access_rules_file=tmp_path / "none"))


# Trust that is missing, old or new -----------------------------------------------------------------------------------


async def test_without_keys_nobody_can_tell(aiohttp_client, tmp_path, issuer, caplog) -> None:
    """503 with Retry-After and no challenge: clients keep their tokens. Anonymous and public requests are as ever."""
    app = notes_app(settings_for(tmp_path / "none"), rules="GET /notes/* public")
    client = await aiohttp_client(app)
    with caplog.at_level(logging.WARNING, "farseal"):
        for _ in range(3):
            answer = await client.get("/notes", headers=bearer(issuer.mint()))
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert "WWW-Authenticate" not in answer.headers
            assert (await answer.json())["code"] == "trust_unavailable"
    assert caplog.text.count("get 503") == 1, "logged once a minute, however many requests meet it"
    assert verification_counts(app) == {"trust_unavailable": 3}
    assert (await client.get("/notes")).status == 401
    assert (await client.get("/notes", headers=bearer("rubbish"))).status == 401
    assert (await client.get("/notes/1")).status == 200
    issuer.publish(tmp_path / "none")
    await asyncio.sleep(1)
    assert (await client.get("/notes", headers=bearer(issuer.mint()))).status == 200


@pytest.mark.parametrize(
    ("age", "status", "warned"),
    [
        pytest.param(899, 200, 0, id="fresh"),
        pytest.param(900, 200, 1, id="stale-is-used-and-told"),
        pytest.param(86_399, 200, 1, id="last-second"),
        pytest.param(86_400, 503, 1, id="too-old"),
    ],
)
async def test_the_age_of_the_documents_decides(*, aiohttp_client, directory, caplog, age, status, warned) -> None:
    """Warned about from stale_after on, refused from refuse_after on, and told at most once a minute."""
    at = NOW + age
    client = await aiohttp_client(notes_app(settings_for(directory), clock=lambda: at))
    with caplog.at_level(logging.WARNING, "farseal"):
        caplog.clear()
        for _ in range(3):
            assert (await client.get("/notes", headers=bearer(Issuer(at).mint()))).status == status
    assert len(caplog.records) == warned


async def test_a_warning_returns_after_a_minute(aiohttp_client, directory, caplog) -> None:
    """So that it is in the log of whoever looks later."""
    at = [NOW + 1_000]
    client = await aiohttp_client(notes_app(settings_for(directory), clock=lambda: at[0]))
    for step in (0, 59, 1):
        at[0] += step
        await client.get("/notes", headers=bearer(Issuer(at[0]).mint()))
    assert caplog.text.count("s old") == 2


async def test_readiness_tells_when_tokens_cannot_be_judged(aiohttp_client, directory, tmp_path) -> None:
    """The check `trust` says why, and is silent while all is well; `documents` warns before that."""
    checks: dict[str, Callable[[], Awaitable[str | None]]] = {}
    needed: dict[str, bool] = {}

    class Recording:
        def add(self, name: str, check: Callable[[], Awaitable[str | None]], /, *, required: bool = True) -> None:
            checks[name] = check
            needed[name] = required

    at = [NOW]
    app = notes_app(settings_for(directory), readiness=Recording(), clock=lambda: at[0])
    assert await checks["trust"]() == "no keys of the issuer have been read"
    await aiohttp_client(app)
    assert needed == {"trust": True, "documents": False}
    assert [await checks["trust"](), await checks["documents"]()] == [None, None]
    at[0] += 900
    assert await checks["trust"]() is None
    assert await checks["documents"]() == "the keys of the issuer are older than 900 s"
    at[0] += 86_400 - 900
    assert await checks["trust"]() == "the keys of the issuer are older than their limit"
    assert trust_source(app).status().ages == {ISSUER: 86_400}


async def test_readiness_warns_of_documents_that_are_not_taken(aiohttp_client, directory) -> None:
    """The last good keys stay in force, so requests go on; whoever looks at the probe learns of it."""
    readiness = Readiness()
    app = notes_app(settings_for(directory), readiness=readiness)
    await aiohttp_client(app)
    assert (await readiness.standing()).warnings == {}
    (directory / "jwks.json").write_text("{")
    async with asyncio.timeout(5):
        while not (found := await readiness.standing()).warnings:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.05)
    assert found.reasons == {}
    assert found.warnings["documents"].startswith("what is published is not taken: ")


async def test_trust_may_come_from_a_source_of_ones_own(aiohttp_client, settings, issuer) -> None:
    """Anything with a snapshot, a start, a stop, a hint and a status; here one that holds nothing."""

    class Nothing:
        snapshot = TrustSnapshot()
        said: list[str] = []  # noqa: RUF012 - one instance

        async def start(self) -> None:
            self.said.append("start")

        async def stop(self) -> None:
            self.said.append("stop")

        def hint(self, issuer: str) -> None:
            self.said.append(issuer)

        def status(self) -> SourceStatus:
            return SourceStatus(0, 0, 0, None, {})

    source = Nothing()
    async with TestClient(TestServer(notes_app(settings, source=source))) as client:
        assert (await client.get("/notes", headers=bearer(issuer.mint()))).status == 503
    assert source.said == ["start", ISSUER, "stop"]


# Among other middlewares, sub-applications and long responses --------------------------------------------------------


async def test_outer_middlewares_see_refusals_and_inner_ones_the_principal(aiohttp_client, settings, issuer) -> None:
    """An error handler outside may render 404s its own way; what is inside knows who asks."""
    seen: list[object] = []

    @web.middleware
    async def outer(request: web.Request, handler):
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = problem(error.status, "from_outside")
        seen.append(response.status)
        return response

    @web.middleware
    async def inner(request: web.Request, handler):
        seen.append(principal(request).client_id)
        return await handler(request)

    app = web.Application(middlewares=[outer])
    app.router.add_get("/notes", read_notes)
    setup(app, settings, clock=lambda: NOW)
    app.middlewares.append(inner)
    client = await aiohttp_client(app)
    await client.get("/notes")
    await client.get("/notes", headers=bearer(issuer.mint()))
    assert seen == [401, "login", 200]
    seen.clear()
    answer = await client.get("/nowhere", headers=bearer(issuer.mint()))
    assert (await answer.json(content_type=None))["code"] == "from_outside"
    assert seen == ["login", 404]


@pytest.mark.parametrize("kit_first", [True, False])
async def test_the_service_kit_goes_around_it(aiohttp_client, settings, issuer, kit_first) -> None:
    """Whichever is installed first: refusals carry the request's id, and a 404 is a problem too."""
    app = web.Application()
    app.router.add_get("/notes", read_notes)
    if kit_first:
        requests.install(app, metrics=ServiceMetrics("notes"))
    setup(app, settings, clock=lambda: NOW)
    if not kit_first:
        requests.install(app, metrics=ServiceMetrics("notes"))
    client = await aiohttp_client(app)
    good = bearer(issuer.mint())
    for path, headers, status in (
        ("/notes", {}, 401),
        ("/notes", good, 200),
        ("/nowhere", good, 404),
        ("/..%2f", {}, 400),
    ):
        answer = await client.get(URL(path, encoded=True), headers=headers)
        assert answer.status == status
        assert answer.headers["X-Request-Id"]
        if status != 200:
            assert (await answer.json(content_type="application/problem+json"))["status"] == status


async def test_a_sub_application_is_protected_by_its_parent(aiohttp_client, settings, issuer) -> None:
    """Its handlers' requirements and the parent's rules, written with the whole path, hold inside it."""
    sub = web.Application()
    sub.router.add_get("/notes", read_notes)
    sub.router.add_get("/ruled", anything)
    sub.router.add_get("/open", anything)
    deeper = web.Application()
    deeper.router.add_get("/notes", read_notes)
    sub.add_subapp("/deeper", deeper)
    app = web.Application()
    setup(app, settings, rules="GET /v1/ruled role:admin\nGET /v1/open public", clock=lambda: NOW)
    app.add_subapp("/v1", sub)
    client = await aiohttp_client(app)
    good = bearer(issuer.mint())
    for path, anonymous, known in (
        ("/v1/notes", 401, 200),
        ("/v1/deeper/notes", 401, 200),
        ("/v1/ruled", 401, 403),
        ("/v1/open", 200, 200),
        ("/v1/nowhere", 401, 404),
    ):
        assert (await client.get(path)).status == anonymous, path
        assert (await client.get(path, headers=good)).status == known, path
    metadata = await (await client.get("/.well-known/oauth-protected-resource")).json()
    assert metadata["scopes_supported"] == ["notes:read"]


async def test_setup_on_a_sub_application_is_refused(settings) -> None:
    """It would leave the parent open and put the metadata where nobody looks."""
    sub = web.Application()
    setup(sub, settings)
    app = web.Application()
    app.add_subapp("/v1", sub)
    with pytest.raises(RuntimeError, match="outermost application"):
        await start(app)


async def test_websockets_and_streams_go_through(aiohttp_client, settings, issuer) -> None:
    """Verified once, at their beginning, and untouched from there on."""

    @requires("notes:read")
    async def chat(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(f"{principal(request).client_id}: {message.data}")
        return ws

    @requires("notes:read")
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for word in (b"one", b"two"):
            await response.write(word)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_get("/chat", chat)
    app.router.add_get("/stream", stream)
    setup(app, settings, clock=lambda: NOW)
    client = await aiohttp_client(app)
    async with client.ws_connect("/chat", headers=bearer(issuer.mint())) as ws:
        await ws.send_str("hello")
        assert await ws.receive_str(timeout=2) == "login: hello"
    assert (await client.get("/chat")).status == 401
    assert await (await client.get("/stream", headers=bearer(issuer.mint()))).read() == b"onetwo"


async def test_an_application_that_answers_preflights_is_left_alone(aiohttp_client, settings) -> None:
    """A CORS middleware outside answers before us; a public rule lets preflights through to a handler."""

    @web.middleware
    async def cors(request: web.Request, handler):
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Access-Control-Allow-Origin": "https://app.example"})
        return await handler(request)

    app = web.Application(middlewares=[cors])
    app.router.add_get("/notes", read_notes)
    setup(app, settings, clock=lambda: NOW)
    assert (await (await aiohttp_client(app)).options("/notes")).status == 204

    ruled = notes_app(settings, rules="OPTIONS /any/** public")
    assert (await (await aiohttp_client(ruled)).options("/any/x")).status == 200


async def test_verification_opens_no_connection(aiohttp_client, settings, issuer, monkeypatch) -> None:
    """Every way to connect anywhere fails, and good, bad and unknown-key tokens are judged all the same."""
    app = notes_app(settings)
    client = await aiohttp_client(app)
    tokens = [issuer.mint(), issuer.mint(exp=1), issuer.mint(header={"kid": "unknown"}), "rubbish"]
    opened = await client.get("/notes", headers=bearer(tokens[0]))
    assert opened.status == 200
    tried: list[object] = []

    def refuse(*args: object, **_options: object) -> None:
        tried.append(args)
        raise AssertionError("a connection was tried")

    async def refuse_later(*args: object, **_options: object) -> None:
        refuse(*args)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    loop = asyncio.get_running_loop()
    for name in ("sock_connect", "create_connection", "create_unix_connection", "getaddrinfo"):
        monkeypatch.setattr(loop, name, refuse_later)
    # The client's one connection is kept alive from before.
    statuses = [(await client.get("/notes", headers=bearer(token))).status for _ in range(50) for token in tokens]
    assert statuses == [200, 401, 401, 401] * 50
    assert tried == []
    assert verification_counts(app)["key_unknown"] == 50
    assert verification_counts(app)["accepted"] == 51
