"""A service from its start to its end: as a real process, with signals, and with hostile bytes on the wire."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web

from farseal.errors import FarsealError
from farseal.service import run as run_module
from farseal.service.connection import MAX_FIELD_BYTES, MAX_FIELDS, MAX_LINE_BYTES
from farseal.service.listen import Listen, ListenError, bind
from farseal.service.metrics import ServiceMetrics
from farseal.service.ops import Readiness
from farseal.service.requests import install
from farseal.service.run import Listening, Stop, run, serve

PROGRAM = Path(__file__).parent / "service_program.py"


class Process:
    """The test's service as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, object]] = []
        self.url = self.ops = ""

    async def event(self, name: str) -> dict[str, object]:
        """The next log line of this name."""
        assert self.process.stderr is not None
        async with asyncio.timeout(10):
            while raw := await self.process.stderr.readline():
                self.lines.append(json.loads(raw))
                if self.lines[-1]["event"] == name:
                    return self.lines[-1]
        raise AssertionError(f"no {name} in {self.lines}")

    async def end(self) -> int:
        """The exit code; what it logged until then is in ``lines``."""
        assert self.process.stderr is not None
        async with asyncio.timeout(10):
            rest = await self.process.stderr.read()
            self.lines += [json.loads(line) for line in rest.splitlines()]
            return await self.process.wait()

    def events(self) -> list[object]:
        """The names of what it logged."""
        return [line["event"] for line in self.lines]


@pytest.fixture
async def start():
    """Starts services; none outlives its test."""
    started: list[Process] = []

    async def start_one(*, ready: bool = True, **options: object) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), json.dumps(options), stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        started.append(Process(process))
        if ready:
            line = await started[-1].event("listening")
            started[-1].url, started[-1].ops = str(line["url"]), str(line["ops_url"])
        return started[-1]

    yield start_one
    for one in started:
        if one.process.returncode is None:
            one.process.kill()
        await one.end()


