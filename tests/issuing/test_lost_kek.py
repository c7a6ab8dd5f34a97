"""The way out when the key-encryption key is lost: new keys, and no token refused."""

import json
from pathlib import Path

import pytest

from auth_server.keys.opening import KeyringError
from auth_server.keys.recovery import Recovered, recover
from auth_server.keys.requests import Refused
from auth_server.keys.sealing import Kek
from auth_server.storage import signing_keys
from auth_server.terms import ACCESS_TOKEN_SECONDS
from farseal.environment import Secret
from farseal.service.postgres import Pool, create_pool
from tests.support.auth import migrate
from tests.support.postgres import NewDatabase
from tests.support.rotation import ISSUER, KEK, POLICY, Replica, Time

NEW = Kek(bytes(range(132, 164)))


@pytest.fixture
async def pool(new_database: NewDatabase):
    dsn = await new_database()
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        yield pool


@pytest.fixture
async def time(pool: Pool, tmp_path: Path) -> Time:
    """A server has rotated, and stopped: one key is retiring, one active, one announced, one ready."""
    time = Time()
    replica = await Replica(pool, time=time, directory=tmp_path).start()
    await replica.turn(POLICY.rotation_seconds)
    for _ in range(2):
        await replica.turn()
    await replica.close()
    return time


async def states(pool: Pool) -> dict[str, str]:
    return {row["kid"]: row["state"] for row in await pool.fetch("SELECT kid, state FROM signing_keys")}


async def run(pool: Pool, directory: Path, time: Time, *keks: Kek, lost_kek: bool = True) -> Recovered | Refused:
    async with pool.acquire() as conn:
        return await recover(
            conn,
            (directory / "jwks.json").read_bytes(),
            keks,
            POLICY,
            actor="alice",
            reason="the disk with the KEK died",
            now=time.now,
            issuer=ISSUER,
            lost_kek=lost_kek,
        )


async def test_without_it_a_server_with_a_new_kek_does_not_start(pool: Pool, time: Time, tmp_path: Path) -> None:
    before = await states(pool)
    with pytest.raises(KeyringError, match=f"sealed under KEK {KEK.id}"):
        await Replica(pool, time=time, directory=tmp_path, keks=(NEW,)).start()
    assert await states(pool) == before


async def test_new_keys_sign_and_the_old_ones_are_published_until_their_tokens_are_dead(
    pool: Pool, time: Time, tmp_path: Path
) -> None:
    """A new key is active at once, the old ones stay in the set, sealed under the new KEK, and go in time."""
    before, said = await states(pool), json.loads((tmp_path / "jwks.json").read_bytes())
    outcome = await run(pool, tmp_path, time, NEW)
    assert isinstance(outcome, Recovered)
    assert set(outcome.given_up) == set(before)
    assert outcome.sequence > said["farseal"]["sequence"]
    published = {key["kid"] for key in said["keys"]}
    assert {kid for kid, state in (await states(pool)).items() if state == "retiring"} == published
    assert {kid for kid, state in (await states(pool)).items() if state == "gone"} == set(before) - published

    replica = await Replica(pool, time=time, directory=tmp_path, keks=(NEW,)).start()
    try:
        await replica.turn()
        assert await replica.refresher.check_rotation() is None
        assert await replica.refresher.check_publication() is None
        assert replica.keyring.active_key().kid not in before
        now = json.loads((tmp_path / "jwks.json").read_bytes())
        kept = {key["kid"]: key["n"] for key in now["keys"]}
        assert {key["kid"]: key["n"] for key in said["keys"]}.items() <= kept.items()
        held = POLICY.retirement_seconds(ACCESS_TOKEN_SECONDS[1])
        await replica.turn(held - 1)
        assert published <= {key.kid for key in replica.keyring.keys.published}
        await replica.turn(1)
        assert not published & {key.kid for key in replica.keyring.keys.published}
    finally:
        await replica.close()


async def test_keys_that_open_are_not_given_up(pool: Pool, time: Time, tmp_path: Path) -> None:
    """The KEK was only mislaid: with it at hand nothing is given up, and nothing else is missing either."""
    before = await states(pool)
    for keks in ((KEK,), (NEW, KEK)):
        outcome = await run(pool, tmp_path, time, *keks)
        assert isinstance(outcome, Refused)
        assert "lacks nothing" in outcome.reason
    assert await states(pool) == before


async def test_keys_are_given_up_only_where_that_is_asked_for(pool: Pool, time: Time, tmp_path: Path) -> None:
    """A wrong file as KEK must not cost the keys."""
    before = await states(pool)
    assert isinstance(await run(pool, tmp_path, time, NEW, lost_kek=False), Refused)
    assert await states(pool) == before


async def test_only_what_the_document_holds_stays(pool: Pool, time: Time, tmp_path: Path) -> None:
    """A key of the database that no verifier has seen, or that was withdrawn, is not published under the new KEK."""
    document = json.loads((tmp_path / "jwks.json").read_bytes())
    dropped = document["keys"].pop()["kid"]
    document["farseal"] |= {"sequence": 99, "revoked": [withdrawn := document["keys"][0]["kid"]]}
    (tmp_path / "jwks.json").write_text(json.dumps(document))
    outcome = await run(pool, tmp_path, time, NEW)
    assert isinstance(outcome, Recovered)
    found = await states(pool)
    assert (found[dropped], found[withdrawn]) == ("gone", "revoked")
    async with pool.acquire() as conn:
        rows = {one.kid: one for one in await signing_keys.list_all(conn)}
    assert all(one.kek_id == NEW.id for one in rows.values() if one.state == "retiring")
