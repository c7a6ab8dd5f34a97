"""What an operator can set of the reports service; the library's own settings begin with ``FARSEAL_``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from farseal.environment import choice, duration, integer, load, setting, together, url
from farseal.environment import port as tcp_port
from farseal.service.logs import Format
from farseal.settings import TrustSettings

PREFIX: Final = "RESOURCE_B_"


@dataclass(frozen=True, slots=True)
class Settings:
    """The reports service's own settings."""

    notes_url: str = setting(
        "Where the notes service answers; callers' tokens are sent there and nowhere else",
        unit="URL",
        parse=url("http", "https"),
    )
    notes_timeout_seconds: float = setting(
        "Longest wait for the notes service, all pages of one report together",
        unit="seconds",
        default=2.0,
        parse=duration(0.05, 60),
    )
    notes_concurrency: int = setting(
        "Reports that read notes at the same time", unit="requests", default=32, parse=integer(1, 1000)
    )
    max_notes: int = setting(
        "Notes read for one report; more make it say truncated", unit="notes", default=1000, parse=integer(1, 100_000)
    )
    host: str = setting("Address the API listens on", unit="host name or IP address", default="127.0.0.1")
    port: int = setting("Port of the API", unit="TCP port", default=9002, parse=tcp_port)
    ops_host: str = setting(
        "Address the probes and metrics listen on; keep it internal",
        unit="host name or IP address",
        default="127.0.0.1",
    )
    ops_port: int = setting("Port of /livez, /readyz and /metrics", unit="TCP port", default=9102, parse=tcp_port)
    drain_seconds: float = setting(
        "Time between failing readiness and closing the listener",
        unit="seconds",
        default=5.0,
        parse=duration(0, 300),
    )
    grace_seconds: float = setting(
        "Time given to requests in flight after that", unit="seconds", default=10.0, parse=duration(0, 300)
    )
    log_level: str = setting(
        "Least level that is logged",
        unit="debug, info, warning or error",
        default="info",
        parse=choice("debug", "info", "warning", "error"),
    )
    log_format: Format = setting(
        "How log lines are written", unit="json or console", default="json", parse=choice("json", "console")
    )

    def faults(self) -> Iterable[str]:
        """Rules beyond the syntax of one value."""
        parts = urlsplit(self.notes_url)
        if parts.query or "?" in self.notes_url or "@" in parts.netloc:
            yield f"{PREFIX}NOTES_URL: must have neither a query nor credentials"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read ``RESOURCE_B_*``.

        Raises:
            SettingsError: naming every fault at once.
        """
        return load(cls, environ, PREFIX)


def load_all(environ: Mapping[str, str]) -> tuple[Settings, TrustSettings]:
    """Everything this service is set by: its own variables and the library's.

    Raises:
        SettingsError: naming every fault of both at once.
    """
    return together(lambda: Settings.from_environ(environ), lambda: TrustSettings.from_environ(environ))
