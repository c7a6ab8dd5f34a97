"""Sessions over a real database, and the entries of status lists that they need."""

import secrets
from dataclasses import dataclass

import asyncpg

from auth_server.grants.refresh_rules import SessionDefaults
from auth_server.grants.sessions import Sessions
from auth_server.status.entry import StatusEntry

ISSUER = "http://127.0.0.1:9000"
PEPPER = b"p" * 32
DEFAULTS = SessionDefaults(idle=600, absolute=3600, grace=30, history=86400, access_token=300, max_token=86400)
SIZE = 1 << 16


def list_uri(list_id: str) -> str:
    """Where a list would be."""
    return f"{ISSUER}/.well-known/status/{list_id}.jwt"


@dataclass(frozen=True, slots=True)
class CountingEntries:
    """Entries of one list, one after another, whoever asks."""

    pool: asyncpg.Pool
    list_id: str

    async def take(self) -> StatusEntry:
        index = await self.pool.fetchval(
            "UPDATE status_lists SET taken = taken + 1 WHERE id = $1 RETURNING taken - 1", self.list_id
        )
        return StatusEntry(self.list_id, index, list_uri(self.list_id))

    def uri(self, list_id: str) -> str:
        return list_uri(list_id)


async def add_list(pool: asyncpg.Pool, list_id: str | None = None) -> str:
    """An empty list that is open."""
    made = list_id or secrets.token_urlsafe(12)
    await pool.execute(
        """
        INSERT INTO status_lists (id, size, permutation_key, created_at, published_at, open_after)
        VALUES ($1, $2, $3, 'epoch', 'epoch', 'epoch')
        """,
        made, SIZE, bytes(16),
    )  # fmt: skip
    return made


async def sessions_over(
    pool: asyncpg.Pool, *, peppers=(PEPPER,), defaults=DEFAULTS, list_id: str | None = None
) -> Sessions:
    """Sessions with a list of their own, or one that is there."""
    entries = CountingEntries(pool, await add_list(pool) if list_id is None else list_id)
    return Sessions(pool, entries, peppers, issuer=ISSUER, defaults=defaults)
