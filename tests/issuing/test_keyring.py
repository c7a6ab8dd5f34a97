"""The keys of an issuer in its database: made once, opened by their KEK only, kept in step."""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import asyncpg
import pytest

from auth_server.keys import generation, requests, store
from auth_server.keys.generation import generate, to_der
from auth_server.keys.keyring import Keyring, KeysUnconfirmed
from auth_server.keys.opening import KeyringError
from auth_server.keys.pool import KeyPool
from auth_server.keys.rotation import Rotation
from auth_server.keys.sealing import Kek, seal
from auth_server.publication.refresher import NothingPublished
from auth_server.storage import signing_keys
from farseal.environment import Secret
from farseal.service.postgres import DatabaseUnavailable, Pool, create_pool
from tests.support.auth import Wire, environment, migrate
from tests.support.postgres import NewDatabase
from tests.support.rotation import KEK, NOW, POLICY, Replica


@pytest.fixture
async def dsn(new_database: NewDatabase) -> str:
    dsn = await new_database()
    await migrate(dsn)
    return dsn


@pytest.fixture
async def pool(dsn: str):
    pool = await create_pool(Secret(dsn))
    yield pool
    await pool.close()


async def prepared(pool: Pool, kek: Kek = KEK) -> Keyring:
    """The first keys, made if they are missing, and loaded."""
    replica = Replica(pool, keks=(kek,))
    await replica.rotation.prepare()
    await replica.keyring.refresh()
    replica.signer.close()
    return replica.keyring


async def states(dsn: str) -> list[str]:
    conn = await asyncpg.connect(dsn)
    try:
        return [row["state"] for row in await conn.fetch("SELECT state FROM signing_keys ORDER BY state")]
    finally:
        await conn.close()


async def test_an_empty_database_gets_one_active_and_one_announced_key(pool: Pool, dsn: str) -> None:
    """The issuer can sign at once, and verifiers already hold the key that comes next."""
    ring = await prepared(pool)
    assert await states(dsn) == ["active", "announced"]
    async with pool.acquire() as conn:
        stored = await signing_keys.list_all(conn)
    assert {key.kid for key in stored} == {key.kid for key in ring.keys.published}
    assert {key.state: key.kid for key in stored}["active"] == ring.active_key().kid
    for key in stored:
        assert (key.kek_id, key.bits) == (KEK.id, 2048)
        assert key.key.created_at == key.key.announced_at == NOW
        assert (key.key.activated_at is not None) is (key.state == "active")
        assert key.public_jwk["kid"] == key.kid
        assert not {"d", "p", "q", "dp", "dq", "qi"} & key.public_jwk.keys()


async def test_keys_are_made_and_opened_off_the_event_loop(pool: Pool, monkeypatch) -> None:
    """Seconds for a large key, in which the probes are to be answered."""
    threads: list[threading.Thread] = []

    def watched(work):
        def run(*arguments):
            threads.append(threading.current_thread())
            return work(*arguments)

        return run

    monkeypatch.setattr(generation, "generate", watched(generation.generate))
    monkeypatch.setattr(generation, "from_der", watched(generation.from_der))
    keys = KeyPool(pool, (KEK,), POLICY, bits=2048, actor="test")
    await Rotation(pool, (KEK,), keys, POLICY, actor="test").prepare()
    await Keyring(pool, (KEK,), POLICY).refresh()
    assert len(threads) >= 4
    assert threading.current_thread() not in threads


async def test_a_restart_makes_no_new_key(pool: Pool, dsn: str) -> None:
    """Tokens signed before a restart verify after it."""
    first, second = await prepared(pool), await prepared(pool)
    assert first.active_key().kid == second.active_key().kid
    assert first.keys.published == second.keys.published
    assert await states(dsn) == ["active", "announced"]


