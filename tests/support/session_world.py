"""Sessions as they should be, and as they should not: an auth server and two resource servers without any cryptography,
for tests of those who watch real ones."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class World:
    """An auth server with one good refresh token for each session, and resource servers that learn who is out.

    Every switch breaks one promise.
    """

    grace_seconds: float = 1.0
    news_seconds: float = 0.05
    """From the end of a session until the resource servers know of it."""
    loses_answers: bool = False
    """A refresh is done, and its answer does not arrive."""
    refuses_the_living: bool = False
    forgets_the_used: bool = False
    """A used refresh token leads nowhere, however short ago it was used."""
    forgives_for_ever: bool = False
    """A used refresh token leads on, however long ago it was used."""
    tells_an_outage: bool = False
    """Tokens of sessions that have ended are refused as if nobody knew."""
    ended: dict[str, float] = field(default_factory=dict)
    """When each ended (``time.monotonic``)."""
    used: dict[str, list[float]] = field(default_factory=dict)
    """When the refresh tokens of each were used."""
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    async def log_in(self, _: web.Request) -> web.Response:
        """``POST /api/tokens``."""
        session = f"s{next(self._turn)}"
        self.used[session] = []
        return self._pair(session)

    async def refresh(self, request: web.Request) -> web.Response:
        """``POST /oauth2/token``."""
        session, _, generation = str((await request.post())["refresh_token"]).partition(".")
        uses, now = self.used[session], time.monotonic()
        was_used = int(generation) < len(uses)
        if was_used and not self.forgives_for_ever and now - uses[int(generation)] >= self.grace_seconds:
            self.ended.setdefault(session, now)
        if session in self.ended or (was_used and self.forgets_the_used):
            return web.json_response({"error": "invalid_grant"}, status=400)
        if not was_used:
            uses.append(now)
            if self.loses_answers and request.transport is not None:
                request.transport.abort()
        return self._pair(session)

    async def log_out(self, request: web.Request) -> web.Response:
        """``POST /api/logout``."""
        self.ended.setdefault(_session(request), time.monotonic())
        return web.Response(status=204)

    async def answer(self, request: web.Request) -> web.Response:
        """Any path of a resource server."""
        ended = self.ended.get(_session(request), time.monotonic())
        if time.monotonic() - ended > self.news_seconds:
            if self.tells_an_outage:
                return web.json_response({"code": "status_unavailable"}, status=503)
            return web.json_response({"code": "token_revoked"}, status=401)
        if self.refuses_the_living:
            return web.json_response({"code": "token_revoked"}, status=401)
        return web.json_response({})

    def _pair(self, session: str) -> web.Response:
        token = f"{session}.{len(self.used[session])}"
        return web.json_response({"access_token": token, "refresh_token": token})


def _session(request: web.Request) -> str:
    return request.headers["Authorization"].removeprefix("Bearer ").partition(".")[0]


@contextlib.asynccontextmanager
async def serving(world: World, *ports: int) -> AsyncIterator[list[str]]:
    """All of it at every one of these ports, or at one that the system chooses; gives the addresses."""
    app = web.Application()
    app.router.add_post("/api/tokens", world.log_in)
    app.router.add_post("/oauth2/token", world.refresh)
    app.router.add_post("/api/logout", world.log_out)
    app.router.add_get("/{tail:.*}", world.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        for port in ports or (0,):
            await web.TCPSite(runner, "127.0.0.1", port).start()
        yield [f"http://127.0.0.1:{address[1]}" for address in runner.addresses]
    finally:
        await asyncio.shield(runner.cleanup())
