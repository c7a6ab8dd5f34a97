"""The services of the demo: where each listens and everything each may know.

This is the place where a resource server would learn something of the auth server, if it ever did. It learns two
things: where published documents arrive, and the issuer's name to compare ``iss`` with. The documents arrive in the two
ways there are: in a folder (resource_a), and from a static host over HTTP (resource_b), which is no part of the auth
server and runs on without it. The name happens to be the URL people log in at; to a resource server it is an identifier
that it never dials (the tour counts).
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from demo.state import State
from farseal.vocabulary import JWKS_FILE

HOST: Final = "127.0.0.1"
OPS_OFFSET: Final = 100
LEEWAY_SECONDS: Final = 2
"""One machine has one clock; the tour waits this long for a token to die."""
NOTES_OFFSET, REPORTS_OFFSET, STATIC_OFFSET = 1, 2, 8
STATIC_HOST: Final = "static_host"
STATIC_MAX_AGE_SECONDS: Final = 1
POLL_SECONDS: Final = 1
"""How often resource_b asks the static host: the least that the library allows."""
STATUS_TTL_SECONDS: Final = 1
"""How often resource_b looks for sessions that have ended: the least that is allowed, where a deployment takes 5."""
DIRECTORY_BOUND_SECONDS: Final = 1.0
"""From the end of a session to its refusal at whoever reads the folder."""
REFRESH_GRACE_SECONDS: Final = 2
"""For which a used refresh token leads to its successor. Whole seconds are compared: this is one at the very least."""
RSA_BITS: Final = 3072
"""The auth server's own default: keys that may live past 2030."""

ROTATION_POLICY: Final[Mapping[str, str]] = {
    "ANNOUNCE_SECONDS": "6",
    "VERIFIER_REFRESH_SECONDS": str(POLL_SECONDS),
    "JWKS_MAX_AGE_SECONDS": "0",
    "CLOCK_SKEW_SECONDS": "1",
    "VERIFIER_LEEWAY_SECONDS": str(LEEWAY_SECONDS),
    "PUBLICATION_SECONDS": "1",
    "SIGNING_LEASE_SECONDS": "10",
    "MAX_TOKEN_SECONDS": "600",
    "REFRESH_SECONDS": "0.2",
    "STATUS_TTL_SECONDS": str(STATUS_TTL_SECONDS),
    "STATUS_LIST_SECONDS": "600",
    "REFRESH_GRACE_SECONDS": str(REFRESH_GRACE_SECONDS),
}
"""The policy's own sums with small summands, so that a rotation can be watched: a key is announced for 2 x (1 s poll +
1 s skew + 1 s publication) before it signs, where a deployment takes a day. No cache lies between the static host and
resource_b. When to rotate is left to the operator's commands. Sessions end everywhere within two seconds, and a thief
need not wait long until he is told from a second tab."""


def http_bound(ttl: int) -> float:
    """Seconds from the end of a session to its refusal at whoever polls: one ttl, and one for publication and look."""
    return ttl + 1.0


class Urls(Protocol):
    """Where the services answer; those of the resource servers are their audiences too."""

    @property
    def issuer(self) -> str:
        """The auth server."""
        ...

    @property
    def notes(self) -> str:
        """resource_a."""
        ...

    @property
    def reports(self) -> str:
        """resource_b."""
        ...


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
    def static(self) -> str:
        """The static host of the published documents."""
        return self.api(STATIC_OFFSET)

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that must be free."""
        offsets = (0, NOTES_OFFSET, REPORTS_OFFSET)
        with_probes = (self.port + shift + offset for shift in (0, OPS_OFFSET) for offset in offsets)
        return tuple(sorted((*with_probes, self.port + STATIC_OFFSET)))


@dataclass(frozen=True, slots=True)
class Service:
    """One process: how it is started, all of its settings, how to ask whether it is ready."""

    name: str
    command: tuple[str, ...]
    settings: Mapping[str, str]
    ready: str
    port: int
    words: tuple[str, ...] = ()
    """What the command is told in order to serve; told something else, it is an operator's tool."""


def services(addresses: Addresses, state: State, *, auth_dsn: Path, notes_dsn: Path) -> tuple[Service, ...]:
    """Describe the services of the demo.

    Args:
        addresses: where they listen.
        state: where their files are.
        auth_dsn: file that holds the connection string of the auth server's database.
        notes_dsn: the same for resource_a; resource_b has no database.
    """
    return (
        auth_server(addresses, state, dsn=auth_dsn, policy=ROTATION_POLICY),
        static_host(addresses, state),
        resource_a(addresses, state, dsn=notes_dsn),
        resource_b(addresses, state),
    )


