"""``python -m farseal.service.probe URL``: ask a service whether it is ready, for the health check of a container.

Nothing but the standard library is imported: a container's health is asked for every few seconds.

Exit status: 0 when the answer is 200, 1 when it is another, or none comes within two seconds, 2 without an address.
What is not ready is told on standard output, which container engines keep beside the state.
"""

import http.client
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final
from urllib.parse import SplitResult, urlsplit

SECONDS: Final = 2.0
"""For all of it. A socket's own timeout would begin anew with every byte of an answer that trickles."""
MOST_BYTES: Final = 2048
"""Of an answer that are told."""


def _late(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"not within {SECONDS:g} s")


def _address(arguments: Sequence[str]) -> tuple[SplitResult, int | None] | None:
    """Give the one address and its port, None when it is not one."""
    try:
        parts = urlsplit(arguments[0] if len(arguments) == 1 else "")
        port = parts.port
    except ValueError:
        return None
    return (parts, port) if parts.scheme == "http" and parts.hostname is not None else None


def _told(response: http.client.HTTPResponse) -> str:
    """Give the beginning of a body, as much of it as comes in time."""
    body = b""
    try:
        while len(body) < MOST_BYTES and (more := response.read1(MOST_BYTES - len(body))):
            body += more
    except (OSError, http.client.HTTPException):
        pass  # the status is told all the same
    return body.decode(errors="replace").strip()


def main(arguments: Sequence[str]) -> int:
    """Ask once; give the exit status. For the main thread of a process: the deadline is its alarm."""
    address = _address(arguments)
    if address is None:
        sys.stderr.write("probe: give one address, http://HOST:PORT/readyz\n")
        return 2
    parts, port = address
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    connection = http.client.HTTPConnection(str(parts.hostname), port)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        told = "" if response.status == 200 else f"{response.status} {_told(response)}\n"
    except (OSError, http.client.HTTPException) as error:
        told = f"no answer: {error}\n"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        connection.close()
    sys.stdout.write(told)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
