"""A database restored from a backup: told by the published documents, and recovered from them."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from auth_server.keys import requests, store
from auth_server.keys.keyring import KeysUnconfirmed
from auth_server.keys.opening import seal_public
from auth_server.keys.public_key import PublicKey
from auth_server.keys.recovery import Recovered, recover
from auth_server.keys.requests import Refused
from auth_server.publication.refresher import NothingPublished
from auth_server.storage import audit, publication, signing_keys
from auth_server.terms import ACCESS_TOKEN_SECONDS
from farseal.environment import Secret
from farseal.service.postgres import create_pool
from tests.support.auth import migrate
from tests.support.postgres import NewDatabase, TestServer
from tests.support.rotation import ISSUER, KEK, NOW, POLICY, Replica, Time


@dataclass
class Restored:
    """A database as the backup has it, and the key set that was published after the backup was taken."""

    dsn: str
    directory: Path
    now: int
    lost: set[str]
    revoked: str

    @property
    def document(self) -> bytes:
        return (self.directory / "jwks.json").read_bytes()


async def prepared(server: TestServer, dsn: str, tmp_path: Path, *, rotations: int) -> Restored:
    """Back up, rotate so often, withdraw the oldest key that is still published; and then restore."""
    await migrate(dsn)
    directory = tmp_path / "published"
    time = Time()
    async with await create_pool(Secret(dsn)) as pool:
        replica = await Replica(pool, time=time, directory=directory).start()
        await replica.turn()
        await replica.close()
    name = dsn.rpartition("/")[2].partition("?")[0]
    await server._execute(f"CREATE DATABASE {name}_later TEMPLATE {name}")
    later = server.database_dsn(f"{name}_later")
    try:
        async with await create_pool(Secret(later)) as pool:
            replica = await Replica(pool, time=time, directory=directory).start()
            for _ in range(rotations):
                await replica.turn(POLICY.rotation_seconds)
                await replica.turn()
            async with pool.acquire() as conn:
                keys = await signing_keys.list_all(conn)
                kid = next(key.kid for key in keys if key.state in ("retiring", "announced"))
                await store.apply(
                    conn,
                    lambda held: requests.revoke(held, kid, POLICY, now=time.now),
                    actor="alice",
                    action="revoke",
                    reason="lost",
                    now=time.now,
                )
            await replica.turn()
            published = {key.kid for key in replica.keyring.keys.published}
            await replica.close()
    finally:
        await server.drop_database(later)
    async with await create_pool(Secret(dsn)) as pool, pool.acquire() as conn:
        known = {key.kid for key in await signing_keys.list_all(conn)}
    return Restored(dsn, directory, time.now, published - known, kid)


@pytest.fixture(params=[1, 4], ids=["a-rotation-ago", "long-ago"])
async def restored(request, new_database: NewDatabase, postgres_server: TestServer, tmp_path: Path):
    return await prepared(postgres_server, await new_database(), tmp_path, rotations=request.param)


async def run_recovery(pool, restored: Restored, document: bytes | None = None) -> Recovered | Refused:
    async with pool.acquire() as conn:
        return await recover(
            conn,
            restored.document if document is None else document,
            (KEK,),
            POLICY,
            actor="alice",
            reason="restored",
            now=restored.now,
            issuer=ISSUER,
        )


async def test_a_restored_database_publishes_and_rotates_nothing(restored: Restored) -> None:
    """What verifiers hold is newer: it is not written over, readiness says why, and no step is taken meanwhile."""
    before = restored.document
    async with await create_pool(Secret(restored.dsn)) as pool:
        replica = await Replica(pool, time=Time(restored.now), directory=restored.directory).start()
        try:
            sequence = await pool.fetchval("SELECT sequence FROM publication")
            for _ in range(3):
                await replica.turn(POLICY.rotation_seconds)
            assert restored.document == before
            assert "restored from a backup" in (await replica.refresher.check_publication() or "")
            assert "restored from a backup" in (await replica.refresher.check_rotation() or "")
            assert await pool.fetchval("SELECT sequence FROM publication") == sequence
        finally:
            await replica.close()


async def test_before_recovery_nothing_older_is_served_and_no_withdrawn_key_signs(restored: Restored) -> None:
    """HTTP answers 503 rather than the set of the backup, in which a revoked key is good. Readiness refuses where the
    key that would sign is not one that verifiers hold; and more changes do not make the database look ahead."""
    async with await create_pool(Secret(restored.dsn)) as pool:
        active = await pool.fetchval("SELECT kid FROM signing_keys WHERE state = 'active'")
        held = json.loads(restored.document)
        barred = active not in {key["kid"] for key in held["keys"]}
        replica = await Replica(pool, time=Time(restored.now), directory=restored.directory).start()
        try:
            with pytest.raises(NothingPublished):
                _ = replica.refresher.published
            assert (await replica.refresher.check_keyring() is not None) is barred
            with pytest.raises(KeysUnconfirmed) if barred else contextlib.nullcontext():
                replica.refresher.active_key()
            await pool.execute("UPDATE publication SET sequence = sequence + 1000")
            await replica.turn()
            assert json.loads(restored.document) == held
            assert "revoked keys" in (await replica.refresher.check_publication() or "")
        finally:
            await replica.close()


async def test_recovery_goes_on_where_the_published_set_stopped(restored: Restored) -> None:
    """The sequence is higher, what was withdrawn stays withdrawn, and every key whose tokens may be alive is published
    until the last of them is dead."""
    said = json.loads(restored.document)
    async with await create_pool(Secret(restored.dsn)) as pool:
        outcome = await run_recovery(pool, restored)
        assert isinstance(outcome, Recovered)
        assert outcome.sequence == said["farseal"]["sequence"] + 1
        assert set(outcome.kept) == restored.lost
        assert outcome.revoked == (restored.revoked,)
        time = Time(restored.now)
        replica = await Replica(pool, time=time, directory=restored.directory).start()
        try:
            await replica.turn()
            assert await replica.refresher.check_publication() is None
            assert await replica.refresher.check_rotation() is None
            now = json.loads(restored.document)
            assert now["farseal"]["sequence"] > said["farseal"]["sequence"]
            assert restored.revoked in now["farseal"]["revoked"]
            kids = {key["kid"] for key in now["keys"]}
            assert {key["kid"] for key in said["keys"]} <= kids
            assert replica.keyring.active_key().kid not in restored.lost
            held = POLICY.retirement_seconds(ACCESS_TOKEN_SECONDS[1])
            await replica.turn(held - 1)
            assert restored.lost <= {key.kid for key in replica.keyring.keys.published}
            await replica.turn(1)
            assert not restored.lost & {key.kid for key in replica.keyring.keys.published}
            assert restored.revoked in replica.keyring.keys.revoked
        finally:
            await replica.close()
        async with pool.acquire() as conn:
            whole = next(entry for entry in await audit.entries(conn, limit=1000) if entry.action == "recover")
        assert (whole.actor, whole.kid, whole.reason) == ("alice", None, "restored")
        assert set(whole.after["kept"]) == restored.lost


async def test_what_verifiers_hold_signs_if_it_is_here(restored: Restored) -> None:
    """A key that they do not hold must not sign at once when there is one that they hold; otherwise it is said."""
    held = {key["kid"] for key in json.loads(restored.document)["keys"]}
    async with await create_pool(Secret(restored.dsn)) as pool:
        outcome = await run_recovery(pool, restored)
        assert isinstance(outcome, Recovered)
        replica = Replica(pool, time=Time(restored.now))
        await replica.keyring.refresh()
        assert (replica.keyring.active_key().kid in held) is not bool(outcome.warnings)
        await replica.close()


async def test_recovering_twice_changes_nothing(restored: Restored) -> None:
    """The second time the database lacks nothing."""
    document = restored.document
    async with await create_pool(Secret(restored.dsn)) as pool:
        assert isinstance(await run_recovery(pool, restored, document), Recovered)
        again = await run_recovery(pool, restored, document)
        assert isinstance(again, Refused)
        assert "lacks nothing" in again.reason


@pytest.mark.parametrize("restored", [4], indirect=True, ids=["long-ago"])
async def test_who_can_write_to_the_database_alone_slips_no_key_in(restored: Restored) -> None:
    """A row with a public half of somebody's own does not open, and is told and not published."""
    async with await create_pool(Secret(restored.dsn)) as pool:
        assert isinstance(await run_recovery(pool, restored), Recovered)
        kid = min(restored.lost)
        other = PublicKey("n" * 342, "AQAB")
        for sealed in (b"FSP1" + bytes(8) + bytes(60), seal_public(other, (KEK,))):
            await pool.execute("UPDATE signing_keys SET sealed_public_key = $2 WHERE kid = $1", kid, sealed)
            replica = Replica(pool, time=Time(restored.now))
            await replica.keyring.refresh()
            assert kid not in {key.kid for key in replica.keyring.keys.published}
            assert kid in replica.keyring.keys.faults[0]
            await replica.close()


