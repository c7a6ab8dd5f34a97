"""A small service, started by test_run.py as a process of its own. Its options are JSON in its one argument."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from farseal.service.logs import configure_logging
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.service.requests import install
from farseal.service.run import Listen, run

log = structlog.get_logger()


def main(options: dict[str, float]) -> int:
    """Serve until a signal comes."""
    configure_logging("kit")
    metrics = ServiceMetrics("kit")

    async def fast(_request: web.Request) -> web.Response:
        return web.Response(text="fast")

    async def slow(request: web.Request) -> web.Response:
        log.info("slow began")
        await asyncio.sleep(float(request.query["for"]))
        return web.Response(text="slow")

    async def upload(request: web.Request) -> web.Response:
        log.info("upload began")
        return web.Response(text=str(len(await request.read())))

    async def resources(_app: web.Application) -> AsyncIterator[None]:
        try:
            if "start_seconds" in options:
                log.info("starting slowly")
                await asyncio.sleep(options["start_seconds"])
            yield
        finally:
            log.info("cleaned up")

    app = web.Application()
    install(app, metrics=metrics)
    app.cleanup_ctx.append(resources)
    app.router.add_get("/fast", fast)
    app.router.add_get("/slow", slow)
    app.router.add_post("/upload", upload)
    return run(
        app,
        listen=Listen("127.0.0.1", int(options.get("port", 0)), "KIT_PORT"),
        ops=Listen("127.0.0.1", int(options.get("ops_port", 0)), "KIT_OPS_PORT"),
        readiness=Readiness(),
        metrics=metrics,
        drain_seconds=options.get("drain_seconds", 0),
        grace_seconds=options.get("grace_seconds", 5),
    )


if __name__ == "__main__":
    raise SystemExit(main(json.loads(sys.argv[1])))
