"""What a use of a session changes in its row of `grants`: one statement each, which decides every race."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from auth_server.storage.connection import Connection, affected
from auth_server.storage.grants import ADDRESS_BYTES, AGENT_CHARACTERS, StoredGrant, printable


async def touch(conn: Connection, grant_id: UUID, *, at: datetime, address: str, agent: str) -> None:
    """Note the use of a session that has no refresh token."""
    await conn.execute(
        """
        UPDATE grants SET last_used_at = $2, address = $3, agent = $4
         WHERE id = $1 AND ended_at IS NULL AND last_used_at < $2
        """,
        grant_id, at, printable(address, ADDRESS_BYTES), printable(agent, AGENT_CHARACTERS),
    )  # fmt: skip


async def rotate(
    conn: Connection,
    grant: StoredGrant,
    refresh_hash: bytes,
    generation: int,
    recent_uses: Sequence[datetime],
    *,
    at: datetime,
    address: str,
    agent: str,
) -> bool:
    """Begin the next generation; False when the session is not as it was read: used or ended by somebody else."""
    status = await conn.execute(
        """
        UPDATE grants SET refresh_hash = $4, generation = $5, recent_uses = $6,
               last_used_at = greatest(last_used_at, $7), address = $8, agent = $9
         WHERE id = $1 AND generation = $2 AND refresh_hash = $3 AND ended_at IS NULL
        """,
        grant.id, grant.generation, grant.refresh_hash, refresh_hash, generation, recent_uses, at,
        printable(address, ADDRESS_BYTES), printable(agent, AGENT_CHARACTERS),
    )  # fmt: skip
    return affected(status) == 1


async def extend(conn: Connection, grant: StoredGrant, *, at: datetime, address: str, agent: str) -> bool:
    """Move the idle deadline; False when the session is not as it was read: rotated or ended by somebody else."""
    status = await conn.execute(
        """
        UPDATE grants SET last_used_at = greatest(last_used_at, $4), address = $5, agent = $6
         WHERE id = $1 AND generation = $2 AND refresh_hash = $3 AND ended_at IS NULL
        """,
        grant.id, grant.generation, grant.refresh_hash, at,
        printable(address, ADDRESS_BYTES), printable(agent, AGENT_CHARACTERS),
    )  # fmt: skip
    return affected(status) == 1