def _key(n: str) -> dict[str, str]:
    return PublicKey(n, "AQAB").jwk()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda said: said.pop("farseal"), "names its issuer", id="not-ours"),
        pytest.param(lambda said: said["farseal"].update(issuer="https://other.example"), "other.example", id="other"),
        pytest.param(lambda said: said["farseal"].update(sequence=2**53), "out of range", id="sequence"),
        pytest.param(lambda said: said["farseal"].update(sequence=0), "out of range", id="zero"),
        pytest.param(lambda said: said["farseal"]["revoked"].append("x"), "none of ours", id="odd-kid"),
        pytest.param(lambda said: said["keys"][0].update(n="AQAB"), "thumbprint", id="another-key"),
        pytest.param(
            lambda said: said["keys"].append(PublicKey("A" * 100, "AQAB").jwk()), "verifiers refuse", id="short"
        ),
        pytest.param(lambda said: said["keys"].append(_key("Y" + "A" * 341)), "verifiers refuse", id="even"),
        pytest.param(
            lambda said: said["keys"].append(_key("A" * 42 + "x" * 340 + "E")), "verifiers refuse", id="long-zero"
        ),
        pytest.param(lambda said: said["keys"].append(_key("\x1b" * 342)), "verifiers refuse", id="no-base64url"),
        pytest.param(lambda said: said["keys"].append(said["keys"][0]), "twice", id="twice"),
        pytest.param(
            lambda said: said["keys"].extend(_key(f"Y{number:0>340}E") for number in range(128)),
            "more than 128",
            id="keys-without-number",
        ),
        pytest.param(
            lambda said: said["farseal"].update(revoked=[f"{number:0>43}" for number in range(1025)]),
            "more than 1024 that are revoked",
            id="more-revoked-than-verifiers-take",
        ),
        pytest.param(
            lambda said: said["farseal"].update(sequence=2**53 - 2), "leaves no room", id="the-last-number-but-one"
        ),
    ],
)
async def test_a_document_that_nobody_should_believe_is_refused(
    new_database: NewDatabase, tmp_path: Path, change, says: str
) -> None:
    """In words, and nothing is stored."""
    dsn = await new_database()
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        replica = await Replica(pool, directory=tmp_path).start()
        await replica.close()
        said = json.loads((tmp_path / "jwks.json").read_bytes())
        said["farseal"]["sequence"] += 5
        change(said)
        async with pool.acquire() as conn:
            before = await publication.sequence(conn)
            outcome = await recover(
                conn,
                json.dumps(said).encode(),
                (KEK,),
                POLICY,
                actor="a",
                reason=None,
                now=NOW,
                issuer=ISSUER,
            )
            assert isinstance(outcome, Refused)
            assert says in outcome.reason
            assert await publication.sequence(conn) == before
