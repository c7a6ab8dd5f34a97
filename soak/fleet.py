"""The stack of a soak: the demo's, with several replicas of the auth server that rotate by themselves."""

from pathlib import Path
from typing import Final

from demo.services import (
    HOST,
    LEEWAY_SECONDS,
    OPS_OFFSET,
    POLL_SECONDS,
    STATUS_TTL_SECONDS,
    Addresses,
    Service,
    auth_server,
    resource_a,
    resource_b,
    static_host,
)
from demo.stack import Stack
from demo.state import State

MOST_REPLICAS: Final = 16
REPLICA_OFFSET: Final = 20
"""The first replica has the issuer's own port; the others begin here, above those of the other services."""
HIGHEST_OFFSET: Final = OPS_OFFSET + REPLICA_OFFSET + MOST_REPLICAS
TOKEN_SECONDS: Final = 10
"""The shortest life that the auth server gives: keys leave soon, and each leaves while requests run."""
USE_SECONDS: Final = TOKEN_SECONDS - 1.5
"""For which a token is used. ``exp`` is in whole seconds, and the last request has to be answered before it."""


def policy(rotation_seconds: int) -> dict[str, str]:
    """Give the shortest times that the auth server's own sums allow, in its settings without their prefix."""
    needs = POLL_SECONDS + 0 + 1 + 1
    return {
        "ROTATION_SECONDS": str(rotation_seconds),
        "ANNOUNCE_SECONDS": str(2 * needs),
        "VERIFIER_REFRESH_SECONDS": str(POLL_SECONDS),
        "JWKS_MAX_AGE_SECONDS": "0",
        "CLOCK_SKEW_SECONDS": "1",
        "VERIFIER_LEEWAY_SECONDS": str(LEEWAY_SECONDS),
        "PUBLICATION_SECONDS": "1",
        "SIGNING_LEASE_SECONDS": "4",
        "ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS),
        "MAX_TOKEN_SECONDS": str(TOKEN_SECONDS),
        "REFRESH_SECONDS": "0.2",
        "RSA_BITS": "2048",
        "STATUS_TTL_SECONDS": str(STATUS_TTL_SECONDS),
        # No longer than a token: the key that signed a list is kept for as long.
        "STATUS_LIST_SECONDS": str(TOKEN_SECONDS),
        # People seem to come from addresses of their own: one address would be taken for a list of stolen passwords.
        "TRUSTED_PROXIES": f"{HOST}/32",
        "LOG_LEVEL": "warning",
    }


class Fleet(Stack):
    """Several replicas over one database and one published folder, the static host, and both resource servers.

    Args:
        addresses: where they listen.
        state: where their files are; its lock is held by the caller.
        lock: descriptor of that lock.
        replicas: how many.
        rotation_seconds: how long a key signs.
    """

    def __init__(self, addresses: Addresses, state: State, *, lock: int, replicas: int, rotation_seconds: int) -> None:
        super().__init__(addresses, state, lock=lock)
        self._policy = policy(rotation_seconds)
        self.replicas = {name_of(number): offset_of(number) for number in range(replicas)}
        """Offsets of their ports by their names."""

    def describe(self, auth_dsn: Path, notes_dsn: Path) -> tuple[Service, ...]:
        """Describe every process. None logs each request: nobody reads millions of lines."""
        return (
            *(
                auth_server(self.addresses, self.state, dsn=auth_dsn, policy=self._policy, name=name, offset=offset)
                for name, offset in self.replicas.items()
            ),
            static_host(self.addresses, self.state, max_age=0),
            resource_a(self.addresses, self.state, dsn=notes_dsn, log_level="warning"),
            resource_b(self.addresses, self.state, log_level="warning"),
        )

    @property
    def replica_urls(self) -> list[str]:
        """Where the replicas listen."""
        return [self.addresses.api(offset) for offset in self.replicas.values()]

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that must be free."""
        further = [self.addresses.port + offset for offset in self.replicas.values() if offset]
        return tuple(sorted({*self.addresses.ports, *further, *(port + OPS_OFFSET for port in further)}))


def name_of(number: int) -> str:
    """Name a replica. The first is ``auth_server``: the operator's commands are run with its settings."""
    return "auth_server" if number == 0 else f"auth_server_{number + 1}"


def offset_of(number: int) -> int:
    """Give the offset of a replica's port."""
    return 0 if number == 0 else REPLICA_OFFSET + number
