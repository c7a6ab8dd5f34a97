"""More connections than a service can hold: who goes, and who is served all the same."""

import asyncio
import contextlib
import resource
import socket

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from farseal.service import connection, crowd
from farseal.service import run as run_module
from farseal.service.crowd import (
    ACCEPTED_AT_ONCE,
    LEAST_CONNECTIONS,
    MAX_CONNECTIONS,
    RESERVED_DESCRIPTORS,
    Crowd,
    most_connections,
)
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.service.requests import install
from farseal.service.run import Listen, Listening, Stop, run, serve

ASK = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
MOST = 3


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, data: bytes = ASK) -> bytes:
        """The status line and head of the answer; nothing when there is none."""
        self.writer.write(data)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(5):
                return await self.reader.readuntil(b"\r\n\r\n")
        return b""

    async def is_closed(self) -> bool:
        """Wait for the end of the connection."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                return await self.reader.read(1) == b""
        return True


@pytest.fixture
async def service(monkeypatch):
    """A service that holds three connections; gives a way to connect, its counters, and the gate of /hold."""
    monkeypatch.setattr(run_module, "most_connections", lambda: MOST)
    metrics, stop, ready = ServiceMetrics("kit"), Stop(), asyncio.get_running_loop().create_future()
    held = asyncio.Event()
    clients: list[Client] = []

    async def echo(_request: web.Request) -> web.Response:
        return web.Response()

    async def hold(_request: web.Request) -> web.Response:
        await held.wait()
        return web.Response()

    app = web.Application()
    install(app, metrics=metrics)
    app.router.add_get("/echo", echo)
    app.router.add_get("/hold", hold)
    task = asyncio.ensure_future(
        serve(
            app, listen=Listen("127.0.0.1", 0), ops=None, readiness=Readiness(), metrics=metrics,
            drain_seconds=0, grace_seconds=1, on_ready=ready.set_result, stop=stop,
        )
    )  # fmt: skip
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    listening: Listening = ready.result()

    async def connect() -> Client:
        port = int(listening.url.rsplit(":", 1)[1])
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", port)))
        return clients[-1]

    yield connect, metrics, held
    held.set()
    for client in clients:
        client.writer.close()
    stop.ask()
    await task


def crowded_out(metrics: ServiceMetrics) -> float:
    return metrics.registry.get_sample_value("http_connections_crowded_out_total") or 0.0


async def test_a_crowd_of_silent_connections_keeps_nobody_out(service) -> None:
    """However many connect and say nothing, or half a head, whoever asks is answered; a log line tells it once."""
    connect, metrics, _ = service
    silent = []
    with capture_logs() as logged:
        for number in range(4 * MOST):
            silent.append(await connect())
            if number % 2:
                silent[-1].writer.write(ASK[:-2])
            assert (await (await connect()).ask()).startswith(b"HTTP/1.1 200")
    assert await silent[0].is_closed()
    assert crowded_out(metrics) == 2 * 4 * MOST - MOST
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == ["connections are crowded out"]


async def test_those_who_have_asked_stay_longer_than_those_who_have_not(service) -> None:
    """A client that keeps its connection between requests is not the first to go, though it is the oldest."""
    connect, _, _ = service
    regular = await connect()
    await regular.ask()
    silent = [await connect() for _ in range(MOST - 1)]
    newcomer = await connect()
    assert await silent[0].is_closed()
    for client in (regular, silent[1], newcomer):
        assert (await client.ask()).startswith(b"HTTP/1.1 200")


async def test_the_oldest_of_those_who_wait_for_their_next_request_goes(service) -> None:
    """When everybody has asked once, the newcomer takes the place of the first of them."""
    connect, _, _ = service
    regulars = [await connect() for _ in range(MOST)]
    for client in regulars:
        await client.ask()
    newcomer = await connect()
    assert await regulars[0].is_closed()
    for client in (*regulars[1:], newcomer):
        assert (await client.ask()).startswith(b"HTTP/1.1 200")


async def test_nobody_who_is_being_served_goes(service) -> None:
    """Then the newcomer is closed at once, and every request in flight gets its answer."""
    connect, metrics, held = service
    served = [await connect() for _ in range(MOST)]
    pending = [asyncio.ensure_future(one.ask(ASK.replace(b"echo", b"hold"))) for one in served]
    while metrics.registry.get_sample_value("http_requests_in_flight") != MOST:  # noqa: ASYNC110 - a gauge is no event
        await asyncio.sleep(0.01)
    assert await (await connect()).is_closed()
    held.set()
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in await asyncio.gather(*pending))
    assert crowded_out(metrics) == 1


async def test_a_connection_that_ended_makes_room(service) -> None:
    """Only open connections count."""
    connect, metrics, _ = service
    for _ in range(3 * MOST):
        client = await connect()
        await client.ask(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert await client.is_closed()
    assert crowded_out(metrics) == 0


class Silent:
    """As much of a connection as a crowd looks at."""

    busy = has_asked = left = False

    def give_way(self) -> None:
        """Its end comes in a later turn of the loop, and others may arrive before."""
        self.left = True


def test_of_many_that_come_at_once_each_takes_the_place_of_another() -> None:
    """A connection that was told to go does not stand in for the next one too."""
    silent = [Silent() for _ in range(3 * MOST)]
    counted = Crowd(MOST, ServiceMetrics("kit"))
    for one in silent:
        counted.enter(one, now=0.0)  # type: ignore[arg-type] # a stand-in
    assert [one.left for one in silent] == [True] * 2 * MOST + [False] * MOST


async def test_connections_queue_while_the_loop_is_busy(service) -> None:
    """The system holds more of them than one turn of the loop takes."""
    connect, _, _ = service
    port = (await connect()).writer.get_extra_info("peername")[1]
    with contextlib.ExitStack() as stack:
        for _ in range(3 * ACCEPTED_AT_ONCE):  # without a turn of the loop in between
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))


def test_a_service_asks_for_its_descriptors_when_it_starts(monkeypatch) -> None:
    """As a process of its own: whoever serves within another program decides for themselves."""
    asked: list[str] = []
    monkeypatch.setattr(run_module, "raise_descriptor_limit", lambda: asked.append("raise"))
    nowhere = Listen("192.0.2.1", 0)
    metrics = ServiceMetrics("kit")
    assert run(web.Application(), listen=nowhere, ops=None, readiness=Readiness(), metrics=metrics) == 2
    assert asked == ["raise"]


async def test_a_head_that_drips_in_is_cut_off(service, monkeypatch) -> None:
    """The time for a whole head runs from the beginning, not from the last byte."""
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 0.3)
    connect, _, _ = service
    client = await connect()
    ended = asyncio.ensure_future(client.is_closed())
    client.writer.write(ASK[:-2])
    while not ended.done():
        client.writer.write(b"X: y\r\n")
        await asyncio.sleep(0.02)
    assert await ended


@pytest.mark.parametrize(
    ("descriptors", "most"),
    [
        pytest.param(resource.RLIM_INFINITY, MAX_CONNECTIONS, id="no-limit"),
        pytest.param(1_000_000, MAX_CONNECTIONS, id="plenty"),
        pytest.param(MAX_CONNECTIONS + RESERVED_DESCRIPTORS, MAX_CONNECTIONS, id="just-enough"),
        pytest.param(1024, 1024 - RESERVED_DESCRIPTORS, id="by-habit"),
        pytest.param(256, LEAST_CONNECTIONS, id="macos-before-it-is-raised"),
    ],
)
def test_connections_leave_descriptors_for_the_rest(monkeypatch, descriptors, most) -> None:
    """The database's pool, files and the internal port have theirs kept free."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, resource.RLIM_INFINITY))
    assert most_connections() == most


@pytest.mark.parametrize(
    ("soft", "hard", "taken"),
    [
        pytest.param(256, resource.RLIM_INFINITY, (4096, resource.RLIM_INFINITY), id="raised"),
        pytest.param(1024, 2048, (2048, 2048), id="as-far-as-allowed"),
        pytest.param(8192, 8192, None, id="enough"),
        pytest.param(resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, id="no-limit"),
    ],
)
def test_a_process_takes_the_descriptors_that_it_may_have(monkeypatch, soft, hard, taken) -> None:
    """Up to the hard limit; a system that refuses is no reason not to start."""
    asked = []

    def refuse(_which, limits):
        asked.append(limits)
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    crowd.raise_descriptor_limit()
    assert asked == ([taken] if taken else [])
