"""Makes lists in time."""

import secrets
from typing import TYPE_CHECKING, Final

import structlog

from auth_server.storage import status_lists
from farseal.encoding import b64url_encode

if TYPE_CHECKING:
    from auth_server.storage.connection import Connection
    from auth_server.storage.status_lists import StoredList

log = structlog.get_logger(__name__)

CLOSED_LONG_SECONDS: Final = 300
"""After its close a list is forgotten by who has entries of it in memory, long before it is retired."""


async def lists_with_room(conn: "Connection", *, size: int) -> "tuple[StoredList, ...]":
    """Every list; where less than half of what one holds was left, with a new one, unless a replica is making it."""
    stored = await status_lists.lists(conn, closed_long_seconds=CLOSED_LONG_SECONDS)
    enough = size // 2
    if sum(one.left for one in stored) >= enough:
        return stored
    list_id, permutation_key = b64url_encode(secrets.token_bytes(12)), secrets.token_bytes(16)
    if await status_lists.make(conn, list_id, size=size, permutation_key=permutation_key, enough=enough):
        log.info("status list made", list_id=list_id, size=size)
    return await status_lists.lists(conn, closed_long_seconds=CLOSED_LONG_SECONDS)
