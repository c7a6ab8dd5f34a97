"""A demo of stand-in processes: the real runner, guards, lock and signals, without databases and services.

Run as a program: ``python -m tests.demo.standin``. `STANDIN_TOUR` is ``true``, ``false`` or ``slow``.
"""

import asyncio
import os
import sys

from demo.__main__ import main
from demo.screen import Screen
from demo.services import Service
from demo.stack import Stack

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
print("the stand-in listens", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class StandInStack(Stack):
    """Three processes that answer 200."""

    async def open_databases(self, admin_dsn: str | None) -> list[str]:  # noqa: ARG002 - it has none
        for offset, name in enumerate(("auth_server", "resource_a", "resource_b")):
            port = self.addresses.port + offset
            command = (sys.executable, "-c", SERVER, str(port))
            ready = f"{self.addresses.api(offset)}/readyz"
            self._services[name] = Service(name, command, {"STANDIN": name}, ready, port)
        return []

    async def migrate(self) -> None:
        pass

    async def seed(self) -> bool:
        return False


async def tour(stack: Stack, screen: Screen) -> bool:
    """Tell the processes' ids, then do as told."""
    for name in stack.names:
        sys.stdout.write(f"pid {name} {stack._running[name].pid} {stack.pids(name)[0]}\n")
    sys.stdout.flush()
    if os.environ["STANDIN_TOUR"] == "slow":
        await asyncio.sleep(600)
    return os.environ["STANDIN_TOUR"] == "true"


if __name__ == "__main__":
    sys.exit(main(StandInStack, tour))
