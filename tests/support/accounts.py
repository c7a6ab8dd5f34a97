"""An auth server's database for tests: migrated, and filled in few words."""

import contextlib
import uuid
from collections.abc import AsyncIterator

import asyncpg

from auth_server.accounts import client_secrets
from auth_server.accounts.passwords import PasswordHasher
from auth_server.storage import clients, permissions, resources, users
from auth_server.storage.migrate import migrator
from farseal.clock import at

NOW = 1_800_000_000
NOTES, REPORTS = "http://127.0.0.1:9001", "http://127.0.0.1:9002"


def cheap_hasher(**more) -> PasswordHasher:
    """Argon2id at a cost fit for tests."""
    return PasswordHasher(memory_kib=64, time_cost=1, **more)


@contextlib.asynccontextmanager
async def accounts_pool(dsn: str, *, size: int = 10) -> AsyncIterator[asyncpg.Pool]:
    """A pool on the database, which is migrated first."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=size) as pool:
        async with pool.acquire() as conn:
            await migrator().apply(conn)
        yield pool


async def add_resource(conn, audience=NOTES, *scopes, claims=None) -> None:
    """A resource with scopes and mapped claims."""
    assert await resources.create(conn, audience, "A resource", now=at(NOW))
    await resources.set_scopes(conn, audience, scopes)
    await resources.set_claims(conn, audience, claims or {})


async def add_user(conn, username="alice", *, password_hash=None, attributes=None, roles=(), may=None) -> users.User:
    """A user; ``may`` maps audiences to scopes."""
    user_id = uuid.uuid4()
    assert await users.create(
        conn, user_id, username, password_hash=password_hash, attributes=attributes or {}, now=at(NOW)
    )
    await users.set_roles(conn, user_id, roles)
    await permissions.set_user(conn, user_id, may or {})
    user = await users.find_by_id(conn, user_id)
    assert user is not None
    return user


async def add_client(conn, client_id="nightly", *, may=None, defaults=(), seconds=None) -> str:
    """A client that may use client_credentials; gives its secret."""
    secret = client_secrets.new_secret()
    assert await clients.create(
        conn, client_id, "A client", secret_hash=client_secrets.hash_secret(secret),
        grant_types=["client_credentials"], access_token_seconds=seconds, now=at(NOW),
    )  # fmt: skip
    await permissions.set_client(conn, client_id, may or {}, defaults)
    return secret