async def test_ten_replicas_at_once_agree_on_their_keys(dsn: str) -> None:
    """Each with connections of its own, all on an empty database: one active, one announced, known to all."""
    pools = [await create_pool(Secret(dsn), max_size=2) for _ in range(10)]
    try:
        rings = await asyncio.gather(*(prepared(pool) for pool in pools))
    finally:
        for pool in pools:
            await pool.close()
    assert await states(dsn) == ["active", "announced"]
    assert len({ring.active_key().kid for ring in rings}) == 1
    assert len({ring.keys.published for ring in rings}) == 1


async def test_three_processes_at_once_agree_on_their_keys(new_database: NewDatabase, tmp_path: Path) -> None:
    """The same with real processes, which migrate at the same moment too, and all of them serve."""
    dsn = await new_database()
    environ = environment(dsn, tmp_path, MIGRATE_ON_START="true", LOG_FORMAT="json") | {"PATH": os.environ["PATH"]}
    program = "import os, sys; from auth_server.app import run_server; sys.exit(run_server(os.environ))"
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environ, stderr=asyncio.subprocess.PIPE)
        for _ in range(3)
    ]
    try:
        for process in started:
            assert process.stderr is not None
            async with asyncio.timeout(40):
                while b'"listening"' not in (line := await process.stderr.readline()):
                    assert line, "the process ended"
    finally:
        for process in started:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        ends = await asyncio.gather(*(process.communicate() for process in started))
    assert [process.returncode for process in started] == [0, 0, 0], ends
    assert [state for state in await states(dsn) if state != "ready"] == ["active", "announced"]


async def test_the_announced_key_is_replaced_when_it_is_missing(pool: Pool, dsn: str) -> None:
    """Only what is missing is made; the key that signs stays."""
    ring = await prepared(pool)
    await pool.execute("DELETE FROM signing_keys WHERE state = 'announced'")
    again = await prepared(pool)
    assert again.active_key().kid == ring.active_key().kid
    assert await states(dsn) == ["active", "announced"]


async def test_the_database_refuses_a_second_active_key(pool: Pool) -> None:
    """Whatever a program gets wrong, one key signs."""
    await prepared(pool)
    with pytest.raises(asyncpg.UniqueViolationError):
        await pool.execute("UPDATE signing_keys SET state = 'active', activated_at = now(), token_seconds = 1")


async def test_another_kek_is_a_clear_error_and_adds_nothing(pool: Pool, dsn: str) -> None:
    """A replica that was given the wrong KEK does not start, and does not sign with a key of its own."""
    await prepared(pool)
    await pool.execute("DELETE FROM signing_keys WHERE state = 'announced'")
    wrong = Kek(bytes(range(32)))
    with pytest.raises(KeyringError, match=f"sealed under KEK {KEK.id}, the given one is {wrong.id}"):
        await prepared(pool, wrong)
    assert await states(dsn) == ["active"]


async def test_keys_that_changed_places_are_refused(pool: Pool) -> None:
    """Somebody who can write to the database cannot give one kid the private key of another."""
    await prepared(pool)
    await pool.execute("""
        UPDATE signing_keys k SET sealed_private_key = o.sealed_private_key
          FROM signing_keys o WHERE o.kid <> k.kid
    """)
    with pytest.raises(KeyringError, match="altered"):
        await prepared(pool)


async def test_a_key_under_a_name_that_is_not_its_own_is_refused(pool: Pool) -> None:
    """The kid is the thumbprint: verifiers would look for another key, even when the KEK's owner sealed it so."""
    ring = await prepared(pool)
    kid = ring.active_key().kid
    sealed = seal(to_der(generate(2048)), kek=KEK, kid=kid)
    await pool.execute("UPDATE signing_keys SET sealed_private_key = $2 WHERE kid = $1", kid, sealed)
    with pytest.raises(KeyringError, match="is not the key that its kid names"):
        await prepared(pool)


async def test_a_refresh_takes_over_what_changed(pool: Pool) -> None:
    """A replica follows what another one did, and says whether anything is new."""
    ring = await prepared(pool)
    before = ring.keys
    assert await ring.refresh() is False
    await pool.execute("UPDATE signing_keys SET state = 'gone', gone_at = now() WHERE state = 'active'")
    await pool.execute(
        "UPDATE signing_keys SET state = 'active', activated_at = now(), token_seconds = 1 WHERE state = 'announced'"
    )
    assert await ring.refresh() is True
    assert ring.active_key().kid != before.active.kid
    assert [key.kid for key in ring.keys.published] == [ring.active_key().kid]


