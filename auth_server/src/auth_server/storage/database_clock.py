"""The database's own clock: the one reference that all replicas share."""

from auth_server.storage.connection import Connection

NOW = "SELECT extract(epoch FROM clock_timestamp())::double precision"


async def database_clock(conn: Connection) -> float:
    """Seconds since the epoch, as the database holds them for now."""
    found: float = await conn.fetchval(NOW)
    return found