@pytest.fixture
async def http():
    """A client that keeps no connection."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def test_a_stopping_service_drops_no_request(start, http) -> None:
    """SIGTERM: unready at once, alive and serving while it drains, requests in flight completed, exit code 0."""
    service = await start(drain_seconds=0.6, grace_seconds=10)
    assert (await http.get(f"{service.ops}/readyz")).status == 200
    slow = asyncio.ensure_future(http.get(f"{service.url}/slow?for=1.2"))
    await service.event("slow began")
    service.process.send_signal(signal.SIGTERM)
    await service.event("draining")
    async with http.get(f"{service.ops}/readyz") as unready:
        assert unready.status == 503
        assert (await unready.json())["reasons"] == {"service": "draining"}
    async with http.get(f"{service.ops}/livez") as alive:
        assert alive.status == 200
    async with http.get(f"{service.url}/fast") as served:
        assert served.status == 200, "the load balancer has not noticed yet"
        assert served.headers["Connection"] == "close"
    response = await slow
    assert (response.status, await response.text()) == (200, "slow")
    assert await service.end() == 0
    assert service.events()[-2:] == ["cleaned up", "stopped"]
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(f"{service.url}/fast")


async def test_one_status_has_one_code(start, http) -> None:
    """What no middleware answers, as on the internal port, is told by the same word as everywhere else."""
    service = await start()
    for url in (service.url + "/fast", service.ops + "/livez"):
        async with http.post(url) as response:
            assert (response.status, (await response.json())["code"]) == (405, "method_not_allowed")
    async with http.get(f"{service.ops}/nowhere") as response:
        assert (response.status, (await response.json())["code"]) == (404, "not_found")


async def test_the_listener_closes_before_the_last_request_ends(start, http) -> None:
    """After the drain no new request is taken, while an old one is still finished; probes answer all the time."""
    service = await start(drain_seconds=0, grace_seconds=10)
    slow = asyncio.ensure_future(http.get(f"{service.url}/slow?for=1"))
    await service.event("slow began")
    service.process.send_signal(signal.SIGINT)
    await service.event("draining")
    await asyncio.sleep(0.2)
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(f"{service.url}/fast")
    assert (await http.get(f"{service.ops}/livez")).status == 200
    assert (await slow).status == 200
    assert await service.end() == 0


async def test_a_body_that_is_still_arriving_is_read_to_its_end(start, http) -> None:
    """A request counts from its first byte: its body may come in after the listener has closed."""
    service = await start(drain_seconds=0, grace_seconds=10)
    closed = asyncio.Event()

    async def body():
        yield b"first half, "
        await closed.wait()
        yield b"second half"

    upload = asyncio.ensure_future(http.post(f"{service.url}/upload", data=body()))
    await service.event("upload began")
    service.process.send_signal(signal.SIGTERM)
    await service.event("draining")
    with contextlib.suppress(aiohttp.ClientConnectionError):
        async with asyncio.timeout(5):
            while await http.get(f"{service.url}/fast"):
                pass
    closed.set()
    response = await upload
    assert (response.status, await response.text()) == (200, "23")
    assert await service.end() == 0


async def test_an_idle_connection_is_closed_while_others_are_finished(start, http) -> None:
    """Whoever would reuse it learns at once that it is gone, and is not kept waiting for the grace to end."""
    service = await start(drain_seconds=0, grace_seconds=30)
    address = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
    writer.write(b"GET /fast HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readuntil(b"fast")
    slow = asyncio.ensure_future(http.get(f"{service.url}/slow?for=2"))
    await service.event("slow began")
    service.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(1):
        assert await reader.read() == b""
    assert not slow.done()
    assert (await slow).status == 200
    writer.close()


async def test_an_idle_connection_does_not_hold_the_end(start) -> None:
    """Keep-alive connections are closed, not waited for."""
    service = await start(drain_seconds=0, grace_seconds=30)
    async with aiohttp.ClientSession() as session:
        await (await session.get(f"{service.url}/fast")).read()
        service.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(3):
            assert await service.end() == 0


async def test_a_request_beyond_the_grace_is_cut_off(start, http) -> None:
    """The end comes in bounded time, and says what it cut."""
    service = await start(drain_seconds=0, grace_seconds=0.2)
    slow = asyncio.ensure_future(http.get(f"{service.url}/slow?for=60"))
    await service.event("slow began")
    service.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await service.end() == 0
    with pytest.raises(aiohttp.ClientError):
        await slow
    cut = next(line for line in service.lines if line["event"] == "requests cut off")
    assert cut["requests"] == 1


async def test_a_second_signal_hurries(start, http) -> None:
    """An operator who is in a hurry presses Ctrl-C twice."""
    service = await start(drain_seconds=60, grace_seconds=60)
    slow = asyncio.ensure_future(http.get(f"{service.url}/slow?for=60"))
    await service.event("slow began")
    service.process.send_signal(signal.SIGINT)
    await service.event("draining")
    service.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(5):
        assert await service.end() == 0
    with pytest.raises(aiohttp.ClientError):
        await slow


async def test_a_signal_while_starting_ends_the_start(start) -> None:
    """A service that waits for its database can be stopped; what it opened is closed."""
    service = await start(ready=False, start_seconds=60)
    await service.event("starting slowly")
    service.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await service.end() == 0
    assert service.events()[-2:] == ["cleaned up", "stopped while starting"]


async def test_probes_answer_while_the_service_starts(start, http) -> None:
    """Alive, not ready: whoever restarts services that do not answer must not restart this one."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    service = await start(ready=False, start_seconds=60, ops_port=port)
    await service.event("starting slowly")
    assert (await http.get(f"http://127.0.0.1:{port}/livez")).status == 200
    async with http.get(f"http://127.0.0.1:{port}/readyz") as unready:
        assert (await unready.json())["reasons"] == {"service": "starting"}


