"""Around every request: its id, its line, its numbers, and errors in one shape."""

import asyncio
import json
import re
from typing import Any

import pytest
import structlog
from aiohttp import web

from farseal.problems import ProblemError, phrase, problem
from farseal.service.metrics import ServiceMetrics
from farseal.service.requests import ErrorForm, install, request_id

LEFT = web.AppKey("left", asyncio.Event)
"""Set when a handler has begun to read."""


def application(metrics: ServiceMetrics, error_form: ErrorForm | None = None) -> web.Application:
    """Routes that end in every way a handler can end."""
    left = asyncio.Event()

    async def notes(request: web.Request) -> web.Response:
        return web.json_response({"id": request_id(request)})

    async def boom(_request: web.Request) -> web.Response:
        raise RuntimeError("password=hunter2 in the message")

    async def refuse(_request: web.Request) -> web.Response:
        raise ProblemError(409, "conflict", "the \udcff note changed", {"Retry-After": "1"}, current=3)

    async def away(_request: web.Request) -> web.Response:
        raise ProblemError(503, "database_unavailable", headers={"Retry-After": "5"})

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPSeeOther("/notes/1")

    async def unauthorized(_request: web.Request) -> web.Response:
        raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})

    async def nothing(_request: web.Request) -> Any:
        return None

    async def broken_stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise RuntimeError("late")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        left.set()
        while True:
            await response.write(b"x" * 100_000)

    async def gone(request: web.Request) -> web.Response:
        left.set()
        await request.read()
        raise AssertionError

    app = web.Application()
    app[LEFT] = left
    install(app, metrics=metrics, error_form=error_form)
    app.router.add_get("/notes/{id}", notes)
    app.router.add_post("/gone", gone)
    for handler in (boom, refuse, away, redirect, endless, unauthorized, nothing, broken_stream):
        app.router.add_get(f"/{handler.__name__}", handler)
    return app


@pytest.fixture
def metrics():
    """The numbers of the application under test."""
    return ServiceMetrics("test")


@pytest.fixture
async def client(aiohttp_client, metrics):
    """A client of that application."""
    return await aiohttp_client(application(metrics))


