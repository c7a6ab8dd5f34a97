"""Who is stopped in the middle of a change of keys holds nobody up, and does not end it when it is too late."""

import asyncio

import pytest

from auth_server.keys import requests, store
from auth_server.keys.lifecycle import active
from auth_server.keys.requests import Changed
from auth_server.keys.rewrap import rewrap
from auth_server.keys.sealing import Kek
from auth_server.storage import signing_keys
from farseal.environment import Secret
from farseal.service.postgres import DatabaseUnavailable, create_pool, database_errors
from tests.support.auth import migrate
from tests.support.postgres import NewDatabase
from tests.support.rotation import KEK, NOW, POLICY, Replica

SILENCE_SECONDS = 1


@pytest.fixture
async def pool(new_database: NewDatabase, monkeypatch):
    """A database with keys. The real limit is longer than a test should wait."""
    monkeypatch.setattr(signing_keys, "_milliseconds", lambda _seconds: str(SILENCE_SECONDS * 1000))
    dsn = await new_database()
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        replica = await Replica(pool).start()
        await replica.turn()
        await replica.close()
        yield pool


async def revoke(pool) -> None:
    """In an emergency, by whoever comes."""
    async with pool.acquire() as conn:
        key = active(await signing_keys.keys(conn))
        assert key is not None
        outcome = await store.apply(
            conn,
            lambda keys: requests.revoke(keys, key.kid, POLICY, now=NOW),
            actor="alice",
            action="revoke",
            reason="it became known",
            now=NOW,
        )
    assert isinstance(outcome, Changed)


@pytest.mark.parametrize("taking", [store.leading, store.changing])
async def test_who_is_stopped_with_the_lock_loses_it(pool, taking) -> None:
    """An operator revokes a few seconds later; what the stopped one had in hand is not stored when it wakes up."""
    async with pool.acquire() as conn:
        (signing,) = await signing_keys.list_states(conn, ("active",))

    async def stopped() -> None:
        with database_errors():
            async with pool.acquire() as conn, taking(conn):
                await conn.execute("UPDATE signing_keys SET signatures = 4711")
                async with asyncio.timeout(SILENCE_SECONDS + 5):
                    await revoke(pool)
                await signing_keys.keys(conn)

    with pytest.raises(DatabaseUnavailable):
        await stopped()
    async with pool.acquire() as conn:
        assert {key.kid: key.state for key in await signing_keys.keys(conn)}[signing.kid] == "revoked"
        assert {key.signatures for key in await signing_keys.list_all(conn)} == {0}


async def test_who_is_stopped_while_it_seals_keys_anew_lets_them_go(pool, monkeypatch) -> None:
    """Its rows are those that every other change needs."""
    stopped, going = asyncio.Event(), asyncio.Event()

    async def stop(_conn, _stored) -> None:
        stopped.set()
        await going.wait()

    monkeypatch.setattr(signing_keys, "reseal", stop)
    sealing = asyncio.create_task(rewrap(pool, (Kek(bytes(range(32))), KEK), actor="bob", now=NOW))
    await stopped.wait()
    async with asyncio.timeout(SILENCE_SECONDS + 5):
        await revoke(pool)
    going.set()
    with pytest.raises(DatabaseUnavailable):
        await sealing
