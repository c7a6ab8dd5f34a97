"""What the auth server is told by its environment, prefix ``AUTH_SERVER_``."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auth_server.http.client_address import Network
from auth_server.keys.generation import RSA_BITS
from auth_server.terms import ACCESS_TOKEN_SECONDS
from farseal.environment import (
    Secret,
    boolean,
    choice,
    csv,
    duration,
    integer,
    path,
    rule,
    seconds,
    setting,
    url,
)
from farseal.environment import port as tcp_port
from farseal.identifiers import issuer_identifier
from farseal.service.settings import ServiceSettings


def networks(value: str) -> tuple[Network, ...]:
    """Comma-separated networks or single addresses; a network whose host bits are set is a fault."""
    try:
        return tuple(ipaddress.ip_network(item) for item in csv(value))
    except ValueError:
        raise ValueError("must be comma-separated networks such as 10.0.0.0/8, without host bits") from None


def rsa_bits(value: str) -> int:
    """One of the sizes that are made and accepted."""
    return int(choice(*map(str, RSA_BITS))(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthServerSettings(ServiceSettings):
    """Every setting of `serve`. Defaults suit one machine; a deployment sets the first three and the directory."""

    PREFIX = "AUTH_SERVER_"

    issuer: str = setting(
        "Issuer identifier, the iss of every token, byte for byte; public endpoints are below it",
        unit="https URL",
        parse=issuer_identifier,
    )
    database_url: Secret = setting(
        "Where accounts and sealed keys are",
        unit="PostgreSQL DSN",
        parse=url("postgresql", "postgres"),
        secret=True,
    )
    kek_file: Path = setting(
        "File of the key that seals the signing keys: 32 bytes as hex, base64url or raw; mode 0600",
        unit="path",
        parse=path,
    )
    publish_directory: Path | None = setting(
        "Directory that receives the published documents; unset: they are served over HTTP only",
        unit="path",
        default=None,
        parse=path,
    )
    port: int = setting("Port of the public endpoints", unit="TCP port", default=9000, parse=tcp_port)
    ops_port: int = setting("Port of /livez, /readyz and /metrics", unit="TCP port", default=9100, parse=tcp_port)
    trusted_proxies: tuple[Network, ...] = setting(
        "Networks of our own proxies, whose X-Forwarded-For is believed",
        unit="networks, comma-separated",
        default=(),
        parse=networks,
    )
    access_token_seconds: int = setting(
        "Life of an access token, where its client has none of its own",
        unit="seconds",
        default=300,
        parse=seconds(*ACCESS_TOKEN_SECONDS),
    )
    rsa_bits: int = setting("Size of new signing keys: 2048, 3072 or 4096", unit="bits", default=3072, parse=rsa_bits)
    refresh_seconds: float = setting(
        "How often keys and scopes are read again from the database",
        unit="seconds",
        default=5.0,
        parse=duration(0.05, 60),
    )
    jwks_max_age_seconds: int = setting(
        "How long caches may keep the published documents (Cache-Control: max-age)",
        unit="seconds",
        default=60,
        parse=seconds(0, 86400),
    )
    database_connections: int = setting(
        "Most connections to the database of one process",
        unit="connections",
        default=10,
        parse=integer(1, 1000),
    )
    database_wait_seconds: int = setting(
        "How long to wait for the database at start", unit="seconds", default=30, parse=seconds(0, 3600)
    )
    migrate_on_start: bool = setting(
        "Bring the database's schema up to date before serving", unit="boolean", default=False, parse=boolean
    )

    @rule("publish_directory", "kek_file")
    def kek_stays_private(self) -> Iterator[str]:
        """What is published is read by everybody."""
        if self.publish_directory is not None and _holds(self.publish_directory, self.kek_file):
            yield "KEK_FILE: must not be in AUTH_SERVER_PUBLISH_DIRECTORY, which everybody may read"


def _holds(directory: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(directory.resolve())
