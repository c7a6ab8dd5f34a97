"""The demo's own stack, for what can be measured only on it: real processes, ports and database, quiet logs."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from demo.ports import check_ports
from demo.services import HOST, STATUS_TTL_SECONDS, Addresses, Service
from demo.settings import CHECKOUT
from demo.stack import Stack
from demo.state import Lock, State

PORT: Final = 9600
"""Its first one, above the demo's and below those that systems give to outgoing connections."""
QUIET: Final = {
    "auth_server": {
        "AUTH_SERVER_LOG_LEVEL": "warning",
        # People seem to come from addresses of their own: one address would be taken for a list of stolen passwords.
        "AUTH_SERVER_TRUSTED_PROXIES": f"{HOST}/32",
    },
    "resource_a": {"RESOURCE_A_LOG_LEVEL": "warning"},
    "resource_b": {"RESOURCE_B_LOG_LEVEL": "warning"},
}


class BenchStack(Stack):
    """The demo's services with its settings, but for what costs time and shows nothing here.

    Args:
        addresses, state, lock: as of a `Stack`.
        ttl: seconds between two looks of whoever polls for ended sessions.
    """

    def __init__(self, addresses: Addresses, state: State, *, lock: int, ttl: int) -> None:
        super().__init__(addresses, state, lock=lock)
        self.ttl = ttl

    def describe(self, auth_dsn: Path, notes_dsn: Path) -> tuple[Service, ...]:
        """Describe them."""
        asked = {
            "auth_server": {"AUTH_SERVER_STATUS_TTL_SECONDS": str(self.ttl)},
            "resource_b": {"FARSEAL_STATUS_REFRESH_SECONDS": str(self.ttl)},
        }
        return tuple(
            replace(
                service,
                settings={**service.settings, **QUIET.get(service.name, {}), **asked.get(service.name, {})},
            )
            for service in super().describe(auth_dsn, notes_dsn)
        )


@contextlib.asynccontextmanager
async def running(
    port: int = PORT, directory: Path = CHECKOUT / ".run", *, ttl: int = STATUS_TTL_SECONDS
) -> AsyncIterator[BenchStack]:
    """Start everything, and stop it at the end.

    Raises:
        AlreadyRunningError: another one is running.
        PortBusyError: a port is not free.
        StackError: something did not start.
    """
    state = State(directory / f"bench-{port}")
    state.prepare()
    lock = Lock(state)
    lock.take()
    addresses = Addresses(port)
    stack = BenchStack(addresses, state, lock=lock.descriptor, ttl=ttl)
    try:
        check_ports(addresses.ports)
        await stack.open_databases(None)
        await stack.migrate()
        await stack.seed()
        await stack.bring_up()
        yield stack
    finally:
        stack.close()
        lock.release()