async def test_without_an_active_key_the_last_good_ones_stay(pool: Pool) -> None:
    """A database in a wrong state stops nothing that worked."""
    ring = await prepared(pool)
    before = ring.keys
    await pool.execute("UPDATE signing_keys SET state = 'announced'")
    with pytest.raises(KeyringError, match="no signing key is active"):
        await ring.refresh()
    assert ring.keys is before


async def test_a_database_that_is_away_changes_nothing(dsn: str) -> None:
    """The keys in memory go on signing; when it is back, refreshing works again."""
    wire = Wire(dsn)
    async with wire as through:
        pool = await create_pool(Secret(through), connect_seconds=1, acquire_seconds=1)
        try:
            ring = await prepared(pool)
            before = ring.keys
            wire.cut()
            with pytest.raises(DatabaseUnavailable):
                await ring.refresh()
            assert ring.keys is before
            wire.mend()
            assert await ring.refresh() is False
        finally:
            await pool.close()


def test_an_unprepared_keyring_says_so() -> None:
    """Never an unsigned token, never a None in place of a key."""
    ring = Keyring.__new__(Keyring)
    ring._keys = None
    with pytest.raises(RuntimeError, match="not prepared"):
        ring.active_key()


def test_a_stored_key_does_not_show_its_sealed_bytes() -> None:
    """Not a secret without the KEK, and still nobody's business."""
    fields = {field.name: field.repr for field in signing_keys.StoredKey.__dataclass_fields__.values()}
    assert fields["sealed_private_key"] is fields["sealed_public_key"] is False


# --- the lease, what does not open, what is counted ----------------------------------------------------------------


@pytest.fixture
async def replica(pool: Pool):
    made = await Replica(pool).start()
    yield made
    await made.close()


async def test_a_replica_signs_for_its_lease_and_no_longer(replica: Replica) -> None:
    """Measured from before the last good look, on a clock that nobody sets; one good look is enough to go on."""
    replica.time.now += POLICY.lease_seconds
    assert replica.keyring.active_key()
    replica.time.now += 1
    with pytest.raises(KeysUnconfirmed) as refused:
        replica.keyring.active_key()
    assert (refused.value.status, refused.value.code) == (503, "keys_unconfirmed")
    assert int(refused.value.headers["Retry-After"]) >= 1
    await replica.keyring.refresh()
    assert replica.keyring.active_key()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="the monotonic clock of this system never stops")
async def test_the_lease_runs_out_while_the_machine_sleeps(pool: Pool, monkeypatch) -> None:
    """A laptop or a virtual machine that wakes up days later signs with no key that may be gone by now."""
    await prepared(pool)
    keyring = Keyring(pool, (KEK,), POLICY)
    await keyring.refresh()
    assert keyring.active_key()
    read, slept = time.clock_gettime, {time.CLOCK_BOOTTIME: POLICY.lease_seconds + 1}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: read(clock) + slept.get(clock, 0))
    with pytest.raises(KeysUnconfirmed):
        keyring.active_key()


async def test_a_look_that_finds_no_usable_key_does_not_renew_the_lease(replica: Replica, pool: Pool) -> None:
    """What was held may be wrong by now."""
    await pool.execute("UPDATE signing_keys SET state = 'gone', gone_at = now()")
    replica.time.now += POLICY.lease_seconds
    with pytest.raises(KeyringError, match="no signing key is active"):
        await replica.keyring.refresh()
    assert replica.keyring.active_key()
    replica.time.now += 1
    with pytest.raises(KeysUnconfirmed):
        replica.keyring.active_key()


