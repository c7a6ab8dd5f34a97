"""A container's health check: what it says of any answer, and that it comes to an end whatever the service does."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from farseal.service.probe import MOST_BYTES, SECONDS, main

ENGINE_SECONDS = 3.0
"""After which the engine kills a check (`--timeout` in the Dockerfile). It must have ended by itself before."""
CHUNK = b"x" * 4096

Answer = Callable[[socket.socket, threading.Event], None]


def says(data: bytes) -> Answer:
    """Send this and close."""
    return lambda peer, _: peer.sendall(data)


def silent(peer: socket.socket, over: threading.Event) -> None:
    """Take the request and say nothing."""
    over.wait()


def goes_on(head: bytes, chunk: bytes, pause: float) -> Answer:
    """Begin so, then send the same for ever."""

    def answer(peer: socket.socket, over: threading.Event) -> None:
        peer.sendall(head)
        while not over.wait(pause):
            peer.sendall(chunk)

    return answer


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Serve an answer on a real socket; give its address."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    started: list[threading.Thread] = []

    def begin(answer: Answer) -> str:
        def accept() -> None:
            try:
                peer, _ = listener.accept()
                with peer:
                    peer.recv(4096)
                    answer(peer, over)
            except OSError:
                pass  # the probe has gone, or nobody came

        started.append(threading.Thread(target=accept))
        started[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/readyz"

    yield begin
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in started:
        thread.join()


def ok(body: bytes = b"", status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        pytest.param(ok(b"ready"), 0, "", id="ready"),
        pytest.param(ok(b"starting", "503 Service Unavailable"), 1, "503 starting\n", id="not-ready"),
        pytest.param(ok(b"", "204 No Content"), 1, "204 \n", id="another-success"),
        pytest.param(ok(b"", "302 Found"), 1, "302 \n", id="elsewhere-is-not-asked"),
        pytest.param(b"", 1, "no answer: ", id="closed"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", 1, "no answer: ", id="no-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, 1, "no answer: ", id="headers-without-end"),
        pytest.param(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nhalf", 1, "503 half\n", id="cut-off"),
        pytest.param(ok(b"\xff\xfe", "503 No"), 1, "503 \ufffd\ufffd\n", id="no-text"),
    ],
)
def test_the_status_is_0_for_200_and_1_for_all_else(serve, capsys, answer, status, told) -> None:
    assert main([serve(says(answer))]) == status
    assert capsys.readouterr().out.startswith(told)


def test_nobody_there_is_1(capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main([f"http://127.0.0.1:{port}/readyz"]) == 1
    assert "no answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="none"),
        pytest.param(["http://127.0.0.1/", "http://127.0.0.1/"], id="two"),
        pytest.param(["https://127.0.0.1/"], id="https"),
        pytest.param(["http:///readyz"], id="no-host"),
        pytest.param(["http://127.0.0.1:port/"], id="no-port"),
    ],
)
def test_without_one_address_the_status_is_2(arguments, capsys) -> None:
    assert main(arguments) == 2
    assert "give one address" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param(silent, 1, id="silent"),
        pytest.param(goes_on(b"", b"H", 0.1), 1, id="a-byte-at-a-time"),
        pytest.param(goes_on(b"HTTP/1.1 200 OK\r\nA: ", b"b", 0.1), 1, id="a-header-without-end"),
        pytest.param(goes_on(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.1), 0, id="ready-and-its-body-is-not-waited-for"),
        pytest.param(goes_on(b"HTTP/1.1 503 No\r\n\r\n", b"x", 0.1), 1, id="not-ready-and-slow"),
        pytest.param(goes_on(b"HTTP/1.1 503 No\r\n\r\n", CHUNK, 0), 1, id="not-ready-and-endless"),
    ],
)
def test_it_ends_by_itself_before_the_engine_ends_it(serve, capsys, answer, status) -> None:
    """Killed by the engine it would tell nothing, and the container's state would not say why."""
    url, before = serve(answer), time.monotonic()
    assert main([url]) == status
    assert time.monotonic() - before < ENGINE_SECONDS
    told = capsys.readouterr().out
    assert bool(told) is (status == 1)
    assert len(told) <= MOST_BYTES + 10


def test_the_deadline_is_the_engines_less_what_python_takes_to_start() -> None:
    assert ENGINE_SECONDS - 1 >= SECONDS