@pytest.mark.parametrize(("which", "setting"), [("port", "KIT_PORT"), ("ops_port", "KIT_OPS_PORT")])
async def test_a_busy_port_is_one_clear_line(start, which, setting) -> None:
    """Host, port and the setting to change, on standard error; exit code 2; nothing was started."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        service = await start(ready=False, **{which: port})
        output = await service.process.stderr.read()
        assert await service.process.wait() == 2
    assert output.decode() == (
        f"kit: cannot listen on 127.0.0.1:{port}: the port is in use; stop the program that uses it, or set {setting}\n"
    )


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        pytest.param(Listen("127.0.0.1", 1), None, id="may-be-forbidden"),
        pytest.param(
            Listen("192.0.2.1", 0, "H"), "no such address on this machine; correct the host, or set H", id="foreign"
        ),
        pytest.param(Listen("no.such.host.invalid", 0), "cannot listen on no.such.host.invalid:0: ", id="unknown-host"),
    ],
)
def test_an_address_that_cannot_be_had_is_explained(listen, message) -> None:
    """Each with its remedy."""
    if message is None:
        assert "above 1023" in str(listen.error(PermissionError(13, "Permission denied")))
        assert "choose another address" in str(listen.error(OSError(5, "Input/output error")))
        return
    with pytest.raises(ListenError) as caught:
        bind(listen)
    assert message in str(caught.value)


def test_ipv6_is_written_in_brackets() -> None:
    """As in a URL."""
    assert str(Listen("::1", 9000)) == "[::1]:9000"
    try:
        bound = bind(Listen("::1", 0))
    except ListenError:
        pytest.skip("no IPv6 here")
    bound.close()


def service_app(metrics: ServiceMetrics) -> web.Application:
    """A small application in this process."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    install(app, metrics=metrics)
    app.router.add_route("*", "/echo", echo)
    return app


@pytest.fixture
async def running():
    """That application served in this process, by the kit; gives host, port and its numbers."""
    metrics, stop, ready = ServiceMetrics("kit"), Stop(), asyncio.get_running_loop().create_future()
    listen = Listen("127.0.0.1", 0)
    task = asyncio.ensure_future(
        serve(
            service_app(metrics), listen=listen, ops=None, readiness=Readiness(), metrics=metrics,
            drain_seconds=0, grace_seconds=1, on_ready=ready.set_result, stop=stop,
        )
    )  # fmt: skip
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    listening: Listening = ready.result()
    assert listening.ops_url is None
    yield int(listening.url.rsplit(":", 1)[1]), metrics
    stop.ask()
    await task


