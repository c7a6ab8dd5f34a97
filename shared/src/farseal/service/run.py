"""From start to a graceful end: bind, start, serve, and on a signal stop without dropping a request.

The order of the end is the point. A load balancer learns that a replica goes away only from its readiness, so that
fails first and the service goes on serving for ``drain_seconds``; only then does the listener close. Requests in flight
get ``grace_seconds`` to finish. A second signal skips both waits.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from aiohttp import hdrs, web

from farseal.errors import FarsealError
from farseal.service.connection import Connection
from farseal.service.crowd import OPS_CONNECTIONS, most_connections, raise_descriptor_limit
from farseal.service.listen import Listen, ListenError, Site, bind
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import NO_PAGES, Pages, Readiness, ops_application

__all__ = ["Listen", "ListenError", "Listening", "Stop", "run", "serve"]

T = TypeVar("T")

EXIT_STOPPED: Final = 0
EXIT_FAILED: Final = 1
"""It could not start, or it broke."""
EXIT_MISCONFIGURED: Final = 2
"""Something must be changed before another try: a setting, a port."""

SETTLE_SECONDS: Final = 0.05
"""Between the end of listening and the first look for idle connections."""

CANCEL_SECONDS: Final = 0.5
"""What a cancelled handler gets to clean up after itself."""

CLEANUP_SECONDS: Final = 10.0
"""What the application's clean-up gets before the process ends anyway."""

log = structlog.get_logger("farseal.service.run")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a started service answers, with the ports that the system chose."""

    url: str
    ops_url: str | None


class Stop:
    """Asks a running service to end: once politely, twice without waits."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def ask(self) -> None:
        """Stop; when asked again, stop waiting."""
        if self.asked.is_set():
            self.hurried.set()
        self.asked.set()


async def serve(
    app: web.Application,
    *,
    listen: Listen,
    ops: Listen | None,
    readiness: Readiness,
    metrics: ServiceMetrics,
    drain_seconds: float = 5.0,
    grace_seconds: float = 20.0,
    on_ready: Callable[[Listening], None] | None = None,
    stop: Stop | None = None,
    pages: Pages = NO_PAGES,
) -> None:
    """Serve ``app`` until SIGTERM, SIGINT or ``stop``; probes on ``ops`` answer from before its start until its end.

    Args:
        app: started here; what it opens in ``cleanup_ctx`` is closed when the last request has ended.
        listen: address of the API.
        ops: address of /livez, /readyz and /metrics; None for a service without.
        readiness: ``starting`` and ``draining`` are set here.
        metrics: shared with `farseal.service.requests.install`.
        drain_seconds: how long to serve on after readiness began to fail: the load balancer's interval and some.
        grace_seconds: how long requests in flight may take once the listener is closed.
        on_ready: called once, when requests are accepted.
        stop: in place of signals, for a service that is part of something else.
        pages: what ``ops`` shows beside the probes.

    Raises:
        ListenError: an address cannot be had; nothing was started.
        Exception: whatever the application's start raised.
    """
    async with contextlib.AsyncExitStack() as stack:
        if stop is None:
            stop = Stop()
            stack.enter_context(_signals(stop))
        bound = stack.enter_context(contextlib.closing(bind(listen)))
        ops_bound = stack.enter_context(contextlib.closing(bind(ops))) if ops else None
        readiness.starting = True

        ops_site = None
        if ops and ops_bound:
            ops_runner = web.AppRunner(ops_application(readiness, metrics, pages), shutdown_timeout=CANCEL_SECONDS)
            stack.push_async_callback(ops_runner.cleanup)
            await ops_runner.setup()
            ops_site = Site(ops_runner, ops, ops_bound, metrics, most=OPS_CONNECTIONS)
            await ops_site.start()

        app.on_response_prepare.append(_closing_while_draining(readiness))
        runner = web.AppRunner(app, shutdown_timeout=CANCEL_SECONDS)
        stack.push_async_callback(_clean_up, runner)
        if not await _unless_stopped(runner.setup(), stop):
            log.info("stopped while starting")
            return
        site = Site(runner, listen, bound, metrics, most=most_connections())
        await site.start()
        readiness.starting = False
        listening = Listening(site.name, ops_site.name if ops_site else None)
        log.info("listening", url=listening.url, ops_url=listening.ops_url)
        if on_ready:
            on_ready(listening)

        await stop.asked.wait()
        readiness.draining = True
        log.info("draining", drain_seconds=drain_seconds)
        await _wait(stop.hurried, drain_seconds)
        await site.stop()
        await _finish_requests(runner, stop, grace_seconds)
    log.info("stopped")


