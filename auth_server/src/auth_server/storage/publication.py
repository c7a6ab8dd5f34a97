"""The table ``publication``: the number of the published state, which only grows."""

from auth_server.storage.connection import Connection

READ = "SELECT sequence FROM publication"
BUMP = "UPDATE publication SET sequence = sequence + 1 RETURNING sequence"
RAISE = "UPDATE publication SET sequence = greatest(sequence, $1) + 1 RETURNING sequence"


async def sequence(conn: Connection) -> int:
    """The number of the state that is stored now, 1 or more."""
    found: int = await conn.fetchval(READ)
    return found


async def bump(conn: Connection) -> int:
    """Count a change of the keys; gives the new number. In the transaction of the change."""
    found: int = await conn.fetchval(BUMP)
    return found


async def raise_above(conn: Connection, published: int) -> int:
    """Count a change and leave ``published`` behind, for a database that is older than what was published from it."""
    found: int = await conn.fetchval(RAISE, published)
    return found
