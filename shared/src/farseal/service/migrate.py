"""Numbered SQL files, each applied once, in order, whoever runs them at the same time.

``NNNN_name.sql``, counted from 0001 without a gap. The database remembers number, name and SHA-256 of each. Every
step takes a transaction-level advisory lock, looks again at what is applied, runs one file and records it, all in one
transaction: two runs take turns, a failing or killed one leaves nothing behind, and a connection pooler does no harm.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import structlog

from farseal.errors import FarsealError

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"

STATEMENT_SECONDS: Final = 3600.0
"""A migration may rewrite a large table, and the second of two runs waits for the first."""

_FILE: Final = re.compile(r"(?P<number>[0-9]{4})_[a-z0-9_]+\.sql")
_TABLE: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_ENDS_TRANSACTION: Final = re.compile(
    rb"^\s*(?:COMMIT|ROLLBACK|ABORT|BEGIN|START\s+TRANSACTION)(?:\s+(?:WORK|TRANSACTION))?\s*;",
    re.IGNORECASE | re.MULTILINE,
)

log = structlog.get_logger("farseal.service.migrate")


class MigrationError(FarsealError):
    """The database must not be migrated, or a file failed. The message names the file; nothing of it was applied."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. ``checksum`` is the SHA-256 of its bytes, in hex."""

    number: int
    name: str
    checksum: str
    sql: str = field(repr=False)


class Migrator:
    """The files of one directory and the database's memory of them.

    Args:
        directory: holds ``NNNN_name.sql`` files; other names are ignored unless they end in ``.sql``.
        lock_id: of the advisory lock, one per set of migrations that may share a database.
        table: remembers what is applied; may be qualified with a schema, which must exist.

    Raises:
        MigrationError: a misnamed file, a repeated number, a gap, a file that is not UTF-8 or that would end the
            transaction it runs in.
    """

    def __init__(self, directory: Traversable, *, lock_id: int, table: str = "schema_migration") -> None:
        if not _TABLE.fullmatch(table):
            raise ValueError(f"not a table name: {table}")
        self.migrations = read_migrations(directory)
        self._lock_id = lock_id
        self._table = table

    async def plan(self, connection: Connection) -> tuple[Migration, ...]:
        """What `apply` would do, in order; nothing is changed.

        Raises:
            MigrationError: an applied file has changed, or the database is ahead of these files.
        """
        return self._pending(await self._applied(connection))

    async def apply(self, connection: Connection) -> tuple[Migration, ...]:
        """Apply what is pending, each file in a transaction of its own; gives what this call applied.

        Raises:
            MigrationError: as `plan`, or a file failed: those before it stay, nothing of it does.
        """
        done: list[Migration] = []
        while migration := await self._apply_next(connection):
            done.append(migration)
        return tuple(done)

    async def _apply_next(self, connection: Connection) -> Migration | None:
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute("SET LOCAL lock_timeout = 0")
            await connection.fetchval(
                "SELECT pg_advisory_xact_lock($1::bigint)", self._lock_id, timeout=STATEMENT_SECONDS
            )
            pending = self._pending(await self._applied(connection))
            if not pending:
                return None
            migration = pending[0]
            log.info("applying a migration", migration=migration.name)
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self._table} ("
                "number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT transaction_timestamp())"
            )
            try:
                await connection.execute(migration.sql, timeout=STATEMENT_SECONDS)
            except asyncpg.PostgresError as error:
                raise MigrationError(f"{migration.name}{_line(migration.sql, error)}: {error}") from error
            if not connection.is_in_transaction():
                raise MigrationError(f"{migration.name}: it ended the transaction it runs in; repair it by hand")
            await connection.execute(
                f"INSERT INTO {self._table} (number, name, checksum) VALUES ($1, $2, $3)",  # noqa: S608 - matched by _TABLE
                migration.number,
                migration.name,
                migration.checksum,
            )
        return migration

    async def _applied(self, connection: Connection) -> dict[int, tuple[str, str]]:
        if await connection.fetchval("SELECT to_regclass($1)", self._table) is None:
            return {}
        rows = await connection.fetch(f"SELECT number, name, checksum FROM {self._table} ORDER BY number")  # noqa: S608 - matched by _TABLE
        return {row["number"]: (row["name"], row["checksum"]) for row in rows}

    def _pending(self, applied: Mapping[int, tuple[str, str]]) -> tuple[Migration, ...]:
        known = {migration.number: migration for migration in self.migrations}
        for number, (name, checksum) in applied.items():
            if number not in known:
                raise MigrationError(f"the database has {name} applied, which this version does not know")
            if known[number].checksum != checksum:
                raise MigrationError(
                    f"{known[number].name} has changed since it was applied; restore it and add a new file"
                )
        if sorted(applied) != list(range(1, len(applied) + 1)):
            raise MigrationError("the database has a gap in what is applied; repair it by hand")
        return self.migrations[len(applied) :]


def read_migrations(directory: Traversable) -> tuple[Migration, ...]:
    """The migrations of a directory in order.

    Raises:
        MigrationError: as `Migrator`.
    """
    migrations = [
        _read(entry)
        for entry in sorted(directory.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    ]
    _refuse_gaps(migrations)
    return tuple(migrations)


def _read(entry: Traversable) -> Migration:
    match = _FILE.fullmatch(entry.name)
    if not match:
        raise MigrationError(f"{entry.name}: a migration is named NNNN_name.sql, in lower case")
    data = entry.read_bytes()
    if _ENDS_TRANSACTION.search(data):
        raise MigrationError(f"{entry.name}: a migration runs in a transaction and must not begin or end one")
    try:
        sql = data.decode()
    except UnicodeDecodeError:
        raise MigrationError(f"{entry.name}: not UTF-8") from None
    return Migration(int(match["number"]), entry.name, hashlib.sha256(data).hexdigest(), sql)


def _refuse_gaps(migrations: Sequence[Migration]) -> None:
    for expected, migration in enumerate(migrations, start=1):
        if migration.number < expected:
            raise MigrationError(f"{migration.name}: the number {migration.number:04} is taken")
        if migration.number > expected:
            raise MigrationError(f"{migration.name}: {expected:04} is missing before it")


def _line(sql: str, error: asyncpg.PostgresError) -> str:
    """Where PostgreSQL points to: `` line 3``, or nothing."""
    position = getattr(error, "position", None)
    if not position or not str(position).isdigit():
        return ""
    return f" line {sql.count(chr(10), 0, int(position)) + 1}"