async def test_an_announced_key_that_does_not_open_stops_nothing(replica: Replica, pool: Pool) -> None:
    """It is told, it is not published whatever its row says, and it is never activated by the rotation. A replica that
    has just started publishes nothing at all, rather than a set that lacks a key."""
    (kid,) = [key.kid for key in replica.keyring.keys.published if key.kid != replica.keyring.active_key().kid]
    await pool.execute(
        "UPDATE signing_keys SET sealed_private_key = 'broken', published_at = NULL, activate_after = NULL"
        " WHERE kid = $1",
        kid,
    )
    other = await Replica(pool, time=replica.time).start()
    try:
        signing = other.keyring.active_key().kid
        await other.turn(10 * POLICY.rotation_seconds)
        assert other.keyring.active_key().kid == signing
        assert [key.kid for key in other.keyring.keys.published] == [signing]
        with pytest.raises(NothingPublished):
            _ = other.refresher.published
        assert f"signing key {kid} is not in the sealed format" in (await other.refresher.check_rotation() or "")
        assert await other.refresher.check_keyring() is None
    finally:
        await other.close()


async def test_a_key_whose_tokens_live_is_never_left_out_of_the_documents(
    replica: Replica, pool: Pool, tmp_path
) -> None:
    """One that was altered, or sealed under a KEK that this replica was not given, is taken from the last document: a
    revocation gets out all the same, from a replica that has just started too."""
    other = await Replica(pool, time=replica.time, directory=tmp_path).start()
    try:
        before, kid = other.refresher.published.jwks, other.keyring.active_key().kid
        await replica.turn(POLICY.rotation_seconds)
        await replica.turn()
        sealed = await pool.fetchval("SELECT sealed_private_key FROM signing_keys WHERE kid = $1", kid)
        await pool.execute("UPDATE signing_keys SET sealed_private_key = 'broken' WHERE kid = $1", kid)
        other.keyring._opened.clear()
        await other.turn()
        assert other.keyring.active_key().kid != kid
        assert other.refresher.published.jwks != before
        assert kid in published_in(tmp_path)["kids"]
        assert f"signing key {kid} is not in the sealed format" in (await other.refresher.check_rotation() or "")
        await other.close()
        other = await Replica(pool, time=replica.time, directory=tmp_path).start()
        await revoke(pool, other.keyring.active_key().kid, now=replica.time.now)
        await other.turn()
        said = published_in(tmp_path)
        assert kid in said["kids"]
        assert len(said["revoked"]) == 1
        assert json.loads(other.refresher.published.jwks.document.body)["farseal"]["revoked"] == said["revoked"]
        await pool.execute("UPDATE signing_keys SET sealed_private_key = $2 WHERE kid = $1", kid, sealed)
        await other.turn()
        assert await other.refresher.check_rotation() is None
        assert kid in published_in(tmp_path)["kids"]
    finally:
        await other.close()


def published_in(directory: Path) -> dict[str, list[str]]:
    said = json.loads((directory / "jwks.json").read_bytes())
    return {"kids": [key["kid"] for key in said["keys"]], "revoked": said["farseal"]["revoked"]}


async def revoke(pool: Pool, kid: str, *, now: int) -> None:
    async with pool.acquire() as conn:
        await store.apply(
            conn, lambda held: requests.revoke(held, kid, POLICY, now=now),
            actor="alice", action="revoke", reason="it became known", now=now,
        )  # fmt: skip


async def test_signatures_are_stored_with_the_turn_and_at_the_end(replica: Replica, pool: Pool) -> None:
    """By key, and those that could not be stored are not lost."""
    key = replica.keyring.active_key()

    async def stored() -> int:
        return await pool.fetchval("SELECT signatures FROM signing_keys WHERE kid = $1", key.kid)

    for _ in range(3):
        await replica.signer.sign(b"{}", key, token_type="at+jwt")
    await replica.turn()
    assert await stored() == 3
    await replica.signer.sign(b"{}", key, token_type="at+jwt")
    await pool.execute("ALTER TABLE signing_keys RENAME COLUMN signatures TO elsewhere")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await replica.refresher.flush()
    await pool.execute("ALTER TABLE signing_keys RENAME COLUMN elsewhere TO signatures")
    await replica.refresher.flush()
    assert await stored() == 4
