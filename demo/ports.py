"""Whether the demo's ports are free, before anything is started."""

import errno
import socket
from collections.abc import Iterable

from demo.services import HOST


class PortBusyError(Exception):
    """Somebody else listens where the demo wants to."""


def check_ports(ports: Iterable[int]) -> None:
    """Make sure that nobody listens on these ports of the loopback address.

    Raises:
        PortBusyError: naming every busy port and the variable that moves them.
    """
    busy = [port for port in ports if is_busy(port)]
    if busy:
        several = len(busy) > 1
        raise PortBusyError(
            f"port{'s' * several} {', '.join(map(str, busy))} on {HOST} {'are' if several else 'is'} in use; "
            f"free {'them' if several else 'it'}, or move the demo: DEMO_PORT=9500"
        )


def is_busy(port: int) -> bool:
    """Tell whether somebody listens on a port; connections of the past that linger do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return True
            raise
    return False
