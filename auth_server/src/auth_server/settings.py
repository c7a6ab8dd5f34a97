"""What the auth server is told by its environment, prefix ``AUTH_SERVER_``."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auth_server.http.client_address import Network
from auth_server.keys.generation import RSA_BITS
from farseal.environment import (
    Secret,
    boolean,
    choice,
    csv,
    duration,
    integer,
    load,
    path,
    seconds,
    setting,
    url,
)
from farseal.environment import port as tcp_port
from farseal.identifiers import issuer_identifier
from farseal.service.logs import Format

PREFIX: Final = "AUTH_SERVER_"


def networks(value: str) -> tuple[Network, ...]:
    """Comma-separated networks or single addresses; a network whose host bits are set is a fault."""
    try:
        return tuple(ipaddress.ip_network(item) for item in csv(value))
    except ValueError:
        raise ValueError("must be comma-separated networks such as 10.0.0.0/8, without host bits") from None


def rsa_bits(value: str) -> int:
    """One of the sizes that are made and accepted."""
    return int(choice(*map(str, RSA_BITS))(value))


@dataclass(frozen=True, slots=True)
class AuthServerSettings:
    """Every setting of `serve`. Defaults suit one machine; a deployment sets the first three and the directory."""

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
    host: str = setting("Address of the public endpoints", unit="host", default="127.0.0.1")
    port: int = setting("Port of the public endpoints", unit="TCP port", default=9000, parse=tcp_port)
    ops_host: str = setting("Address of /livez, /readyz and /metrics", unit="host", default="127.0.0.1")
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
        parse=seconds(10, 86400),
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
    log_level: str = setting(
        "Least severe log line that is written",
        unit="debug, info, warning or error",
        default="info",
        parse=choice("debug", "info", "warning", "error"),
    )
    log_format: Format = setting(
        "Form of the log lines", unit="json or console", default="json", parse=choice("json", "console")
    )
    drain_seconds: float = setting(
        "How long to go on serving after SIGTERM while /readyz already refuses",
        unit="seconds",
        default=5.0,
        parse=duration(0, 600),
    )
    grace_seconds: float = setting(
        "How long requests in flight may take to finish once the listener is closed",
        unit="seconds",
        default=20.0,
        parse=duration(0, 600),
    )

    def faults(self) -> Iterable[str]:
        """Rules over several settings."""
        if self.port and (self.host, self.port) == (self.ops_host, self.ops_port):
            yield f"{PREFIX}OPS_PORT: must not be {PREFIX}PORT, the two listeners serve different people"
        if self.publish_directory is not None and _holds(self.publish_directory, self.kek_file):
            yield f"{PREFIX}KEK_FILE: must not be in {PREFIX}PUBLISH_DIRECTORY, which everybody may read"


def _holds(directory: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(directory.resolve())


def load_settings(environ: Mapping[str, str]) -> AuthServerSettings:
    """The settings that ``environ`` describes.

    Raises:
        SettingsError: naming every fault at once.
    """
    return load(AuthServerSettings, environ, PREFIX)