@pytest.fixture
def logged():
    """The events of this test."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as events:
        yield events


def count(metrics: ServiceMetrics, method: str, route: str, status: int) -> float:
    """How many requests were counted with these labels."""
    labels = {"method": method, "route": route, "status": str(status)}
    return metrics.registry.get_sample_value("http_requests_total", labels) or 0.0


async def test_a_request_leaves_one_line_and_one_count(client, metrics, logged) -> None:
    """Template, not path; no query, no header; a duration; an id that the response repeats."""
    response = await client.get("/notes/123?token=hunter2", headers={"Authorization": "Bearer hunter2"})
    (line,) = logged
    assert line["event"] == "request"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/notes/{id}", 200)
    assert line["duration_ms"] >= 0
    assert line["request_id"] == response.headers["X-Request-Id"] == (await response.json())["id"]
    assert "hunter2" not in str(line)
    assert "123" not in str(line["route"])
    assert count(metrics, "GET", "/notes/{id}", 200) == 1
    seconds = "http_request_duration_seconds_count"
    assert metrics.registry.get_sample_value(seconds, {"method": "GET", "route": "/notes/{id}"}) == 1
    assert metrics.registry.get_sample_value("http_requests_in_flight") == 0


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(["abc-1.2_Z"], True, id="sane"),
        pytest.param(["x" * 64], True, id="64"),
        pytest.param(["x" * 65], False, id="65"),
        pytest.param([""], False, id="empty"),
        pytest.param(["a b"], False, id="blank"),
        pytest.param(["<script>"], False, id="markup"),
        pytest.param(["a", "b"], False, id="two"),
        pytest.param([], False, id="none"),
    ],
)
async def test_a_sane_request_id_is_the_callers(client, sent, kept) -> None:
    """Anything else is replaced, not echoed."""
    response = await client.get("/notes/1", headers=[("X-Request-Id", value) for value in sent])
    answered = response.headers["X-Request-Id"]
    assert (answered in sent) is kept
    assert kept or re.fullmatch(r"[0-9a-f]{32}", answered)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/nowhere", 404, "not_found", id="404"),
        pytest.param("DELETE", "/notes/1", 405, "method_not_allowed", id="405"),
        pytest.param("GET", "/refuse", 409, "conflict", id="problem"),
        pytest.param("GET", "/away", 503, "database_unavailable", id="503"),
        pytest.param("GET", "/boom", 500, "internal_error", id="unexpected"),
        pytest.param("GET", "/nothing", 500, "internal_error", id="no-response"),
        pytest.param("GET", "/unauthorized", 401, "unauthenticated", id="aiohttp-401"),
    ],
)
async def test_errors_have_one_shape(client, method, path, status, code) -> None:
    """RFC 9457, with a stable code, the status repeated, and the marks of every response."""
    response = await client.request(method, path)
    body = json.loads(await response.read())
    assert (response.status, body["status"], body["code"]) == (status, status, code)
    assert body["type"] == f"urn:farseal:problem:{code}"
    assert body["title"]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Server"] == "farseal"
    assert "hunter2" not in str(body)


async def test_headers_of_an_error_are_kept(client) -> None:
    """Allow, WWW-Authenticate, Retry-After and members; never the media type of the replaced text."""
    assert (await client.delete("/notes/1")).headers["Allow"] == "GET,HEAD"
    assert (await client.get("/unauthorized")).headers["WWW-Authenticate"] == "Bearer"
    assert (await client.get("/away")).headers["Retry-After"] == "5"
    refused = await client.get("/refuse")
    body = json.loads(await refused.read())
    assert (refused.headers["Retry-After"], body["current"]) == ("1", 3)
    assert body["detail"] == "the ? note changed", "what UTF-8 cannot carry is replaced"


async def test_an_unexpected_error_is_logged_once_and_told_to_nobody(client, logged) -> None:
    """The trace goes to the log under the request's id; the caller gets a code."""
    response = await client.get("/boom")
    error, access = logged
    assert (error["event"], error["log_level"]) == ("unexpected error", "error")
    assert error["request_id"] == access["request_id"] == response.headers["X-Request-Id"]
    assert "RuntimeError" not in await response.text()


async def test_a_503_is_logged_with_its_cause(client, logged) -> None:
    """An operator sees why; it is no unexpected error."""
    await client.get("/away")
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("request failed", "warning"),
        ("request", "info"),
    ]


async def test_redirects_pass(client, metrics) -> None:
    """They are exceptions in aiohttp and answers for everybody else."""
    response = await client.get("/redirect", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, "/notes/1")
    assert "X-Request-Id" in response.headers
    assert count(metrics, "GET", "/redirect", 303) == 1


async def test_a_client_cannot_make_labels(client, metrics, logged) -> None:
    """Paths that nothing serves and methods that no API here has are one label each."""
    for number in range(3):
        await client.request("PROPFIND", f"/coffee/{number}")
    assert count(metrics, "other", "unmatched", 404) == 3
    assert {(line["method"], line["route"]) for line in logged} == {("other", "unmatched")}


async def test_head_has_the_head_of_get(client) -> None:
    """With length, without body."""
    response = await client.head("/notes/1")
    assert (response.status, await response.read()) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0
    assert (await client.head("/nowhere")).status == 404


async def test_a_stream_that_breaks_is_broken_off(client, logged) -> None:
    """Half an answer must not look like a whole one."""
    response = await client.get("/broken_stream")
    with pytest.raises(Exception, match="payload"):
        await response.read()
    assert logged[0]["event"] == "unexpected error"


