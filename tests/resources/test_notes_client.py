"""The client of the notes service against real servers that are good, dead, slow, lying, hungry or endless."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from resource_b.notes_client import MAX_PAGE_BYTES, Bounds, Failure, NotesClient, open_session
from resource_b.reports import SeenNotes

TOKEN = "header.payload.signature"
BOUNDS = Bounds(timeout_seconds=0.5, concurrency=4, max_notes=300)

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def note(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"id-{number}",
        "owner": "alice",
        "org_id": None,
        "title": "a title",
        "characters": number,
        "created_at": "2026-11-23T10:00:00Z",
        "updated_at": "2026-11-23T10:00:00Z",
        "version": 1,
    } | changes


def page(*notes: dict[str, Any], cursor: str | None = None) -> bytes:
    return json.dumps({"notes": notes, "next_cursor": cursor}).encode()


def response(body: bytes, *lines: str, status: str = "200 OK", media_type: str = "application/json") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join([*head, *lines, "", ""]).encode() + body


def says(data: bytes) -> Answer:
    """Answer every request with these bytes and hang up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()

    return answer


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await reader.read()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one byte at a time: each read makes progress, the whole never ends."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer without end."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


@asynccontextmanager
async def upstream(answer: Answer) -> AsyncIterator[str]:
    """A server on loopback that answers every connection so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def client_of(url: str, bounds: Bounds = BOUNDS) -> AsyncIterator[NotesClient]:
    async with open_session(connections=bounds.concurrency) as session:
        yield NotesClient(session, url, bounds)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        pytest.param(hangs, Failure.TIMEOUT, id="hangs"),
        pytest.param(drips, Failure.TIMEOUT, id="drips"),
        pytest.param(floods, Failure.INVALID, id="floods"),
        pytest.param(says(b""), Failure.UNREACHABLE, id="hangs-up"),
        pytest.param(says(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), Failure.INVALID, id="speaks-no-http"),
        pytest.param(says(response(page(), "X-Long: " + "x" * 100_000)), Failure.INVALID, id="endless-header"),
        pytest.param(says(response(b"<html>", media_type="text/html")), Failure.INVALID, id="html"),
        pytest.param(says(response(b"", status="204 No Content")), Failure.INVALID, id="no-content"),
        pytest.param(says(response(b"")), Failure.INVALID, id="empty"),
        pytest.param(says(response(b"{}")), Failure.INVALID, id="another-object"),
        pytest.param(says(response(page(note(1))[:-1])), Failure.INVALID, id="broken-json"),
        pytest.param(says(response(b'{"notes":[],"notes":[],"next_cursor":null}')), Failure.INVALID, id="duplicates"),
        pytest.param(says(response(page(note(1, characters=-1)))), Failure.INVALID, id="negative-length"),
        pytest.param(says(response(page(note(1, characters=True)))), Failure.INVALID, id="true-is-no-length"),
        pytest.param(
            says(response(page(note(1, created_at="2026-11-23T10:00:00")))), Failure.INVALID, id="moment-without-zone"
        ),
        pytest.param(says(response(page(*map(note, range(101))))), Failure.INVALID, id="more-than-was-asked"),
        pytest.param(says(response(page(cursor="x" * 513))), Failure.INVALID, id="cursor-too-long"),
        pytest.param(says(response(b" " * MAX_PAGE_BYTES + page())), Failure.INVALID, id="page-too-long"),
        pytest.param(
            says(response(gzip.compress(page()), "Content-Encoding: gzip")), Failure.INVALID, id="packed-unasked"
        ),
        pytest.param(says(response(page())[:-5]), Failure.INVALID, id="breaks-off"),
        pytest.param(says(response(b"", status="401 Unauthorized")), Failure.UNAUTHENTICATED, id="401"),
        pytest.param(says(response(b"", status="403 Forbidden")), Failure.REFUSED, id="403"),
        pytest.param(says(response(b"", status="404 Not Found")), Failure.INVALID, id="404"),
        pytest.param(says(response(b"", status="429 Too Many Requests")), Failure.FAILED, id="429"),
        pytest.param(says(response(b"", status="500 Internal Server Error")), Failure.FAILED, id="500"),
        pytest.param(says(response(b"", status="503 Service Unavailable")), Failure.FAILED, id="503"),
    ],
)
async def test_every_way_to_fail_is_a_value(answer: Answer, failure: Failure) -> None:
    """Whatever the other side does, the answer comes in time and names what it did."""
    async with upstream(answer) as url, client_of(url) as client:
        began = time.monotonic()
        assert await client.read(TOKEN, only_own=False) is failure
        assert time.monotonic() - began < BOUNDS.timeout_seconds + 0.5


async def test_nobody_listens() -> None:
    """A dead port is told at once."""
    async with upstream(hangs) as url:
        pass
    async with client_of(url) as client:
        assert await client.read(TOKEN, only_own=False) is Failure.UNREACHABLE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_does_not_move_the_token(status: int) -> None:
    """The token is for one address: a redirect is an invalid answer, and its target hears nothing."""
    heard: list[bytes] = []

    async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))

    async with upstream(listens) as elsewhere:
        moved = says(response(b"", f"Location: {elsewhere}/notes", status=f"{status} Moved"))
        async with upstream(moved) as url, client_of(url) as client:
            assert await client.read(TOKEN, only_own=False) is Failure.INVALID
    assert heard == []


async def test_a_proxy_of_the_environment_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is not heeded."""
    heard: list[bytes] = []

    async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))

    async with upstream(listens) as proxy, upstream(says(response(page(note(1))))) as url:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("http_proxy", proxy)
        async with client_of(url) as client:
            assert isinstance(await client.read(TOKEN, only_own=False), SeenNotes)
    assert heard == []


