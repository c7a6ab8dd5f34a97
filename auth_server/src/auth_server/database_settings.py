"""What the operator's commands need of the environment: where the database is, and for keys the times of rotation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from auth_server.policy_settings import PolicySettings
from auth_server.settings import AuthServerSettings, paths
from farseal.environment import Secret, describe, load, path, setting, url
from farseal.identifiers import issuer_identifier

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
class KeySettings(PolicySettings, DatabaseSettings):
    """Where the keys are, and the times that the servers rotate them by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingSettings(KeySettings):
    """The same with the KEKs, for what seals keys or opens them; the issuer only where it is known."""

    kek_file: Path = setting("File of the key that seals the signing keys", unit="path", parse=path)
    old_kek_files: tuple[Path, ...] = setting(
        "Files of earlier keys of that kind: they only open", unit="paths, comma-separated", default=(), parse=paths
    )
    issuer: str | None = setting("Issuer identifier", unit="https URL", default=None, parse=issuer_identifier)


def _as_served(name: str) -> Any:
    """A setting of the server, declared as it is there."""
    (served,) = (field for field in fields(AuthServerSettings) if field.name == name)
    return field(default=served.default, metadata=served.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings(DatabaseSettings):
    """Where the sessions are, what they live by, and how often verifiers look for those that have ended."""

    session_idle_seconds: int = _as_served("session_idle_seconds")
    session_absolute_seconds: int = _as_served("session_absolute_seconds")
    session_history_seconds: int = _as_served("session_history_seconds")
    status_ttl_seconds: int = _as_served("status_ttl_seconds")
    issuer: str | None = setting("Issuer identifier", unit="https URL", default=None, parse=issuer_identifier)


def load_session_settings(environ: Mapping[str, str]) -> SessionSettings:
    """The settings of the commands on sessions.

    Raises:
        SettingsError: naming every fault at once.
    """
    return _load(SessionSettings, environ)


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


def load_sealing_settings(environ: Mapping[str, str]) -> SealingSettings:
    """The same with the KEK files, which are not read here.

    Raises:
        SettingsError: naming every fault at once.
    """
    return _load(SealingSettings, environ)


def _load(cls: type[T], environ: Mapping[str, str]) -> T:
    others = [doc.name for doc in describe(AuthServerSettings, AuthServerSettings.PREFIX)]
    return load(cls, environ, AuthServerSettings.PREFIX, also=others)