async def exchange(port: int, *parts: bytes) -> bytes:
    """What the service answers to these bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


HEAD = b"GET /echo HTTP/1.1\r\nHost: a\r\n"
AUTHORIZATION = HEAD + b"Authorization: Bearer "
END = b"\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        pytest.param([AUTHORIZATION + b"s" * 100_000 + END], 431, "headers_too_large", id="100-kB"),
        pytest.param([AUTHORIZATION + b"s" * 10_000, b"s" * 90_000 + END], 431, "headers_too_large", id="in-parts"),
        pytest.param([HEAD + b"X: " + b"s" * (MAX_FIELD_BYTES + 1) + END], 431, "headers_too_large", id="one-more"),
        pytest.param([HEAD + b"s: 1\r\n" * (MAX_FIELDS + 1) + b"\r\n"], 431, "headers_too_large", id="many-headers"),
        pytest.param([b"GET /" + b"s" * MAX_LINE_BYTES + b" HTTP/1.1" + END], 414, "uri_too_long", id="long-path"),
        pytest.param([AUTHORIZATION + b"s\x01ecret" + END], 400, "request_malformed", id="control-byte"),
        pytest.param([AUTHORIZATION + b"s\x00ecret" + END], 400, "request_malformed", id="nul-in-a-header"),
        pytest.param([HEAD + b"Author\x7fization: secret" + END], 400, "request_malformed", id="delete-in-a-name"),
        pytest.param([b"GET /ec\x00ho HTTP/1.1" + END], 400, "request_malformed", id="nul-in-the-path"),
        pytest.param([b"\x16\x03\x01secret" + END], 400, "request_malformed", id="tls-on-a-plain-port"),
        pytest.param([b"BREW /secret HTTP/9.9" + END], 400, "request_malformed", id="version"),
        pytest.param(
            [HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
            400, "request_malformed", id="smuggling",
        ),
        pytest.param(
            [b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"secret\r\n"],
            400, "body_malformed", id="chunk-size",
        ),
        pytest.param(
            [HEAD + b"Expect: secret\r\nConnection: close\r\n\r\n"], 417, "expectation_failed", id="expectation",
        ),
    ],
)  # fmt: skip
async def test_bytes_that_are_no_request_get_a_clean_4xx(running, parts, status, code) -> None:
    """A problem, never a 500; neither the answer nor the log holds the bytes or a traceback."""
    port, metrics = running
    with structlog.testing.capture_logs() as logged:
        answer = await exchange(port, *parts)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert b"application/problem+json" in head
    assert b"nosniff" in head or status == 417
    assert b"Python" not in head
    assert json.loads(body.split(b"\r\n\r\n")[0].split(b"HTTP/1.")[0])["code"] == code
    assert "secret" not in str(logged)
    assert "sss" not in answer.decode() + str(logged)
    assert not any("exc_info" in line for line in logged)
    if code == "request_malformed":
        label = {"method": "other", "route": "malformed", "status": str(status)}
        assert metrics.registry.get_sample_value("http_requests_total", label) == 1


async def test_headers_up_to_the_bound_are_served(running) -> None:
    """A token of 16 KiB fits, which is the most that a verifier reads."""
    port, _ = running
    token = b"s" * 16_384
    answer = await exchange(port, HEAD + b"Authorization: Bearer " + token + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_compressed_body_is_not_inflated(running) -> None:
    """The parser leaves it alone; whoever reads bodies refuses it."""
    port, _ = running
    request = (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    )
    assert (await exchange(port, request)).endswith(b"\r\n\r\nabc")


async def test_an_error_outside_of_every_middleware_is_a_bare_500(running, monkeypatch) -> None:
    """Such as one of aiohttp's own: logged here, told to nobody."""
    port, _ = running

    async def broken(_self: object, _request: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(web.UrlDispatcher, "resolve", broken)
    with structlog.testing.capture_logs() as logged:
        answer = await exchange(port, HEAD + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"hunter2" not in answer
    assert [line["event"] for line in logged] == ["unexpected error outside of the application"]


def run_with(on_startup) -> int:
    """The exit code of a service whose start does this."""
    app, metrics = web.Application(), ServiceMetrics("kit")
    app.on_startup.append(on_startup)
    listen = Listen("127.0.0.1", 0)
    return run(app, listen=listen, ops=None, readiness=Readiness(), metrics=metrics, drain_seconds=0)


def test_a_start_that_fails_is_told_in_one_line(capsys) -> None:
    """An error of ours needs no traceback: exit code 1."""

    async def fails(_app: web.Application) -> None:
        raise FarsealError("the database refused")

    assert run_with(fails) == 1
    assert capsys.readouterr().err == "kit: cannot start: the database refused\n"


def test_a_start_that_breaks_is_logged(capsys) -> None:
    """An error of nobody's needs one: exit code 1."""

    async def breaks(_app: web.Application) -> None:
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logged:
        assert run_with(breaks) == 1
    assert [line["event"] for line in logged] == ["the service broke"]
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses the second bind already")
def test_a_port_taken_between_bind_and_listen_is_explained(monkeypatch, capsys) -> None:
    """Two services may bind at the same moment; the one that listens second says so."""
    taken: list[socket.socket] = []

    def bind_and_lose(listen: Listen) -> socket.socket:
        bound = bind(listen)
        other = socket.socket()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(bound.getsockname())
        other.listen()
        taken.append(other)
        return bound

    async def starts(_app: web.Application) -> None:
        """Nothing to do."""

    monkeypatch.setattr(run_module, "bind", bind_and_lose)
    code = run_with(starts)
    taken[0].close()
    assert code == 2
    assert "the port is in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("drain", "grace", "asked", "cut"),
    [
        pytest.param(0.1, 5.0, 1, False, id="graceful"),
        pytest.param(0.0, 0.0, 1, True, id="no-grace"),
        pytest.param(60.0, 60.0, 2, True, id="hurried"),
    ],
)
async def test_a_service_that_is_part_of_something_else_stops_the_same_way(http, drain, grace, asked, cut) -> None:
    """`Stop` in place of a signal: unready, drained, finished or cut off."""
    metrics, stop, readiness = ServiceMetrics("kit"), Stop(), Readiness()
    began, ready = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def slow(_request: web.Request) -> web.Response:
        began.set()
        await asyncio.sleep(0.4)
        return web.Response(text="slow")

    app = service_app(metrics)
    app.router.add_get("/slow", slow)
    task = asyncio.ensure_future(
        serve(
            app, listen=Listen("127.0.0.1", 0), ops=Listen("127.0.0.1", 0), readiness=readiness, metrics=metrics,
            drain_seconds=drain, grace_seconds=grace, on_ready=ready.set_result, stop=stop,
        )
    )  # fmt: skip
    listening: Listening = await ready
    pending = asyncio.ensure_future(http.get(f"{listening.url}/slow"))
    await began.wait()
    with structlog.testing.capture_logs() as logged:
        for _ in range(asked):
            stop.ask()
        if not cut:
            assert (await http.get(f"{listening.ops_url}/readyz")).status == 503
        async with asyncio.timeout(3):
            await task
    assert ("requests cut off" in [line["event"] for line in logged]) is cut
    if not cut:
        assert await (await pending).text() == "slow"
    else:
        with contextlib.suppress(aiohttp.ClientError):
            await pending


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_is_just_being_accepted_is_not_forgotten(http, turns) -> None:
    """It is served or closed, whatever turn of the loop the listener closes in: its client must not wait for nothing.

    Another request keeps the service alive meanwhile.
    """
    stop, ready, held = Stop(), asyncio.get_running_loop().create_future(), asyncio.Event()
    metrics, began = ServiceMetrics("kit"), asyncio.Event()

    async def hold(_request: web.Request) -> web.Response:
        began.set()
        await held.wait()
        return web.Response()

    app = service_app(metrics)
    app.router.add_get("/hold", hold)
    task = asyncio.ensure_future(
        serve(
            app, listen=Listen("127.0.0.1", 0), ops=None, readiness=Readiness(), metrics=metrics,
            drain_seconds=0, grace_seconds=10, on_ready=ready.set_result, stop=stop,
        )
    )  # fmt: skip
    listening: Listening = await ready
    pending = asyncio.ensure_future(http.get(f"{listening.url}/hold"))
    await began.wait()
    stop.ask()
    for _ in range(turns):
        await asyncio.sleep(0)
    port = int(listening.url.rsplit(":", 1)[1])
    try:
        # Refused, reset, closed or answered: all tell the client where it stands. A TimeoutError would not.
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=3) as client:
            client.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.to_thread(client.recv, 1000)
    finally:
        held.set()
    assert (await pending).status == 200
    await task


