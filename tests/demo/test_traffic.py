"""Clients use fresh tokens at once and old ones to their end, and tell a replica's death from a failure."""

import base64
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from demo.traffic import Desk, Shelf, kid_of


def token_of(kid: str, number: int = 0) -> str:
    head = base64.urlsafe_b64encode(json.dumps({"kid": kid, "n": number}).encode()).rstrip(b"=").decode()
    return f"{head}.payload.signature"


def test_the_newest_token_is_used_at_once_and_old_ones_still() -> None:
    shelf = Shelf(most=10)
    for number in range(4):
        shelf.put(token_of("old", number), until=100.0)
    shelf.put(token_of("new"), until=100.0)
    picked = [held.kid for _ in range(20) if (held := shelf.pick(0.0)) is not None]
    assert picked[0] == "new"
    assert picked.count("new") >= 10
    assert picked.count("old") >= 8
    assert shelf.signed == {"old": 4, "new": 1}


def test_a_token_is_not_used_past_its_time() -> None:
    """At its time it is gone; without any there is none."""
    shelf = Shelf(most=10)
    shelf.put(token_of("one"), until=10.0)
    shelf.put(token_of("two"), until=20.0)
    assert {shelf.pick(9.9).kid for _ in range(8)} == {"one", "two"}
    assert {shelf.pick(10.0).kid for _ in range(8)} == {"two"}
    assert shelf.pick(20.0) is None


def test_a_shelf_is_bounded() -> None:
    shelf = Shelf(most=2)
    for number in range(5):
        shelf.put(token_of(str(number)), until=10.0)
    assert {shelf.pick(0.0).kid for _ in range(8)} == {"3", "4"}


def test_a_kid_is_read_from_the_header() -> None:
    assert kid_of(token_of("some-kid")) == "some-kid"


@pytest.fixture
async def replica() -> AsyncIterator[str]:
    """An auth server that refuses the first request as one that starts, and then gives tokens."""
    asked = 0

    async def post(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        assert (await request.post())["grant_type"] == "client_credentials"
        if asked == 1:
            return web.json_response({"error": "temporarily_unavailable"}, status=503)
        return web.json_response({"access_token": token_of("kid")})

    app = web.Application()
    app.router.add_post("/oauth2/token", post)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_a_replica_that_does_not_answer_is_passed_over(replica: str, unused_tcp_port: int) -> None:
    """And counted: it is no failure of anybody who verifies."""
    desk = Desk([f"http://127.0.0.1:{unused_tcp_port}", replica], "client", "secret")
    try:
        tokens = [await desk.fetch() for _ in range(20)]
    finally:
        desk.close()
    assert tokens == [token_of("kid")] * 20
    assert desk.retries["503 temporarily_unavailable"] == 1
    assert desk.retries["connection refused"] >= 1
