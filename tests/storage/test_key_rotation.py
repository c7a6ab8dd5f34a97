"""The tables of the key rotation: what the database itself holds, whatever a program gets wrong."""

import asyncpg
import pytest

from auth_server.keys import lifecycle, requests, store
from auth_server.keys.lifecycle import Key, KeyState
from auth_server.keys.policy import RotationPolicy
from auth_server.storage import audit, publication, signing_keys
from auth_server.storage.migrate import migrator
from auth_server.storage.signing_keys import StoredKey
from farseal.clock import at
from farseal.service.migrate import Migrator

NOW = 1_790_000_000
POLICY = RotationPolicy(
    rotation_seconds=100_000,
    announce_seconds=10_000,
    max_token_seconds=3_600,
    verifier_refresh_seconds=300,
    leeway_seconds=60,
    clock_skew_seconds=30,
    cache_seconds=60,
    publication_seconds=30,
    lease_seconds=60,
)


def kid(number: int) -> str:
    return f"{number:043}"


def stored(number: int, **changes) -> StoredKey:
    key = Key(**{"kid": kid(number), "state": KeyState.READY, "created_at": NOW - 100 + number} | changes)
    return StoredKey(key, {"kid": key.kid}, b"sealed", "kek", 2048)


async def test_a_key_comes_back_as_it_was_stored(conn) -> None:
    """Every moment and every count, in whole seconds."""
    key = stored(
        1,
        state=KeyState.RETIRING,
        announced_at=NOW - 9,
        published_at=NOW - 8,
        activate_after=NOW - 7,
        activated_at=NOW - 6,
        retired_at=NOW - 5,
        keep_until=NOW + 5,
        token_seconds=300,
    )
    await signing_keys.insert(conn, key)
    assert await signing_keys.list_all(conn) == (key,)
    assert await signing_keys.locked_keys(conn) == (key.key,)


async def test_a_change_is_stored_with_its_entries_and_one_step_of_the_sequence(conn) -> None:
    """Activation changes two keys: both or none, an entry each that says from what to what, one number."""
    old = stored(1, state=KeyState.ACTIVE, announced_at=NOW - 9, activated_at=NOW - 9, token_seconds=300)
    new = stored(2, state=KeyState.ANNOUNCED, announced_at=NOW - 9)
    for key in (old, new):
        await signing_keys.insert(conn, key)
    before = await publication.sequence(conn)
    outcome = await store.apply(
        conn,
        lambda keys: requests.activate(keys, kid(2), POLICY, now=NOW, force=True),
        actor="alice",
        action="activate",
        reason="drill",
        now=NOW,
    )
    assert isinstance(outcome, requests.Changed)
    assert await publication.sequence(conn) == before + 1
    after = {key.kid: key.key for key in await signing_keys.list_all(conn)}
    assert {kid: key.state for kid, key in after.items()} == {kid(1): KeyState.RETIRING, kid(2): KeyState.ACTIVE}
    newest, older = await audit.entries(conn)
    assert (newest.kid, newest.before["state"], newest.after["state"]) == (kid(2), "announced", "active")
    assert (older.kid, older.before["state"], older.after["state"]) == (kid(1), "active", "retiring")
    assert older.after["keep_until"] == after[kid(1)].keep_until
    for entry in (newest, older):
        assert (entry.actor, entry.action, entry.reason, entry.at) == ("alice", "activate", "drill", at(NOW))
        assert entry.after["warnings"] == list(outcome.warnings)
    assert await audit.entries(conn, kid=kid(1)) == (older,)
    assert await audit.entries(conn, since=at(NOW + 1)) == ()


async def test_a_refusal_stores_nothing(conn) -> None:
    """No entry, no number."""
    await signing_keys.insert(conn, stored(1))
    before = await publication.sequence(conn)
    outcome = await store.apply(
        conn,
        lambda keys: requests.activate(keys, kid(1), POLICY, now=NOW),
        actor="alice",
        action="activate",
        reason=None,
        now=NOW,
    )
    assert isinstance(outcome, requests.Changed)  # nothing signs: a ready key may
    outcome = await store.apply(
        conn,
        lambda keys: requests.retire(keys, kid(1), POLICY, now=NOW),
        actor="alice",
        action="retire",
        reason=None,
        now=NOW,
    )
    assert isinstance(outcome, requests.Refused)
    assert await publication.sequence(conn) == before + 1
    assert len(await audit.entries(conn)) == 1


