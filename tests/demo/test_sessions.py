"""What a client does with a session, and what it takes for a refusal."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from demo.sessions import INVALID_GRANT, LOGGED_OUT, Pair, log_in, log_out, pair_in, refresh
from demo.wire import Reply, Wire, WireError

PAIR = b'{"access_token": "a1", "refresh_token": "r1", "token_type": "Bearer", "expires_in": 300, "scope": "x"}'


@pytest.fixture
async def issuer() -> AsyncIterator[str]:
    """An auth server that tells what it was asked."""

    async def tokens(request: web.Request) -> web.Response:
        known = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        if known != "bob:builder-9" or await request.read():
            return web.json_response({"code": "wrong_credentials"}, status=401)
        return web.json_response(
            {"access_token": request.headers.get("X-Forwarded-For", "none"), "refresh_token": "r0"}
        )

    async def token(request: web.Request) -> web.Response:
        form = dict(await request.post())
        if form != {"grant_type": "refresh_token", "client_id": "login", "refresh_token": "r0"}:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.Response(body=PAIR, content_type="application/json")

    async def logout(request: web.Request) -> web.Response:
        return web.Response(status=204 if request.headers["Authorization"] == "Bearer a1" else 401)

    app = web.Application()
    app.router.add_post("/api/tokens", tokens)
    app.router.add_post("/oauth2/token", token)
    app.router.add_post("/api/logout", logout)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_a_session_from_its_login_to_its_logout(issuer: str) -> None:
    with Wire(issuer) as wire:
        assert await log_in(wire, "bob") == Pair("none", "r0")
        assert await log_in(wire, "bob", address="10.0.0.7") == Pair("10.0.0.7", "r0")
        assert await log_in(wire, "alice") == "401 wrong_credentials"
        assert await refresh(wire, "r0") == Pair("a1", "r1")
        assert await refresh(wire, "r1") == INVALID_GRANT
        assert await log_out(wire, "a1") == LOGGED_OUT
        assert await log_out(wire, "a2") == "401"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"access_token": "a1"}', b'{"refresh_token": "r1"}'])
def test_an_answer_without_both_tokens_is_a_refusal(body: bytes) -> None:
    """200 alone proves nothing."""
    assert pair_in(Reply(200, body)) == "200 without both tokens"


def test_tokens_are_not_shown() -> None:
    """A pair in a traceback or an assertion tells nothing."""
    assert "a1" not in repr(Pair("a1", "r1"))
    assert "r1" not in repr(Pair("a1", "r1"))


async def test_nobody_there_is_no_refusal(unused_tcp_port: int) -> None:
    """A client tries another replica then, and must not log in anew."""
    with Wire(f"http://127.0.0.1:{unused_tcp_port}") as wire:
        for asked in (log_in(wire, "bob"), refresh(wire, "r0"), log_out(wire, "a1")):
            with pytest.raises(WireError, match="refused"):
                await asyncio.wait_for(asked, 5)
