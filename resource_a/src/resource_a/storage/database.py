"""The notes database as a whole: how to reach it, and whether its tables are those this version knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Final

from farseal.errors import FarsealError
from farseal.service.migrate import Migration, Migrator
from farseal.service.postgres import Pool, create_pool
from resource_a.settings import Settings

MIGRATION_LOCK: Final = 0x6E6F746573
"""``notes`` in ASCII: any number will do that no other user of this database takes for an advisory lock."""


class NotMigratedError(FarsealError):
    """The database lacks migrations. The message names them and says how to apply them."""


@asynccontextmanager
async def open_pool(settings: Settings) -> AsyncIterator[Pool]:
    """A pool on the notes database, closed at the end.

    Raises:
        DatabaseUnavailable: nobody answered in time.
        DatabaseRefusedError: wrong credentials, no such database, or a malformed DSN.
    """
    pool = await create_pool(
        settings.database_url,
        name="resource_a",
        max_size=settings.pool_size,
        command_seconds=settings.command_seconds,
        acquire_seconds=settings.command_seconds,
        wait_seconds=settings.start_seconds,
    )
    try:
        yield pool
    finally:
        await pool.close()


def migrator() -> Migrator:
    """The migrations that are part of this version."""
    return Migrator(files("resource_a.storage") / "migrations", lock_id=MIGRATION_LOCK)


async def migrate(pool: Pool) -> tuple[Migration, ...]:
    """Apply what is missing; what this call applied.

    Raises:
        MigrationError: naming the file that failed, or that has changed since it was applied.
    """
    async with pool.acquire() as connection:
        return await migrator().apply(connection)


async def require_migrated(pool: Pool) -> None:
    """Refuse a database with tables of another version: better no service than one that fails at some requests.

    Raises:
        NotMigratedError: migrations are missing.
        MigrationError: the database is ahead of this version, or an applied file has changed.
    """
    async with pool.acquire() as connection:
        missing = await migrator().plan(connection)
    if missing:
        names = ", ".join(migration.name for migration in missing)
        raise NotMigratedError(
            f"the database lacks {names}; run `python -m resource_a migrate`, or set RESOURCE_A_MIGRATE_ON_START=true"
        )