async def test_a_service_told_to_stop_while_it_starts_ends() -> None:
    """Its start is cancelled; what it had opened is closed."""
    stop, events = Stop(), []

    async def resources(_app: web.Application):
        try:
            stop.ask()
            await asyncio.sleep(60)
            yield
        finally:
            events.append("closed")

    app, metrics = web.Application(), ServiceMetrics("kit")
    app.cleanup_ctx.append(resources)
    async with asyncio.timeout(3):
        await serve(app, listen=Listen("127.0.0.1", 0), ops=None, readiness=Readiness(), metrics=metrics, stop=stop)
    assert events == ["closed"]


async def test_a_stream_that_breaks_without_the_middleware_is_broken_off() -> None:
    """An application without `install` is safe as well: no second head is written into a body that had begun."""

    async def begins(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        raise RuntimeError("late")

    app, metrics, stop = web.Application(), ServiceMetrics("kit"), Stop()
    app.router.add_get("/echo", begins)
    ready = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(
        serve(
            app, listen=Listen("127.0.0.1", 0), ops=None, readiness=Readiness(), metrics=metrics,
            drain_seconds=0, on_ready=ready.set_result, stop=stop,
        )
    )  # fmt: skip
    listening: Listening = await ready
    answer = await exchange(int(listening.url.rsplit(":", 1)[1]), HEAD + b"\r\n")
    stop.ask()
    await task
    assert answer.endswith(b"\r\n\r\nhalf")


async def test_a_clean_up_that_hangs_is_left_behind(monkeypatch) -> None:
    """The process ends, and says so."""
    monkeypatch.setattr(run_module, "CLEANUP_SECONDS", 0.05)

    async def hangs(_app: web.Application) -> None:
        await asyncio.sleep(60)

    app, metrics, stop = web.Application(), ServiceMetrics("kit"), Stop()
    app.on_cleanup.append(hangs)
    with structlog.testing.capture_logs() as logged:
        await serve(
            app, listen=Listen("127.0.0.1", 0), ops=None, readiness=Readiness(), metrics=metrics,
            drain_seconds=0, on_ready=lambda _listening: stop.ask(), stop=stop,
        )  # fmt: skip
    assert "clean-up did not end" in [line["event"] for line in logged]
