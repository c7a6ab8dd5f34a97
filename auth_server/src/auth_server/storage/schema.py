"""The database's schema: the numbered files in ``migrations/``, and whether they are applied."""

from importlib.resources import files
from typing import Final

from farseal.service.migrate import Migrator

_LOCK_ID: Final = 0x6661_7273_6175_7468
"""Of the advisory lock under which one process at a time migrates: "farsauth"."""


def migrator() -> Migrator:
    """The migrations of this version.

    Raises:
        MigrationError: the files are misnamed or have a gap.
    """
    return Migrator(files("auth_server.storage") / "migrations", lock_id=_LOCK_ID)
