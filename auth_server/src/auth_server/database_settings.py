"""What the operator's commands need of the environment: where the database is."""

from collections.abc import Mapping
from dataclasses import dataclass

from auth_server.settings import AuthServerSettings
from farseal.environment import Secret, describe, load, setting, url


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """One of the settings of the server; an operator's shell rarely has the others, and need not."""

    database_url: Secret = setting(
        "Where accounts and sealed keys are",
        unit="PostgreSQL DSN",
        parse=url("postgresql", "postgres"),
        secret=True,
    )


def load_database_settings(environ: Mapping[str, str]) -> DatabaseSettings:
    """The settings that ``environ`` describes; the server's others may be there and are not looked at.

    Raises:
        SettingsError: naming every fault at once, misspelled names of the prefix included.
    """
    others = [doc.name for doc in describe(AuthServerSettings, AuthServerSettings.PREFIX)]
    return load(DatabaseSettings, environ, AuthServerSettings.PREFIX, also=others)
