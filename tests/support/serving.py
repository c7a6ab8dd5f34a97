"""A web server in a thread of its own, for commands that have an event loop of their own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class _Server:
    handler: Handler
    ready: threading.Event = field(default_factory=threading.Event)
    loop: asyncio.AbstractEventLoop | None = None
    ended: asyncio.Event | None = None
    port: int = 0

    async def serve(self) -> None:
        app = web.Application()
        app.router.add_get("/{tail:.*}", self.handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.loop, self.ended, self.port = asyncio.get_running_loop(), asyncio.Event(), runner.addresses[0][1]
        self.ready.set()
        await self.ended.wait()
        await runner.cleanup()


@contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """The address of a server that answers every path with ``handler``."""
    server = _Server(handler)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    assert server.ready.wait(5)
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        if server.loop is not None and server.ended is not None:
            server.loop.call_soon_threadsafe(server.ended.set)
        thread.join(5)