async def test_what_is_asked(aiohttp_server: Any) -> None:
    """The caller's own token, the caller's request id, the widest page, and cookies of nobody."""
    asked: list[web.Request] = []

    async def notes(request: web.Request) -> web.Response:
        asked.append(request)
        cursor = None if "cursor" in request.query else "next&page=2"
        answer = web.Response(body=page(note(len(asked)), cursor=cursor), content_type="application/json")
        answer.set_cookie("session", "kept")
        return answer

    app = web.Application()
    app.router.add_get("/base/notes", notes)
    server = await aiohttp_server(app)
    async with client_of(f"http://127.0.0.1:{server.port}/base/") as client:
        seen = await client.read(TOKEN, only_own=True, request_id="abc")
    assert isinstance(seen, SeenNotes)
    assert [found.id for found in seen.notes] == ["id-1", "id-2"]
    assert not seen.truncated
    assert [dict(request.query) for request in asked] == [
        {"limit": "100", "owner": "me"},
        {"limit": "100", "owner": "me", "cursor": "next&page=2"},
    ]
    for request in asked:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["X-Request-Id"] == "abc"
        assert "Cookie" not in request.headers


@pytest.mark.parametrize(
    ("pages", "max_notes", "count", "truncated"),
    [
        pytest.param(1, 300, 100, False, id="one-page"),
        pytest.param(3, 300, 300, False, id="exactly-the-bound"),
        pytest.param(4, 300, 300, True, id="one-page-more"),
        pytest.param(None, 300, 300, True, id="without-end"),
        pytest.param(3, 250, 250, True, id="the-bound-within-a-page"),
    ],
)
async def test_many_notes_are_read_up_to_a_bound(
    pages: int | None, max_notes: int, count: int, truncated: bool
) -> None:
    """Beyond the bound the answer says that there is more."""
    given = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal given
        given += 1
        cursor = None if given == pages else "more"
        await says(response(page(*map(note, range(100)), cursor=cursor)))(reader, writer)

    bounds = Bounds(timeout_seconds=5, concurrency=1, max_notes=max_notes)
    async with upstream(answer) as url, client_of(url, bounds) as client:
        seen = await client.read(TOKEN, only_own=False)
    assert isinstance(seen, SeenNotes)
    assert (len(seen.notes), seen.truncated) == (count, truncated)
    assert given <= 3


async def test_empty_pages_without_end_are_left() -> None:
    """A cursor that leads nowhere costs as many requests as the bound has pages."""
    async with upstream(says(response(page(cursor="more")))) as url, client_of(url) as client:
        assert await client.read(TOKEN, only_own=False) == SeenNotes((), truncated=True)


async def test_the_time_is_one_for_all_pages() -> None:
    """Pages that are each in time must not add up to more than the bound."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await says(response(page(cursor="more")))(reader, writer)

    async with upstream(answer) as url, client_of(url) as client:
        assert await client.read(TOKEN, only_own=False) is Failure.TIMEOUT


async def test_the_places_are_bounded() -> None:
    """While every place is held by a slow answer, one more caller is told of the overload, and of nothing worse."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await hangs(reader, writer)

    bounds = Bounds(timeout_seconds=0.5, concurrency=2, max_notes=100)
    async with upstream(answer) as url, client_of(url, bounds) as client:
        first = [asyncio.create_task(client.read(TOKEN, only_own=False)) for _ in range(2)]
        await asyncio.sleep(0.1)
        hurried = NotesClient(client._session, url, bounds)
        hurried._places = client._places
        hurried._bounds = Bounds(timeout_seconds=0.1, concurrency=2, max_notes=100)
        assert await hurried.read(TOKEN, only_own=False) is Failure.OVERLOADED
        assert asked == 2
        assert await asyncio.gather(*first) == [Failure.TIMEOUT, Failure.TIMEOUT]


async def test_a_restart_of_the_notes_service_is_not_noticed(aiohttp_server: Any) -> None:
    """A kept connection that the other side has closed is replaced, not reported."""

    async def notes(_request: web.Request) -> web.Response:
        return web.Response(body=page(note(1)), content_type="application/json")

    async def start(port: int) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/notes", notes)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        return runner

    first = await start(0)
    port = first.addresses[0][1]
    async with client_of(f"http://127.0.0.1:{port}") as client:
        assert isinstance(await client.read(TOKEN, only_own=False), SeenNotes)
        await first.cleanup()
        assert await client.read(TOKEN, only_own=False) is Failure.UNREACHABLE
        second = await start(port)
        assert isinstance(await client.read(TOKEN, only_own=False), SeenNotes)
        await second.cleanup()