def run(
    app: web.Application,
    *,
    listen: Listen,
    ops: Listen | None,
    readiness: Readiness,
    metrics: ServiceMetrics,
    drain_seconds: float = 5.0,
    grace_seconds: float = 20.0,
    on_ready: Callable[[Listening], None] | None = None,
    pages: Pages = NO_PAGES,
) -> int:
    """`serve` as a whole process: an exit code, and one line on standard error for what an operator must change.

    Returns:
        0 after a graceful end, 1 when it could not start or broke, 2 for an address that cannot be had.
    """
    raise_descriptor_limit()
    try:
        asyncio.run(
            serve(
                app,
                listen=listen,
                ops=ops,
                readiness=readiness,
                metrics=metrics,
                drain_seconds=drain_seconds,
                grace_seconds=grace_seconds,
                on_ready=on_ready,
                pages=pages,
            )
        )
    except ListenError as error:
        sys.stderr.write(f"{metrics.service}: {error}\n")
        return EXIT_MISCONFIGURED
    except FarsealError as error:
        sys.stderr.write(f"{metrics.service}: cannot start: {error}\n")
        return EXIT_FAILED
    except Exception:
        log.exception("the service broke")
        return EXIT_FAILED
    return EXIT_STOPPED


@contextlib.contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.ask)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _closing_while_draining(
    readiness: Readiness,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Tell clients with open connections to make their next one elsewhere."""

    async def close(_request: web.Request, response: web.StreamResponse) -> None:
        if readiness.draining:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    return close


async def _unless_stopped(starting: Awaitable[None], stop: Stop) -> bool:
    """Whether the start came to its end; it is cancelled when the service is told to stop meanwhile."""
    start = asyncio.ensure_future(starting)
    asked = asyncio.ensure_future(stop.asked.wait())
    try:
        await asyncio.wait({start, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        if not start.done():
            start.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await start
    if start.cancelled():
        return False
    start.result()
    return True


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def _finish_requests(runner: web.AppRunner, stop: Stop, grace_seconds: float) -> None:
    server = runner.server
    if server is None:
        return
    # Connections that were accepted just before the listener closed get to their first read.
    await _wait(stop.hurried, SETTLE_SECONDS)
    loop = asyncio.get_running_loop()
    end = loop.time() + grace_seconds
    while busy := _close_idle(server.connections):
        if loop.time() >= end or stop.hurried.is_set():
            log.warning("requests cut off", requests=busy)
            return
        await _wait(stop.hurried, 0.02)


def _close_idle(connections: Iterable[web.RequestHandler]) -> int:
    """Close what serves no request, and give the number of the others.

    A busy connection is left alone until it is idle, for a request whose body is still arriving must be read to its
    end. aiohttp's own ``close`` would make either kind deaf and leave it open: a client that reuses such a connection
    waits for an answer that never comes, where a closed one tells it to go elsewhere.
    """
    busy = 0
    for connection in connections:
        if isinstance(connection, Connection) and connection.busy:
            busy += 1
        else:
            connection.force_close()
    return busy


async def _clean_up(runner: web.AppRunner) -> None:
    try:
        async with asyncio.timeout(CLEANUP_SECONDS):
            await runner.cleanup()
    except TimeoutError:
        log.error("clean-up did not end", seconds=CLEANUP_SECONDS)  # noqa: TRY400 - the traceback is the timer's
