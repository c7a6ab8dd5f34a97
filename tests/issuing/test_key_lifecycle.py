"""The states of a signing key: which ways lead where, what a step stores, and when a promise comes due."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from auth_server.keys import lifecycle
from auth_server.keys.lifecycle import LIVING, PUBLISHED, Key, KeyState, TransitionError
from tests.support.keys import NOW, POLICY, RETIREMENT, key, policy

READY, ANNOUNCED, ACTIVE = KeyState.READY, KeyState.ANNOUNCED, KeyState.ACTIVE
RETIRING, GONE, REVOKED = KeyState.RETIRING, KeyState.GONE, KeyState.REVOKED

STEPS: dict[str, tuple[Callable[[Key], Key], KeyState, set[KeyState]]] = {
    "announced": (lambda one: lifecycle.announced(one, now=NOW), ANNOUNCED, {READY}),
    "activated": (lambda one: lifecycle.activated(one, POLICY, now=NOW), ACTIVE, {READY, ANNOUNCED}),
    "retired": (lambda one: lifecycle.retired(one, POLICY, now=NOW), RETIRING, {ACTIVE}),
    "gone": (lambda one: lifecycle.gone(one, now=NOW), GONE, {READY, ANNOUNCED, RETIRING}),
    "revoked": (lambda one: lifecycle.revoked(one, now=NOW), REVOKED, {ANNOUNCED, ACTIVE, RETIRING, GONE}),
}


@pytest.mark.parametrize("state", KeyState)
@pytest.mark.parametrize("step", STEPS)
def test_a_key_goes_only_the_ways_that_there_are(step: str, state: KeyState) -> None:
    """Any other way is a fault of the program: no request may lead to it."""
    take, reached, allowed = STEPS[step]
    if state in allowed:
        assert take(key("k", state)).state is reached
    else:
        with pytest.raises(TransitionError, match=f"^key k is {state}, not "):
            take(key("k", state))


def test_a_forbidden_way_names_those_from_which_it_leads() -> None:
    """Sorted, so that the text is the same each time."""
    with pytest.raises(TransitionError, match=r"^key k is active, not announced or ready or retiring$"):
        lifecycle.gone(key("k", ACTIVE), now=NOW)


@pytest.mark.parametrize(
    ("step", "state", "stored"),
    [
        pytest.param("announced", READY, {"announced_at": NOW}, id="announced"),
        pytest.param(
            "activated", READY, {"announced_at": NOW, "activated_at": NOW, "token_seconds": 900}, id="activated-at-once"
        ),
        pytest.param("activated", ANNOUNCED, {"activated_at": NOW, "token_seconds": 900}, id="activated"),
        pytest.param("retired", ACTIVE, {"retired_at": NOW, "keep_until": NOW + RETIREMENT}, id="retired"),
        pytest.param("gone", RETIRING, {"gone_at": NOW}, id="gone"),
        pytest.param("revoked", ACTIVE, {"revoked_at": NOW}, id="revoked"),
    ],
)
def test_a_step_stores_its_moment_and_leaves_the_rest(step: str, state: KeyState, stored: dict[str, int]) -> None:
    """Exactly these members change, beside the state."""
    take, reached, _ = STEPS[step]
    before = key("k", state)
    assert take(before) == replace(before, state=reached, **stored)


def test_a_key_that_may_have_signed_longer_tokens_stays_longer() -> None:
    """What it signed under an older policy counts, when it is activated as when it retires."""
    assert lifecycle.activated(key("k", ANNOUNCED, token_seconds=5_000), POLICY, now=NOW).token_seconds == 5_000
    retired = lifecycle.retired(key("k", ACTIVE, token_seconds=5_000), POLICY, now=NOW)
    assert retired.keep_until == NOW + RETIREMENT - 900 + 5_000


@pytest.mark.parametrize("state", sorted(PUBLISHED))
def test_a_confirmed_publication_starts_the_wait(state: KeyState) -> None:
    """From the next whole second: the clock was read rounded down, and the wait must not be cut short by that."""
    before = key("k", state, published_at=None, activate_after=None)
    after = lifecycle.confirmed(before, POLICY, now=NOW)
    assert after == replace(before, published_at=NOW + 1, activate_after=NOW + 1 + 2_000)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(key("k", ANNOUNCED), id="confirmed-before"),
        pytest.param(key("k", READY), id="not-published"),
        pytest.param(key("k", GONE), id="published-no-more"),
        pytest.param(key("k", REVOKED), id="revoked-meanwhile"),
    ],
)
def test_only_the_first_confirmation_of_a_published_key_counts(before: Key) -> None:
    """A promise is made once, and a heartbeat does not put it off."""
    assert lifecycle.confirmed(before, POLICY, now=NOW) is before


@pytest.mark.parametrize(
    ("published_at", "promised", "announce", "known"),
    [
        pytest.param(None, None, 2_000, None, id="nobody-has-confirmed-it"),
        pytest.param(NOW, NOW + 2_000, 2_000, NOW + 2_000, id="as-promised"),
        pytest.param(NOW, NOW + 2_000, 1_999, NOW + 2_000, id="a-shorter-policy-does-not-bring-it-forward"),
        pytest.param(NOW, NOW + 2_000, 2_001, NOW + 2_001, id="a-longer-policy-puts-it-off"),
        pytest.param(NOW, None, 2_000, NOW + 2_000, id="without-a-promise-the-policy-counts"),
    ],
)
def test_when_every_verifier_holds_a_key(
    published_at: int | None, promised: int | None, announce: int, known: int | None
) -> None:
    """The later of what was promised and of what today's policy asks for, from the confirmation on."""
    one = key("k", ANNOUNCED, published_at=published_at, activate_after=promised)
    assert one.may_sign_from(policy(announce_seconds=announce)) == known


