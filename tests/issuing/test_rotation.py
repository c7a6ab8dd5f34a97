"""The automatic rotation on a real database: what it does by itself, and what holds it back."""

import asyncio
import json
from pathlib import Path

import pytest

from auth_server.keys.lifecycle import KeyState
from auth_server.keys.planner import Action
from auth_server.storage import audit, publication, signing_keys
from farseal.environment import Secret
from farseal.service.postgres import create_pool
from tests.support.auth import migrate
from tests.support.postgres import NewDatabase
from tests.support.rotation import NOW, POLICY, Replica, Time


@pytest.fixture
async def pool(new_database: NewDatabase):
    dsn = await new_database()
    await migrate(dsn)
    async with await create_pool(Secret(dsn)) as pool:
        yield pool


@pytest.fixture
async def replica(pool):
    made = Replica(pool)
    yield await made.start()
    await made.close()


async def states(pool) -> dict[str, str]:
    async with pool.acquire() as conn:
        return {key.kid: str(key.state) for key in await signing_keys.list_all(conn)}


async def test_a_key_goes_through_its_whole_life(replica: Replica, pool) -> None:
    """Announced, active, retiring, gone, at the moments of the policy and not a second before."""
    await replica.turn()
    first = replica.keyring.active_key().kid
    (second,) = [kid for kid, state in (await states(pool)).items() if state == "announced"]
    await replica.turn(POLICY.rotation_seconds - 1)
    assert replica.keyring.active_key().kid == first
    await replica.turn(1)
    assert replica.keyring.active_key().kid == second
    assert {key.kid for key in replica.keyring.keys.published} >= {first, second}
    held = POLICY.retirement_seconds(POLICY.max_token_seconds)
    await replica.turn(held - 1)
    assert first in {key.kid for key in replica.keyring.keys.published}
    await replica.turn(1)
    assert first not in {key.kid for key in replica.keyring.keys.published}
    assert (await states(pool))[first] == "gone"


async def test_one_key_is_always_announced_and_one_ready(replica: Replica, pool) -> None:
    """Right after an activation the next key is announced, and another one is made for the pool."""
    for _ in range(4):
        await replica.turn(POLICY.rotation_seconds)
        await replica.turn()
        found = list((await states(pool)).values())
        assert (found.count("active"), found.count("announced"), found.count("ready")) == (1, 1, 1)


async def test_every_automatic_step_is_in_the_audit(replica: Replica, pool) -> None:
    """Who, what, from what to what, and why."""
    await replica.turn(POLICY.rotation_seconds)
    async with pool.acquire() as conn:
        entries = await audit.entries(conn)
    assert {entry.actor for entry in entries} == {"replica"}
    assert {entry.action for entry in entries} >= {"make", "announce", "activate", "confirm"}
    activated = next(entry for entry in entries if entry.action == "activate")
    assert activated.reason == f"the active key has signed for {POLICY.rotation_seconds} s"
    assert activated.before == {"activated_at": None, "state": "announced", "token_seconds": 0}
    assert activated.after["state"] == "active"


async def test_the_sequence_counts_changes_and_nothing_else(replica: Replica, pool) -> None:
    """A heartbeat, a new key in the pool and a confirmation leave it; an activation does not."""
    await replica.turn()
    async with pool.acquire() as conn:
        before = await publication.sequence(conn)
        await replica.turn(100)
        await replica.turn(100)
        assert await publication.sequence(conn) == before
        await replica.turn(POLICY.rotation_seconds)
        assert await publication.sequence(conn) == before + 2  # activated, announced
    await replica.turn()
    assert replica.keyring.keys.sequence == before + 2


