"""Both resource servers for tests: really listening, really asking PostgreSQL, trusting an issuer in this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

import resource_a.app
import resource_a.settings
import resource_b.app
import resource_b.settings
from farseal.environment import Secret
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.service.run import Listen, Listening, Stop, serve
from farseal.settings import TrustSettings

ANY_PORT = Listen("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any

    @property
    def code(self) -> str:
        """Of a problem; also checks that it is one (RFC 9457)."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        code = self.json["code"]
        assert isinstance(code, str)
        return code


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    url: str
    ops_url: str
    stop: Stop

    async def ask(
        self, method: str, path: str | URL, token: str | None = None, *, ops: bool = False, **request: Any
    ) -> Answer:
        """One request on a connection of its own, to a path of this service or to a URL as it is."""
        url = path if isinstance(path, URL) else (self.ops_url if ops else self.url) + path
        headers = dict(request.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers, allow_redirects=False, **request) as response,
        ):
            body = await response.read()
            value = json.loads(body) if body and response.content_type.endswith("json") else None
            return Answer(response.status, response.headers, body, value)


MakeApp = Callable[[ServiceMetrics, Readiness], web.Application]


@asynccontextmanager
async def running(make: MakeApp, name: str) -> AsyncIterator[Service]:
    """Serve an application with the kit, on ports that the system chooses."""
    metrics, readiness, stop = ServiceMetrics(name), Readiness(), Stop()
    ready: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(
            make(metrics, readiness),
            listen=ANY_PORT,
            ops=ANY_PORT,
            readiness=readiness,
            metrics=metrics,
            drain_seconds=0,
            grace_seconds=1,
            on_ready=ready.set_result,
            stop=stop,
        )
    )
    try:
        both: set[asyncio.Future[Any]] = {task, ready}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        listening = ready.result()
        assert listening.ops_url is not None
        yield Service(listening.url, listening.ops_url, stop)
    finally:
        stop.ask()
        stop.ask()
        await asyncio.wait({task})
    task.result()


def notes_service(dsn: str, trusted: TrustSettings, **changes: Any) -> Any:
    """resource_a, on its own database, migrated on start."""
    values: dict[str, Any] = {"database_url": Secret(dsn), "migrate_on_start": True, "pool_size": 4}
    settings = resource_a.settings.Settings(**(values | {"command_seconds": 2.0} | changes))
    return running(
        lambda metrics, readiness: resource_a.app.create_app(settings, trusted, metrics=metrics, readiness=readiness),
        "resource_a",
    )


def reports_service(notes_url: str, trusted: TrustSettings, **changes: Any) -> Any:
    """resource_b, asking the notes service at ``notes_url``."""
    values: dict[str, Any] = {"notes_url": notes_url, "notes_timeout_seconds": 1.0}
    settings = resource_b.settings.Settings(**(values | changes))
    return running(
        lambda metrics, readiness: resource_b.app.create_app(settings, trusted, metrics=metrics, readiness=readiness),
        "resource_b",
    )