def auth_server(
    addresses: Addresses,
    state: State,
    *,
    dsn: Path,
    policy: Mapping[str, str],
    name: str = "auth_server",
    offset: int = 0,
) -> Service:
    """Describe the auth server, or one replica of several: the name and the ports are its own, all else is shared.

    Args:
        addresses: of the issuer, which all replicas are.
        state: where the key-encryption key and the published documents are.
        dsn: file that holds the connection string.
        policy: further settings, without their prefix.
        name: of the process.
        offset: of its port.
    """
    settings = {
        "ISSUER": addresses.issuer,
        "DATABASE_URL_FILE": str(dsn),
        "KEK_FILE": str(state.kek),
        "PUBLISH_DIRECTORY": str(state.published),
        "RSA_BITS": str(RSA_BITS),
        **policy,
    }
    prefixed = {f"AUTH_SERVER_{name}": value for name, value in settings.items()}
    return _member("auth_server", addresses, offset, prefixed, "serve", name=name)


def static_host(addresses: Addresses, state: State, *, max_age: int = STATIC_MAX_AGE_SECONDS) -> Service:
    """Describe the static host. It is ready when it serves keys: at the very first start, when some are published."""
    port = addresses.port + STATIC_OFFSET
    program = str(Path(__file__).with_name("static_host.py"))
    options = ("--host", HOST, "--port", str(port), "--max-age", str(max_age))
    command = (sys.executable, "-P", program, str(state.published), *options)
    return Service(STATIC_HOST, command, {}, f"{addresses.static}/{JWKS_FILE}", port)


def resource_a(addresses: Addresses, state: State, *, dsn: Path, log_level: str = "info") -> Service:
    """Describe the notes service, which reads the folder of published documents."""
    settings = {
        "FARSEAL_TRUST_DIRECTORY": str(state.published),
        "RESOURCE_A_DATABASE_URL_FILE": str(dsn),
        "RESOURCE_A_LOG_LEVEL": log_level,
    }
    return _member("resource_a", addresses, NOTES_OFFSET, _trusting(addresses, addresses.notes) | settings)


def resource_b(addresses: Addresses, state: State, *, log_level: str = "info") -> Service:
    """Describe the reports service, which asks the static host; its disk copy is there when that one is not."""
    settings = {
        "FARSEAL_TRUST_URL": f"{addresses.static}/{JWKS_FILE}",
        "FARSEAL_TRUST_SNAPSHOT_DIRECTORY": str(state.snapshot),
        "FARSEAL_REFRESH_FLOOR_SECONDS": str(POLL_SECONDS),
        "FARSEAL_REFRESH_CEILING_SECONDS": str(POLL_SECONDS),
        "FARSEAL_STATUS_REFRESH_SECONDS": str(STATUS_TTL_SECONDS),
        "RESOURCE_B_NOTES_URL": addresses.notes,
        "RESOURCE_B_LOG_LEVEL": log_level,
    }
    return _member("resource_b", addresses, REPORTS_OFFSET, _trusting(addresses, addresses.reports) | settings)


def _trusting(addresses: Addresses, audience: str) -> dict[str, str]:
    return {
        "FARSEAL_ISSUER": addresses.issuer,
        "FARSEAL_AUDIENCE": audience,
        "FARSEAL_LEEWAY_SECONDS": str(LEEWAY_SECONDS),
    }


def _member(
    module: str, addresses: Addresses, offset: int, settings: Mapping[str, str], *words: str, name: str | None = None
) -> Service:
    """Describe a process of one of the members, started as its module is."""
    prefix = f"{module.upper()}_"
    listening = {
        f"{prefix}HOST": HOST,
        f"{prefix}PORT": str(addresses.port + offset),
        f"{prefix}OPS_HOST": HOST,
        f"{prefix}OPS_PORT": str(addresses.port + offset + OPS_OFFSET),
        # Nobody balances load here: the drain would only be waited for.
        f"{prefix}DRAIN_SECONDS": "0",
        f"{prefix}GRACE_SECONDS": "2",
    }
    command = (sys.executable, "-P", "-m", module)
    ready = f"{addresses.ops(offset)}/readyz"
    return Service(name or module, command, listening | dict(settings), ready, addresses.port + offset, words)