async def test_what_a_promise_says_of_tokens_never_falls(conn) -> None:
    """A replica that was told of shorter tokens does not take back what another one promised."""
    key = stored(1, state=KeyState.ACTIVE, announced_at=NOW, activated_at=NOW, token_seconds=300)
    await signing_keys.insert(conn, key)
    assert await signing_keys.raise_token_seconds(conn, kid(1), 600)
    assert await signing_keys.raise_token_seconds(conn, kid(1), 60)
    await signing_keys.update(conn, key.key)
    (found,) = await signing_keys.locked_keys(conn)
    assert found.token_seconds == 600
    assert not await signing_keys.raise_token_seconds(conn, kid(9), 600)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        pytest.param("state = 'retiring', retired_at = now()", "retiring_has_promised", id="retiring-without-promise"),
        pytest.param("state = 'active', activated_at = now()", "active_has_promised", id="active-without-token-life"),
        pytest.param("state = 'gone'", "gone_has_a_moment", id="gone-without-moment"),
        pytest.param("state = 'revoked'", "revoked_has_a_moment", id="revoked-without-moment"),
        pytest.param("announced_at = NULL", "announced_has_a_moment", id="announced-without-moment"),
        pytest.param("published_at = now()", "published_has_promised", id="published-without-promise"),
        pytest.param(
            "published_at = now(), activate_after = now() - interval '1 s'", "published_has", id="in-the-past"
        ),
        pytest.param("state = 'ready'", "ready_is_not_published", id="back-to-the-pool"),
        pytest.param("state = 'burnt'", "signing_keys_state", id="no-such-state"),
        pytest.param("sealed_private_key = NULL", "have_what_they_need", id="signs-with-nothing"),
        pytest.param("revoked_reason = 'x'", "reason_is_of_a_revocation", id="reason-without-revocation"),
        pytest.param("signatures = -1", "counts", id="negative"),
        pytest.param("retired_at = now(), keep_until = now() - interval '1 s'", "keep_until_is_later", id="kept-less"),
    ],
)
async def test_the_database_refuses_a_key_that_breaks_a_rule(conn, changes: str, rule: str) -> None:
    """By the name of the rule."""
    await signing_keys.insert(conn, stored(1, state=KeyState.ANNOUNCED, announced_at=NOW))
    with pytest.raises(asyncpg.CheckViolationError, match=rule):
        await conn.execute(f"UPDATE signing_keys SET {changes}")  # noqa: S608 - of this test


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'mallory'", "DELETE FROM audit", "DELETE FROM audit WHERE false", "TRUNCATE audit"],
)
async def test_the_audit_only_grows(conn, statement: str) -> None:
    """Neither changed nor emptied, not even where the statement would hit no row or triggers are off for replicas."""
    await audit.append(conn, at=at(NOW), actor="alice", action="revoke", kid=kid(1), reason="lost")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await conn.execute(statement)
    await conn.execute("SET session_replication_role = replica")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await conn.execute(statement)
    assert len(await audit.entries(conn)) == 1


async def test_there_is_one_sequence_and_it_can_leave_a_published_one_behind(conn) -> None:
    """A second row is refused; after a restored backup the number goes above what verifiers hold."""
    assert await publication.sequence(conn) == 1
    assert await publication.bump(conn) == 2
    assert await publication.raise_above(conn, 40) == 41
    assert await publication.raise_above(conn, 3) == 42
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await conn.execute("INSERT INTO publication (sequence) VALUES (1)")


class _Upto(Migrator):
    """The migrations up to a number."""

    def __init__(self, number: int) -> None:
        whole = migrator()
        self.migrations = whole.migrations[:number]
        self._lock_id, self._table = whole._lock_id, whole._table


async def test_keys_of_the_version_before_go_on(new_database) -> None:
    """They were published when they were announced; tokens of a day may be alive; the active one signs on."""
    conn = await asyncpg.connect(await new_database())
    try:
        await _Upto(3).apply(conn)
        for number, state, bits in ((1, "active", 3072), (2, "announced", 2048), (3, "gone", 4096)):
            await conn.execute(
                "INSERT INTO signing_keys (kid, state, public_jwk, sealed_private_key, kek_id, created_at,"
                " announced_at, activated_at, gone_at) VALUES ($1, $2, jsonb_build_object('n', $3::text), 'x', 'kek',"
                " $4, $4, $5, $6)",
                kid(number),
                state,
                "n" * -(-bits // 6),
                at(NOW - 50),
                at(NOW - 40) if state == "active" else None,
                at(NOW - 30) if state == "gone" else None,
            )
        assert [migration.number for migration in await migrator().apply(conn)] == [4, 5]
        active, announced, gone = sorted(await signing_keys.list_all(conn), key=lambda key: key.kid)
        assert [key.bits for key in (active, announced, gone)] == [3072, 2048, 4096]
        for key in (active, announced):
            assert key.key.published_at == key.key.announced_at == NOW - 50
            assert key.key.token_seconds == 86400
        assert active.key.activated_at == NOW - 40
        assert announced.key.may_sign_from(POLICY) == NOW - 50 + POLICY.announce_seconds
        assert lifecycle.active(await signing_keys.locked_keys(conn)) == active.key
        assert await publication.sequence(conn) == 1
    finally:
        await conn.close()
