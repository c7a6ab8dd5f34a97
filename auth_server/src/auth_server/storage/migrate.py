"""The migrations of this service, numbered files beside this module."""

from importlib.resources import files
from typing import Final

from farseal.service.migrate import Migrator

LOCK_ID: Final = 0x6661_7273_6D69_6761
"""Of the advisory lock under which migrations run: "farsmiga"."""


def migrator() -> Migrator:
    """Plans and applies the migrations that this version ships."""
    return Migrator(files("auth_server.storage") / "migrations", lock_id=LOCK_ID, table="auth_server_migration")
