"""The three services of the demo: where each listens and everything each may know.

This is the place where a resource server would learn something of the auth server, if it ever did. It learns two
things: a folder of published documents, and the issuer's name to compare ``iss`` with. The name happens to be the URL
people log in at; to a resource server it is an identifier that it never dials (the tour counts).
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.state import State

HOST: Final = "127.0.0.1"
OPS_OFFSET: Final = 100
LEEWAY_SECONDS: Final = 2
"""One machine has one clock; the tour waits this long for a token to die."""
PUBLIC_PORT, NOTES_OFFSET, REPORTS_OFFSET = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs of one demo, all from its first port."""

    port: int

    def api(self, offset: int) -> str:
        """Give the URL of the service that many ports above the first."""
        return f"http://{HOST}:{self.port + offset}"

    def ops(self, offset: int) -> str:
        """Give the URL of its probes and metrics."""
        return self.api(offset + OPS_OFFSET)

    @property
    def issuer(self) -> str:
        """The auth server."""
        return self.api(0)

    @property
    def notes(self) -> str:
        """resource_a, and its audience."""
        return self.api(NOTES_OFFSET)

    @property
    def reports(self) -> str:
        """resource_b, and its audience."""
        return self.api(REPORTS_OFFSET)

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that must be free."""
        offsets = (0, NOTES_OFFSET, REPORTS_OFFSET)
        return tuple(self.port + shift + offset for shift in (0, OPS_OFFSET) for offset in offsets)


@dataclass(frozen=True, slots=True)
class Service:
    """One process: how it is started, all of its settings, how to ask whether it is ready."""

    name: str
    command: tuple[str, ...]
    settings: Mapping[str, str]
    ready: str
    port: int


def services(addresses: Addresses, state: State, *, auth_dsn: Path, notes_dsn: Path) -> tuple[Service, ...]:
    """Describe the three services.

    Args:
        addresses: where they listen.
        state: where their files are.
        auth_dsn: file that holds the connection string of the auth server's database.
        notes_dsn: the same for resource_a; resource_b has no database.
    """

    def listening(prefix: str, offset: int) -> dict[str, str]:
        return {
            f"{prefix}HOST": HOST,
            f"{prefix}PORT": str(addresses.port + offset),
            f"{prefix}OPS_HOST": HOST,
            f"{prefix}OPS_PORT": str(addresses.port + offset + OPS_OFFSET),
            # Nobody balances load here: the drain would only be waited for.
            f"{prefix}DRAIN_SECONDS": "0",
            f"{prefix}GRACE_SECONDS": "2",
        }

    def trusting(audience: str) -> dict[str, str]:
        return {
            "FARSEAL_ISSUER": addresses.issuer,
            "FARSEAL_AUDIENCE": audience,
            "FARSEAL_TRUST_DIRECTORY": str(state.published),
            "FARSEAL_LEEWAY_SECONDS": str(LEEWAY_SECONDS),
        }

    def service(module: str, offset: int, settings: dict[str, str], *words: str) -> Service:
        command = (sys.executable, "-P", "-m", module, *words)
        return Service(module, command, settings, f"{addresses.ops(offset)}/readyz", addresses.port + offset)

    return (
        service(
            "auth_server",
            0,
            listening("AUTH_SERVER_", 0)
            | {
                "AUTH_SERVER_ISSUER": addresses.issuer,
                "AUTH_SERVER_DATABASE_URL_FILE": str(auth_dsn),
                "AUTH_SERVER_KEK_FILE": str(state.kek),
                "AUTH_SERVER_PUBLISH_DIRECTORY": str(state.published),
            },
            "serve",
        ),
        service(
            "resource_a",
            NOTES_OFFSET,
            listening("RESOURCE_A_", NOTES_OFFSET)
            | trusting(addresses.notes)
            | {"RESOURCE_A_DATABASE_URL_FILE": str(notes_dsn)},
        ),
        service(
            "resource_b",
            REPORTS_OFFSET,
            listening("RESOURCE_B_", REPORTS_OFFSET)
            | trusting(addresses.reports)
            | {"RESOURCE_B_NOTES_URL": addresses.notes},
        ),
    )
