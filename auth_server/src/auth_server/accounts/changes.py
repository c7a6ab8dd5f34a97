"""Changes of an account that end its sessions: the row and they in one transaction.

Each function is for one account in a transaction of its own. Whoever changes several in one transaction ends their
sessions once, at its end: `auth_server.storage.grants` says why.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth_server.storage import clients, grants, users
from auth_server.storage.connection import Connection
from auth_server.storage.grants import Ending


@dataclass(frozen=True, slots=True)
class Changed:
    """Whether the row was changed, and how many sessions that ended."""

    changed: bool
    ended: int = 0


async def set_password(conn: Connection, user_id: UUID, password_hash: str, *, now: datetime) -> Changed:
    """Set a password and log the person out everywhere; not changed when the person is gone."""
    async with conn.transaction():
        if not await users.set_password(conn, user_id, password_hash, now=now):
            return Changed(False)
        return Changed(True, await _ended(conn, Ending("password_changed", users=(user_id,)), now))


async def disable_user(conn: Connection, user_id: UUID, *, now: datetime) -> Changed:
    """Disable a person; not changed when they were. Sessions are ended in any case."""
    async with conn.transaction():
        changed = await users.set_disabled(conn, user_id, now, now=now)
        return Changed(changed, await _ended(conn, Ending("user_disabled", users=(user_id,)), now))


async def delete_user(conn: Connection, user_id: UUID, *, now: datetime) -> Changed:
    """Delete a person and everything they held; not changed when they were gone."""
    async with conn.transaction():
        changed = await users.delete(conn, user_id)
        return Changed(changed, await _ended(conn, Ending("user_deleted", users=(user_id,)), now))


async def disable_client(conn: Connection, client_id: str, *, now: datetime) -> Changed:
    """Disable a client; not changed when it was. The sessions that were opened through it are ended in any case."""
    async with conn.transaction():
        changed = await clients.set_disabled(conn, client_id, now, now=now)
        return Changed(changed, await _ended(conn, Ending("client_disabled", clients=(client_id,)), now))


async def delete_client(conn: Connection, client_id: str, *, now: datetime) -> Changed:
    """Delete a client and its permissions; not changed when it was gone."""
    async with conn.transaction():
        changed = await clients.delete(conn, client_id)
        return Changed(changed, await _ended(conn, Ending("client_deleted", clients=(client_id,)), now))


async def _ended(conn: Connection, ending: Ending, now: datetime) -> int:
    return len(await grants.end(conn, [ending], at=now))
