"""How many connections a listener keeps open: a crowd of them must not take what the database and the probes need.

Every connection holds a file descriptor, of which a process has few: 1024 by habit, 256 on macOS. Without a bound, a
thousand silent connections leave none, and the service neither answers nor reaches its database.
"""

import contextlib
import resource
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from farseal.service.connection import Connection
    from farseal.service.metrics import ServiceMetrics

WANTED_DESCRIPTORS: Final = 4096
"""Asked of the system at start, where it allows more than it gives: connections, the pool and files, with room."""

RESERVED_DESCRIPTORS: Final = 256
"""Kept free of API connections: the pool, files, the internal port, and what one turn of the loop accepts."""

MAX_CONNECTIONS: Final = 2000
"""At about 30 KiB each, 60 MiB. A service that has more at work is better served by another replica."""

LEAST_CONNECTIONS: Final = 32
"""However few descriptors there are."""

OPS_CONNECTIONS: Final = 64
"""Of the internal port: probes and a scraper."""

ACCEPTED_AT_ONCE: Final = 32
"""Connections taken in one turn of the event loop. They hold a descriptor before anything here can refuse them."""

TELL_SECONDS: Final = 60.0
"""How often a crowd is logged while it lasts; the metric counts every connection."""

log = structlog.get_logger("farseal.service.crowd")


class Crowd:
    """The open connections of one listener, at most ``most`` of them.

    One too many makes an idle one go: the oldest that has never asked anything, else the oldest that waits for its
    next request. Whoever asks at once is served in any crowd of silent ones; when all are being served, the newcomer
    goes.
    """

    def __init__(self, most: int, metrics: "ServiceMetrics") -> None:
        self._most = most
        self._metrics = metrics
        self._present: dict[Connection, None] = {}
        self._tell_at = 0.0

    def enter(self, connection: "Connection", *, now: float) -> None:
        """Count a new connection in; ``now`` is in seconds of the event loop's clock."""
        if len(self._present) >= self._most:
            idle = [one for one in self._present if not one.busy]
            leaving = next((one for one in idle if not one.has_asked), None) or next(iter(idle), connection)
            self.leave(leaving)
            self._metrics.connections_crowded_out.inc()
            if now >= self._tell_at:
                self._tell_at = now + TELL_SECONDS
                log.warning("connections are crowded out", most=self._most)
            leaving.give_way()
            if leaving is connection:
                return
        self._present[connection] = None

    def leave(self, connection: "Connection") -> None:
        """Count a connection out; harmless when it was not in."""
        self._present.pop(connection, None)


def raise_descriptor_limit() -> None:
    """Take as many descriptors as are wanted, where the system's hard limit allows it. For a process of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """How many connections of the API this process can afford."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(LEAST_CONNECTIONS, min(MAX_CONNECTIONS, soft - RESERVED_DESCRIPTORS))