async def test_a_key_that_could_not_be_published_is_not_activated(pool, tmp_path: Path) -> None:
    """However long ago it was announced; once it is published the full time of announcement begins."""
    directory = tmp_path / "published"
    replica = await Replica(pool, directory=directory).start()
    try:
        await replica.turn(POLICY.rotation_seconds)
        old = replica.keyring.active_key().kid
        # The directory breaks before the next key is announced.
        saved = directory.rename(tmp_path / "saved")
        directory.write_text("in the way")
        await replica.turn(POLICY.rotation_seconds)
        await replica.turn(POLICY.rotation_seconds)
        assert "not activated before it is published" in (await replica.refresher.check_publication() or "")
        waiting = replica.keyring.keys.unconfirmed
        assert len(waiting) == 1
        signing = replica.keyring.active_key().kid
        await replica.turn(10 * POLICY.rotation_seconds)
        assert replica.keyring.active_key().kid == signing == old
        directory.unlink()
        saved.rename(directory)
        await replica.turn()
        assert await replica.refresher.check_publication() is None
        assert replica.keyring.active_key().kid == signing
        # The moment is rounded up by a second.
        await replica.turn(POLICY.announce_seconds)
        assert replica.keyring.active_key().kid == signing
        await replica.turn(1)
        assert replica.keyring.active_key().kid == waiting[0]
    finally:
        await replica.close()


@pytest.mark.parametrize(
    ("ahead", "plans"),
    [
        pytest.param(0, True, id="equal"),
        pytest.param(POLICY.clock_skew_seconds, True, id="ahead-as-allowed"),
        pytest.param(-POLICY.clock_skew_seconds, True, id="behind-as-allowed"),
        pytest.param(POLICY.clock_skew_seconds + 0.5, False, id="ahead-by-half-a-second-too-much"),
        pytest.param(POLICY.clock_skew_seconds + 1, False, id="too-far-ahead"),
        pytest.param(-POLICY.clock_skew_seconds - 1, False, id="too-far-behind"),
        pytest.param(10 * 365 * 86400, False, id="years-ahead"),
    ],
)
async def test_a_clock_too_far_off_plans_nothing(replica: Replica, pool, ahead: float, plans: bool) -> None:
    """Not even what is overdue, and it stamps no publication; readiness says by how much, and signing goes on."""
    await replica.turn(3 * POLICY.rotation_seconds)
    await replica.turn()
    before = await states(pool)
    replica.time.ahead = ahead
    await replica.turn(2 * POLICY.rotation_seconds)
    assert (await states(pool) != before) is plans
    told = await replica.refresher.check_rotation()
    assert (told is None) is plans
    if not plans:
        assert "nothing is rotated" in (told or "")
        assert not await replica.rotation.confirm(before, now=replica.time.clock())
    assert replica.keyring.active_key()


async def test_a_start_under_a_wrong_clock_does_not_put_off_the_rotations(pool, monkeypatch) -> None:
    """A machine without a clock of its own starts first, in another year; the next one rotates when it should."""
    wrong, right = Replica(pool, time=Time(NOW + 365 * 86400)), Replica(pool)
    monkeypatch.setattr(wrong.rotation, "_reference", right.time.reference)
    try:
        await wrong.start()
        await right.start()
        first = right.keyring.active_key().kid
        await right.turn()
        await right.turn(POLICY.rotation_seconds)
        assert right.keyring.active_key().kid != first
    finally:
        await wrong.close()
        await right.close()


async def test_two_leaders_at_once_take_each_step_once(pool) -> None:
    """Ticks at the same moment, over and over: every activation and announcement happens once."""
    time = Time()
    replicas = [Replica(pool, time=time, name=f"r{number}") for number in range(4)]
    try:
        await asyncio.gather(*(one.start() for one in replicas))
        for _ in range(6):
            time.now += POLICY.rotation_seconds
            for _ in range(3):
                await asyncio.gather(*(one.turn() for one in replicas))
        for one in replicas:
            await one.turn()
        assert len({one.keyring.active_key().kid for one in replicas}) == 1
        assert len({one.refresher.published.jwks.document for one in replicas}) == 1
        async with pool.acquire() as conn:
            entries = await audit.entries(conn, limit=1000)
        for action in ("announce", "make", "confirm", "drop"):
            kids = [entry.kid for entry in entries if entry.action == action]
            assert len(kids) == len(set(kids))
        became = [entry.kid for entry in entries if entry.after and entry.after.get("state") == "active"]
        assert len(became) == len(set(became)) == 7
        assert list((await states(pool)).values()).count("ready") == 1
    finally:
        for one in replicas:
            await one.close()


async def test_who_does_not_get_the_lock_leaves_the_tick_to_the_other(replica: Replica, pool) -> None:
    """It does not wait, and reads the keys all the same."""
    async with pool.acquire() as conn, conn.transaction():
        await signing_keys.lock(conn, timeout=1)
        async with asyncio.timeout(2):
            assert await replica.rotation.tick(NOW + 9 * POLICY.rotation_seconds) is None
            assert not await replica.keyring.refresh()


