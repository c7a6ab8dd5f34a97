"""What an operator can set of the reports service; the library's own settings begin with ``FARSEAL_``."""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from farseal.environment import duration, integer, path, rule, setting, together, url
from farseal.environment import port as tcp_port
from farseal.service.settings import ServiceSettings
from farseal.settings import TrustSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    """The reports service's own settings."""

    PREFIX = "RESOURCE_B_"

    notes_url: str = setting(
        "Where the notes service answers; callers' tokens are sent there and nowhere else",
        unit="URL",
        parse=url(),
    )
    notes_ca_file: Path | None = setting(
        "Certificates to trust of the notes service, in place of the system's; read at the start",
        unit="path of a PEM file",
        default=None,
        parse=path,
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
    port: int = setting("Port of the API", unit="TCP port", default=9002, parse=tcp_port)
    ops_port: int = setting("Port of /livez, /readyz and /metrics", unit="TCP port", default=9102, parse=tcp_port)

    @rule("notes_url")
    def bare_address(self) -> Iterator[str]:
        """The caller's token is the only credential, and paths are appended. It is not quoted: it may hold some."""
        if "?" in self.notes_url or "@" in urlsplit(self.notes_url).netloc:
            yield "NOTES_URL: must have neither a query nor credentials"

    @rule("notes_url", "notes_ca_file")
    def usable_authority(self) -> Iterator[str]:
        """A file that cannot be used is told at the start, not with each report."""
        if self.notes_ca_file is None:
            return
        if not self.notes_url.startswith("https:"):
            yield "NOTES_CA_FILE: NOTES_URL is no https:// URL, nothing would be checked"
        try:
            ssl.create_default_context(cafile=self.notes_ca_file)
        except ssl.SSLError:
            yield "NOTES_CA_FILE: holds no certificates that can be read"
        except OSError as error:
            yield f"NOTES_CA_FILE: cannot be read: {error.strerror}"


def load_all(environ: Mapping[str, str]) -> tuple[Settings, TrustSettings]:
    """Everything this service is set by: its own variables and the library's.

    Raises:
        SettingsError: naming every fault of both at once.
    """
    return together(lambda: Settings.from_environ(environ), lambda: TrustSettings.from_environ(environ))
