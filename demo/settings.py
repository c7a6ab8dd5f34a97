"""What a visitor can set of the demo."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farseal.environment import Secret, integer, load, path, setting, url

PREFIX: Final = "DEMO_"
CHECKOUT: Final = Path(__file__).resolve().parent.parent
HIGHEST_OFFSET: Final = 102
"""The last port in use is the base port + 102: three services and the static host, and the probes 100 above."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The demo's own settings, all with a default."""

    port: int = setting(
        "First of the ports 9000, 9001, 9002, 9008 and 9100, 9101, 9102; the others move with it",
        unit="TCP port",
        default=9000,
        parse=integer(1024, 65535 - HIGHEST_OFFSET),
    )
    state_dir: Path = setting(
        "Where the demo keeps its databases, keys and logs", unit="path", default=CHECKOUT / ".run", parse=path
    )
    database_url: Secret | None = setting(
        "A PostgreSQL server to use instead of the embedded one; the role must be able to create roles and databases",
        unit="PostgreSQL DSN",
        default=None,
        secret=True,
        parse=url("postgresql", "postgres"),
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read ``DEMO_*``.

        Raises:
            SettingsError: naming every fault at once.
        """
        return load(cls, environ, PREFIX)