@pytest.mark.parametrize(
    ("retired_at", "promised", "token_seconds", "leeway", "free"),
    [
        pytest.param(None, None, 900, 120, None, id="has-not-stopped"),
        pytest.param(NOW, NOW + RETIREMENT, 900, 120, NOW + RETIREMENT, id="as-promised"),
        pytest.param(NOW, NOW + RETIREMENT, 900, 119, NOW + RETIREMENT, id="a-shorter-policy-drops-nothing-earlier"),
        pytest.param(NOW, NOW + RETIREMENT, 900, 121, NOW + RETIREMENT + 1, id="a-longer-policy-keeps-it"),
        pytest.param(NOW, NOW + RETIREMENT, 901, 120, NOW + RETIREMENT + 1, id="a-longer-token-came-to-light"),
        pytest.param(NOW, None, 0, 120, NOW + RETIREMENT, id="without-a-promise-the-policy-counts"),
    ],
)
def test_when_the_last_token_of_a_key_is_dead(
    retired_at: int | None, promised: int | None, token_seconds: int, leeway: int, free: int | None
) -> None:
    """The later of what was promised and of what today's policy asks for, from the retirement on."""
    one = key("k", RETIRING, retired_at=retired_at, keep_until=promised, token_seconds=token_seconds)
    assert one.may_go_from(policy(leeway_seconds=leeway)) == free


def test_keys_are_looked_at_oldest_first() -> None:
    """By creation, then by kid, so that every replica picks the same one."""
    b, a = key("b", READY), key("a", READY)
    old, other = key("z", READY, created_at=NOW - 30_000), key("y", ANNOUNCED)
    assert lifecycle.in_state([b, a, other, old], READY) == (old, a, b)
    assert lifecycle.in_state([b, other], READY, ANNOUNCED) == (b, other)
    assert lifecycle.in_state([b], ACTIVE) == ()


def test_the_active_key_is_the_one_that_signs() -> None:
    """None where none does yet."""
    signing = key("s", ACTIVE)
    assert lifecycle.active([key("a", ANNOUNCED), signing, key("r", RETIRING)]) == signing
    assert lifecycle.active([key("a", ANNOUNCED)]) is None


def test_what_is_published_and_what_lives() -> None:
    """Verifiers are to hold announced, active and retiring keys; a ready one is nobody's business yet."""
    assert {ANNOUNCED, ACTIVE, RETIRING} == PUBLISHED
    assert {READY, ANNOUNCED, ACTIVE, RETIRING} == LIVING