async def test_a_rotation_that_breaks_does_not_stop_the_keys_from_being_read(replica: Replica, pool) -> None:
    """Signing would end with the lease; readiness says what is wrong, and repairing it is enough."""
    await pool.execute("ALTER TABLE audit RENAME TO elsewhere")
    await replica.turn(POLICY.rotation_seconds)
    assert await replica.refresher.check_rotation() == "unexpected UndefinedTableError"
    assert await replica.refresher.check_keyring() is None
    assert replica.keyring.active_key()
    assert len([state for state in (await states(pool)).values() if state == "retiring"]) == 0
    await pool.execute("ALTER TABLE elsewhere RENAME TO audit")
    await replica.turn()
    assert await replica.refresher.check_rotation() is None
    assert "retiring" in (await states(pool)).values()


async def test_a_policy_that_asks_for_less_never_shortens_a_promise(replica: Replica, pool) -> None:
    """What was promised with the old policy holds: not activated earlier, not dropped earlier."""
    await replica.turn()
    short = POLICY.__class__(
        rotation_seconds=20,
        announce_seconds=10,
        max_token_seconds=60,
        verifier_refresh_seconds=1,
        leeway_seconds=0,
        clock_skew_seconds=1,
        cache_seconds=0,
        publication_seconds=1,
        lease_seconds=4,
    )
    other = Replica(pool, time=replica.time, policy=short)
    try:
        await other.start()
        first = other.keyring.active_key().kid
        await other.turn(POLICY.announce_seconds)
        assert other.keyring.active_key().kid == first
        await other.turn(1)
        assert other.keyring.active_key().kid != first
        retired = replica.time.now
        await other.turn(POLICY.retirement_seconds(POLICY.max_token_seconds) - POLICY.lease_seconds)
        old = await pool.fetchrow("SELECT * FROM signing_keys WHERE kid = $1", first)
        # Tokens of ten minutes may be alive, and the present policy says how long the rest of it takes.
        assert int(old["keep_until"].timestamp()) == retired + short.retirement_seconds(POLICY.max_token_seconds)
        assert old["token_seconds"] == POLICY.max_token_seconds
    finally:
        await other.close()


async def test_longer_tokens_are_promised_before_the_first_is_signed(replica: Replica, pool) -> None:
    """A replica with a longer MAX_TOKEN_SECONDS raises the row; one with a shorter leaves it."""
    await replica.turn()
    kid = replica.keyring.active_key().kid
    for longest, stored in ((900, 900), (300, 900)):
        changed = Replica(pool, time=replica.time, policy=_with(max_token_seconds=longest))
        await changed.keyring.refresh()
        assert await pool.fetchval("SELECT token_seconds FROM signing_keys WHERE kid = $1", kid) == stored
        await changed.close()
    await replica.turn(POLICY.rotation_seconds)
    keep_until = await pool.fetchval("SELECT keep_until FROM signing_keys WHERE kid = $1", kid)
    assert int(keep_until.timestamp()) == replica.time.now + POLICY.retirement_seconds(900)


def _with(**changes: int):
    return POLICY.__class__(**{name: getattr(POLICY, name) for name in POLICY.__dataclass_fields__} | changes)


async def test_the_rotation_is_counted(replica: Replica) -> None:
    """Steps by action, ticks led, keys by state, the sequence and the difference of the clocks."""
    replica.time.ahead = 7
    await replica.turn(POLICY.rotation_seconds)
    await replica.turn()
    value = replica.metrics.registry.get_sample_value
    assert value("auth_rotation_steps_total", {"action": Action.ACTIVATE}) == 1
    assert (value("auth_rotation_leader_ticks_total") or 0) >= 2
    assert value("auth_signing_keys", {"state": KeyState.ACTIVE}) == 1
    assert value("auth_signing_keys", {"state": KeyState.RETIRING}) == 1
    assert value("auth_published_sequence") == replica.keyring.keys.sequence
    assert value("auth_clock_difference_seconds") == 7
    published = json.loads(replica.refresher.published.jwks.document.body)["farseal"]
    assert published["sequence"] == replica.keyring.keys.sequence
