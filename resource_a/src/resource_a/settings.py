"""What an operator can set of the notes service; the library's own settings begin with ``FARSEAL_``."""

from collections.abc import Mapping
from dataclasses import dataclass

from farseal.environment import Secret, boolean, duration, integer, setting, together, url
from farseal.environment import port as tcp_port
from farseal.service.settings import ServiceSettings
from farseal.settings import TrustSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    """The notes service's own settings."""

    PREFIX = "RESOURCE_A_"

    database_url: Secret = setting(
        "Where the notes are kept",
        unit="PostgreSQL DSN",
        secret=True,
        parse=url("postgresql", "postgres"),
    )
    port: int = setting("Port of the API", unit="TCP port", default=9001, parse=tcp_port)
    ops_port: int = setting("Port of /livez, /readyz and /metrics", unit="TCP port", default=9101, parse=tcp_port)
    migrate_on_start: bool = setting(
        "Whether to migrate the database before serving, instead of refusing one that is not migrated",
        unit="boolean",
        default=False,
        parse=boolean,
    )
    pool_size: int = setting("Most connections to the database", unit="connections", default=10, parse=integer(1, 1000))
    command_seconds: float = setting(
        "Longest wait for a statement, and for a free connection",
        unit="seconds",
        default=5.0,
        parse=duration(0.1, 300),
    )
    start_seconds: float = setting(
        "Longest wait for the database at start", unit="seconds", default=30.0, parse=duration(0, 3600)
    )


def load_all(environ: Mapping[str, str]) -> tuple[Settings, TrustSettings]:
    """Everything this service is set by: its own variables and the library's.

    Raises:
        SettingsError: naming every fault of both at once.
    """
    return together(lambda: Settings.from_environ(environ), lambda: TrustSettings.from_environ(environ))
