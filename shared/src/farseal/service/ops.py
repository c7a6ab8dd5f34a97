"""The internal port: is it alive, may it get requests, what has it counted. Never exposed beside the API."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from farseal.service.metrics import ServiceMetrics

Check = Callable[[], Awaitable[str | None]]
"""Gives None when all is well, else the reason in words that an operator may read."""

CHECK_SECONDS: Final = 2.0
"""A check that takes longer has failed: probes themselves time out, by habit after 1 to 5 s."""

log = structlog.get_logger("farseal.service.ops")


class Readiness:
    """Whether requests should be sent here. Whoever runs the service sets ``starting`` and
    ``draining``."""

    def __init__(self) -> None:
        self.starting = False
        self.draining = False
        self._checks: dict[str, Check] = {}
        self._told: dict[str, str] = {}

    def add(self, name: str, check: Check) -> None:
        """Ask ``check`` at every probe. A name is given once."""
        if name in self._checks:
            raise ValueError(f"a readiness check named {name} exists")
        self._checks[name] = check

    async def reasons(self) -> dict[str, str]:
        """Why requests should go elsewhere, by check; empty when ready. A change is logged once, not at each probe."""
        found: dict[str, str] = {}
        if self.starting:
            found["service"] = "starting"
        if self.draining:
            found["service"] = "draining"
        answers = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
        found |= {name: reason for name, reason in zip(self._checks, answers, strict=True) if reason is not None}
        if found != self._told:
            self._told = found
            log.info("readiness changed", ready=not found, reasons=found)
        return found

    async def _ask(self, check: Check) -> str | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await check()
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - a check that breaks is a reason, not an end
            return f"the check failed: {type(error).__name__}"


def ops_application(readiness: Readiness, metrics: ServiceMetrics) -> web.Application:
    """GET /livez, /readyz (503 with the reasons) and /metrics. No secrets, no authentication: an internal port."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"}, headers=_NO_STORE)

    async def readyz(_request: web.Request) -> web.Response:
        reasons = await readiness.reasons()
        if reasons:
            return web.json_response({"status": "not ready", "reasons": reasons}, status=503, headers=_NO_STORE)
        return web.json_response({"status": "ready"}, headers=_NO_STORE)

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", make_aiohttp_handler(metrics.registry))
    return app


_NO_STORE: Final = {"Cache-Control": "no-store"}
