"""Settings from the environment: declared once as a frozen dataclass, read at start, all faults told at once.

    @dataclass(frozen=True, slots=True)
    class NotesSettings:
        database_url: Secret = setting("Where the notes are", unit="PostgreSQL DSN", secret=True)
        port: int = setting("Port of the API", unit="TCP port", default=9001, parse=port)

    settings = load(NotesSettings, os.environ, "RESOURCE_A_")

The mapping is given, never fetched. Only the files that variables point to are read.
"""

from farseal.environment.loading import SettingDoc, SettingsError, broken_rules, describe, load, rule, setting, together
from farseal.environment.parsers import (
    boolean,
    choice,
    csv,
    duration,
    integer,
    path,
    port,
    seconds,
    text,
    url,
)
from farseal.environment.secret import Secret

__all__ = [
    "Secret",
    "SettingDoc",
    "SettingsError",
    "boolean",
    "broken_rules",
    "choice",
    "csv",
    "describe",
    "duration",
    "integer",
    "load",
    "path",
    "port",
    "rule",
    "seconds",
    "setting",
    "text",
    "together",
    "url",
]
