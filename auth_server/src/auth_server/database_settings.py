"""What the operator's commands need of the environment: where the database is, and for keys the times of rotation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from auth_server.policy_settings import PolicySettings
from auth_server.settings import AuthServerSettings
from farseal.environment import Secret, describe, load, setting, url

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """One of the settings of the server; an operator's shell rarely has the others, and need not."""

    database_url: Secret = setting(
        "Where accounts and sealed keys are",
        unit="PostgreSQL DSN",
        parse=url("postgresql", "postgres"),
        secret=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings(PolicySettings):
    """Where the keys are, and the times that the servers rotate them by."""

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
    return _load(DatabaseSettings, environ)


def load_key_settings(environ: Mapping[str, str]) -> KeySettings:
    """The same with the times of rotation, whose sums must come out.

    Raises:
        SettingsError: naming every fault at once.
    """
    return _load(KeySettings, environ)


def _load(cls: type[T], environ: Mapping[str, str]) -> T:
    others = [doc.name for doc in describe(AuthServerSettings, AuthServerSettings.PREFIX)]
    return load(cls, environ, AuthServerSettings.PREFIX, also=others)