@pytest.mark.parametrize("body", [b"", b"half"], ids=["head-sent", "half-sent"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(ProblemError(409, "conflict"), "conflict", id="problem"),
        pytest.param(ProblemError(503, "database_unavailable"), "database_unavailable", id="outage"),
        pytest.param(web.HTTPNotFound(), "not_found", id="http-error"),
        pytest.param(web.HTTPSeeOther("/notes/1"), "http_303", id="redirect"),
        pytest.param(web.RequestPayloadError(), "body_malformed", id="payload"),
        pytest.param(RuntimeError("late"), "internal_error", id="unexpected"),
        pytest.param(None, "internal_error", id="no-response"),
    ],
)
async def test_no_error_is_written_into_a_response_that_has_begun(
    aiohttp_server, metrics, logged, *, error, code, body
) -> None:
    """A second head would be taken for a part of the body, and its end for the end of a whole answer."""

    async def late(request: web.Request) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        if body:
            await response.write(body)
        if error is not None:
            raise error

    app = web.Application()
    install(app, metrics=metrics)
    app.router.add_get("/", late)
    server = await aiohttp_server(app)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(body + b"\r\n")
    assert not answer.endswith(b"0\r\n\r\n"), "nobody may take it for whole"
    assert [line["code"] for line in logged if line["event"] == "response broken off"] == [code]


async def test_a_client_that_leaves_is_no_error(client, metrics, logged) -> None:
    """Its request ends as 499 in log and metrics, without a trace."""
    host, port = client.server.host, client.server.port
    _, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /gone HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    await client.app[LEFT].wait()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(2):
        while count(metrics, "POST", "/gone", 499) < 1:  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.01)
    assert [line["event"] for line in logged] == ["request"]


async def test_a_client_that_leaves_a_stream_is_no_error(client, metrics, logged) -> None:
    """Writing to somebody who left fails with one of aiohttp's errors: nothing for the log."""
    response = await client.get("/endless")
    await client.app[LEFT].wait()
    response.close()
    async with asyncio.timeout(2):
        while count(metrics, "GET", "/endless", 499) < 1:  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.01)
    assert [line["event"] for line in logged] == ["request"]


async def test_errors_may_have_another_form(aiohttp_client, metrics) -> None:
    """OAuth endpoints keep RFC 6749's JSON; None leaves the choice to problem+json."""

    def oauth(request: web.Request, status: int, code: str, detail: str | None, headers) -> web.Response | None:
        if request.path.startswith("/oauth2/") or code == "conflict":
            return web.json_response({"error": "invalid_request", "was": code}, status=status, headers=headers)
        return None

    client = await aiohttp_client(application(metrics, error_form=oauth))
    refused = await client.get("/refuse")
    assert (refused.status, refused.content_type, refused.headers["Retry-After"]) == (409, "application/json", "1")
    assert (await (await client.get("/oauth2/x")).json())["was"] == "not_found"
    assert (await client.get("/x")).content_type == "application/problem+json"


async def test_an_error_of_an_unnamed_status_has_a_code(aiohttp_client, metrics) -> None:
    """Also for a status that no table knows."""

    class Strange(web.HTTPException):
        status_code = 499

    async def strange(_request: web.Request) -> web.Response:
        raise Strange(text="hunter2", headers={"X-Kept": "1"})

    app = web.Application()
    install(app, metrics=metrics)
    app.router.add_get("/", strange)
    response = await (await aiohttp_client(app)).get("/")
    body = json.loads(await response.read())
    assert (body["code"], body["title"], response.headers["X-Kept"]) == ("http_499", "499", "1")


def test_a_problem_says_what_it_is() -> None:
    """Title of the status unless told; members beside it; a text for logs without secrets of its own."""
    body = json.loads(str(problem(404, "note_unknown", "No such note", note=1).text))
    assert body.pop("type") == "urn:farseal:problem:note_unknown"
    assert body == {"title": "No such note", "status": 404, "code": "note_unknown", "note": 1}
    assert (phrase(404), phrase(599)) == ("Not Found", "599")
    assert str(ProblemError(400, "bad")) == "400 bad"
    assert str(ProblemError(400, "bad", "why")) == "400 bad: why"
