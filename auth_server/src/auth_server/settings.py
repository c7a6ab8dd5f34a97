"""What the auth server is told by its environment, prefix ``AUTH_SERVER_``."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auth_server.http.client_address import Network
from auth_server.keys.generation import RSA_BITS
from auth_server.policy_settings import PolicySettings
from auth_server.terms import (
    ACCESS_TOKEN_SECONDS,
    REFRESH_GRACE_SECONDS,
    SESSION_SECONDS,
    STATUS_LIST_SIZES,
    is_status_list_size,
)
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

STATUS_LIST_SECONDS: Final = 3600
"""Usual life of a status list: twelve lives of a token. An outage of the issuer that is shorter refuses nobody."""


def networks(value: str) -> tuple[Network, ...]:
    """Comma-separated networks or single addresses; a network whose host bits are set is a fault."""
    try:
        return tuple(ipaddress.ip_network(item) for item in csv(value))
    except ValueError:
        raise ValueError("must be comma-separated networks such as 10.0.0.0/8, without host bits") from None


def paths(value: str) -> tuple[Path, ...]:
    """Comma-separated paths."""
    return tuple(map(Path, csv(value)))


def rsa_bits(value: str) -> int:
    """One of the sizes that are made and accepted."""
    return int(choice(*map(str, RSA_BITS))(value))


def status_list_size(value: str) -> int:
    """A power of two that a verifier takes and a table holds."""
    size = integer(*STATUS_LIST_SIZES)(value)
    if not is_status_list_size(size):
        raise ValueError("must be a power of two, {} to {}".format(*STATUS_LIST_SIZES))
    return size


def list_life(given: int | None, longest_token: int) -> int:
    """Seconds for which a status list may be relied on: as it was set, or as is usual."""
    return min(STATUS_LIST_SECONDS, longest_token) if given is None else given


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthServerSettings(PolicySettings, ServiceSettings):
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
    old_kek_files: tuple[Path, ...] = setting(
        "Files of earlier keys of that kind: what they sealed still opens, nothing new is sealed with them",
        unit="paths, comma-separated",
        default=(),
        parse=paths,
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
    session_idle_seconds: int = setting(
        "How long a session goes on without a refresh, where its client has no time of its own",
        unit="seconds",
        default=7 * 86400,
        parse=seconds(*SESSION_SECONDS),
    )
    session_absolute_seconds: int = setting(
        "How long a session lasts at most, where its client has no time of its own",
        unit="seconds",
        default=30 * 86400,
        parse=seconds(*SESSION_SECONDS),
    )
    refresh_grace_seconds: int = setting(
        "How long a refresh token that was used still leads to its successor, where its client has no time of its own",
        unit="seconds",
        default=30,
        parse=seconds(*REFRESH_GRACE_SECONDS),
    )
    session_history_seconds: int = setting(
        "How long a session that has ended is shown to operators",
        unit="seconds",
        default=7 * 86400,
        parse=seconds(0, 365 * 86400),
    )
    status_list_size: int = setting(
        "Sessions for each status list: a power of two",
        unit="sessions",
        default=1 << 20,
        parse=status_list_size,
    )
    status_list_seconds: int | None = setting(
        "Life of a status list after it was signed; verifiers do not rely on an older one. Unset: an hour, or "
        "MAX_TOKEN_SECONDS if that is less",
        unit="seconds",
        default=None,
        parse=seconds(10, 86400),
    )
    status_ttl_seconds: int = setting(
        "How often verifiers that poll look for ended sessions (the ttl of status lists)",
        unit="seconds",
        default=5,
        parse=seconds(1, 3600),
    )
    rsa_bits: int = setting("Size of new signing keys: 2048, 3072 or 4096", unit="bits", default=3072, parse=rsa_bits)
    refresh_seconds: float = setting(
        "How often keys and scopes are read again from the database",
        unit="seconds",
        default=1.0,
        parse=duration(0.05, 60),
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

    @rule("publish_directory", "kek_file", "old_kek_files")
    def kek_stays_private(self) -> Iterator[str]:
        """What is published is read by everybody."""
        if self.publish_directory is None:
            return
        if _holds(self.publish_directory, self.kek_file):
            yield "KEK_FILE: must not be in AUTH_SERVER_PUBLISH_DIRECTORY, which everybody may read"
        if any(_holds(self.publish_directory, file) for file in self.old_kek_files):
            yield "OLD_KEK_FILES: must not be in AUTH_SERVER_PUBLISH_DIRECTORY, which everybody may read"

    @rule("signing_lease_seconds", "refresh_seconds")
    def lease_outlives_a_lost_look(self) -> Iterator[str]:
        """One look at the database that fails must not stop signing."""
        if self.signing_lease_seconds < 2 * self.refresh_seconds:
            yield (
                f"SIGNING_LEASE_SECONDS: must be at least twice AUTH_SERVER_REFRESH_SECONDS, 2 x "
                f"{self.refresh_seconds:g} = {2 * self.refresh_seconds:g} s, and is {self.signing_lease_seconds} s"
            )

    @rule("session_idle_seconds", "session_absolute_seconds")
    def sessions_end(self) -> Iterator[str]:
        """A session that is used without end must end all the same."""
        if self.session_idle_seconds > self.session_absolute_seconds:
            yield (
                f"SESSION_IDLE_SECONDS: must be at most AUTH_SERVER_SESSION_ABSOLUTE_SECONDS, "
                f"{self.session_absolute_seconds} s, and is {self.session_idle_seconds} s"
            )

    @property
    def list_seconds(self) -> int:
        """Life of a status list."""
        return list_life(self.status_list_seconds, self.max_token_seconds)

    @rule("status_list_seconds", "max_token_seconds", "status_ttl_seconds")
    def lists_live_long_enough(self) -> Iterator[str]:
        """A list must outlive several looks, and its key is kept for no longer than for a token."""
        life = list_life(self.status_list_seconds, self.max_token_seconds)
        if life > self.max_token_seconds:
            yield (
                f"STATUS_LIST_SECONDS: must be at most AUTH_SERVER_MAX_TOKEN_SECONDS, {self.max_token_seconds} s, "
                f"and is {life} s"
            )
        if life < 4 * self.status_ttl_seconds:
            yield (
                f"STATUS_TTL_SECONDS: must be at most a quarter of the life of a status list, which is "
                f"{life} s, and is {self.status_ttl_seconds} s"
            )

    @rule("access_token_seconds", "max_token_seconds")
    def usual_life_is_allowed(self) -> Iterator[str]:
        """Nobody should set a life that is never given."""
        if self.access_token_seconds > self.max_token_seconds:
            yield (
                f"ACCESS_TOKEN_SECONDS: must be at most AUTH_SERVER_MAX_TOKEN_SECONDS, {self.max_token_seconds} s, "
                f"and is {self.access_token_seconds} s"
            )


def _holds(directory: Path, file: Path) -> bool:
    return file.resolve().is_relative_to(directory.resolve())
