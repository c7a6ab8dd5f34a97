"""The internal port: is it alive, may it get requests, what has it counted. Never exposed beside the API."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import structlog
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from farseal.service.metrics import ServiceMetrics

Check = Callable[[], Awaitable[str | None]]
"""Gives None when all is well, else the reason in words that an operator may read."""

Pages = Mapping[str, Callable[[], Mapping[str, object]]]
"""By path, what makes the JSON of a further page, each time anew; it does not wait for anything."""

CHECK_SECONDS: Final = 2.0
"""A check that takes longer has failed: probes themselves time out, by habit after 1 to 5 s."""

_NO_STORE: Final = {"Cache-Control": "no-store"}
NO_PAGES: Final[Pages] = MappingProxyType({})

log = structlog.get_logger("farseal.service.ops")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a service is, by check: ``reasons`` to send requests elsewhere, ``warnings`` to look at soon."""

    reasons: Mapping[str, str]
    warnings: Mapping[str, str]


class Readiness:
    """Whether requests should be sent here. Whoever runs the service sets ``starting`` and ``draining``."""

    def __init__(self) -> None:
        self.starting = False
        self.draining = False
        self._checks: dict[str, tuple[Check, bool]] = {}
        self._told = Standing({}, {})

    def add(self, name: str, check: Check, *, required: bool = True) -> None:
        """Ask ``check`` at every probe. A name is given once.

        Args:
            name: of the check, as probes show it.
            check: asked at every probe.
            required: whether requests should go elsewhere when it fails. A fault that all replicas share (a full
                volume, say) and that no request needs is shown as a warning instead: it must not drain them all.
        """
        if name in self._checks:
            raise ValueError(f"a readiness check named {name} exists")
        self._checks[name] = (check, required)

    async def standing(self) -> Standing:
        """Ask every check. A change is logged once, not at each probe."""
        reasons: dict[str, str] = {}
        warnings: dict[str, str] = {}
        if self.starting:
            reasons["service"] = "starting"
        if self.draining:
            reasons["service"] = "draining"
        answers = await asyncio.gather(*(self._ask(check) for check, _ in self._checks.values()))
        for (name, (_, required)), answer in zip(self._checks.items(), answers, strict=True):
            if answer is not None:
                (reasons if required else warnings)[name] = answer
        found = Standing(reasons, warnings)
        if found != self._told:
            self._told = found
            log.info("readiness changed", ready=not reasons, reasons=reasons, warnings=warnings)
        return found

    async def reasons(self) -> Mapping[str, str]:
        """Why requests should go elsewhere, by check; empty when ready."""
        return (await self.standing()).reasons

    async def _ask(self, check: Check) -> str | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await check()
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - a check that breaks is a reason, not an end
            return f"the check failed: {type(error).__name__}"


def ops_application(readiness: Readiness, metrics: ServiceMetrics, pages: Pages = NO_PAGES) -> web.Application:
    """GET /livez, /readyz (503 with the reasons, 200 with warnings) and /metrics, for an internal port.

    No authentication, and no secrets in what it tells.

    Args:
        readiness: asked at each probe.
        metrics: shown.
        pages: what else the service tells.
    """

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"}, headers=_NO_STORE)

    async def readyz(_request: web.Request) -> web.Response:
        found = await readiness.standing()
        body: dict[str, object] = {"status": "not ready" if found.reasons else "ready"}
        if found.reasons:
            body["reasons"] = found.reasons
        if found.warnings:
            body["warnings"] = found.warnings
        return web.json_response(body, status=503 if found.reasons else 200, headers=_NO_STORE)

    def page(make: Callable[[], Mapping[str, object]]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def show(_request: web.Request) -> web.Response:
            return web.json_response(make(), headers=_NO_STORE)

        return show

    app = web.Application()
    for path, make in pages.items():
        app.router.add_get(path, page(make))
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", make_aiohttp_handler(metrics.registry))
    return app
