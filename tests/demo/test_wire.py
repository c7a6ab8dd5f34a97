"""The light client of the load takes an answer for an answer and everything else for a failure."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from demo.wire import Reply, Wire, WireError, read_head


@pytest.fixture
async def service() -> AsyncIterator[str]:
    """A service of the kind that is measured."""

    async def get(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != "Bearer good":
            return web.json_response({"code": "key_unknown"}, status=401)
        return web.json_response({"path": request.path_qs})

    async def post(request: web.Request) -> web.Response:
        return web.json_response({"sent": await request.text(), "type": request.content_type})

    app = web.Application()
    app.router.add_get("/notes", get)
    app.router.add_post("/token", post)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_answers_come_in_order_on_one_connection(service: str) -> None:
    with Wire(service) as wire:
        for number in range(50):
            reply = await wire.get(f"/notes?limit={number}", token="good")
            assert reply == Reply(200, b'{"path": "/notes?limit=%d"}' % number)
        reply = await wire.get("/notes", token="bad")
        assert (reply.status, reply.kind) == (401, "401 key_unknown")
        reply = await wire.post("/token", b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert reply.body == b'{"sent": "a=b", "type": "application/x-www-form-urlencoded"}'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b'{"code": "key_unknown"}', "401 key_unknown", id="a-problem"),
        pytest.param(b'{"error": "invalid_client"}', "401 invalid_client", id="an-oauth-error"),
        pytest.param(b"plain", "401", id="text"),
        pytest.param(b"[]", "401", id="no-object"),
    ],
)
def test_failures_are_named_by_status_and_code(body: bytes, kind: str) -> None:
    assert Reply(401, body).kind == kind


@pytest.mark.parametrize(
    ("head", "said"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 7", (200, 7, False), id="ordinary"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length:7\r\nConnection: close", (200, 7, True), id="the-last-one"),
        pytest.param(b"HTTP/1.1 304 Not Modified", (304, 0, False), id="without-a-body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", (200, -1, False), id="not-read-here"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999", (200, -1, False), id="too-large"),
        pytest.param(b"SSH-2.0-OpenSSH", (0, -1, True), id="not-http"),
    ],
)
def test_a_head_is_read(head: bytes, said: tuple[int, int, bool]) -> None:
    assert read_head(head) == said


async def test_nobody_there_is_a_failure(unused_tcp_port: int) -> None:
    with Wire(f"http://127.0.0.1:{unused_tcp_port}") as wire, pytest.raises(WireError, match="refused"):
        await wire.get("/", token="x")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        pytest.param(b"", "connection lost", id="cut-off-before-the-answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "connection lost", id="cut-off-in-the-body"),
        pytest.param(b"nonsense\r\n\r\n", "unreadable answer", id="nonsense"),
        pytest.param(None, "no answer in time", id="silence"),
    ],
)
async def test_half_an_answer_is_a_failure(answer: bytes | None, failure: str) -> None:
    """And the next request goes to a new connection: what is left of the old answer is never taken for its own."""
    turn = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        turn += 1
        await reader.readuntil(b"\r\n\r\n")
        if turn == 1 and answer is None:
            await reader.read()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" if turn > 1 else answer or b"")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with Wire(f"http://127.0.0.1:{port}", patience=0.3) as wire:
            with pytest.raises(WireError, match=failure):
                await wire.get("/", token="x")
            assert await wire.get("/", token="x") == Reply(200, b"ok")


async def test_a_request_that_is_given_up_leaves_nothing_to_the_next(service: str) -> None:
    with Wire(service) as wire:
        asking = asyncio.create_task(wire.get("/notes?limit=1", token="good"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await wire.get("/notes?limit=2", token="good")).body == b'{"path": "/notes?limit=2"}'
