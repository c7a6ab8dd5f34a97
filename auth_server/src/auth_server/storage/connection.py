"""The type of what the storage modules speak through."""

from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:  # asyncpg's classes are generic in their stubs only
    Connection = Any
    Pool = Any


def plain_uuid(value: UUID) -> UUID:
    """The same of the standard library's own class: the driver gives one of its own."""
    return UUID(bytes=value.bytes)


def affected(status: str) -> int:
    """How many rows a statement changed, from its command tag (``UPDATE 3``)."""
    return int(status.rpartition(" ")[2])
