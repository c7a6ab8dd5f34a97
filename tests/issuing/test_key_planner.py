"""What happens to the keys next, when at the earliest, and why."""

import pytest

from auth_server.keys.lifecycle import Key, KeyState
from auth_server.keys.planner import Action, Step, plan, successor
from tests.support.keys import NOW, POLICY, RETIREMENT, key, policy

READY, ANNOUNCED, ACTIVE = KeyState.READY, KeyState.ANNOUNCED, KeyState.ACTIVE
RETIRING, GONE, REVOKED = KeyState.RETIRING, KeyState.GONE, KeyState.REVOKED
MAKE, ANNOUNCE, ACTIVATE, DROP = Action.MAKE, Action.ANNOUNCE, Action.ACTIVATE, Action.DROP

SETTLED = (key("signs", ACTIVE), key("next", ANNOUNCED), key("spare", READY))
"""One signs, one is announced, one lies in the pool."""


def _brief(keys: tuple[Key, ...], **changes: int) -> list[tuple[Action, str | None, int | None]]:
    return [(step.action, step.kid, step.at) for step in plan(keys, policy(**changes), NOW)]


@pytest.mark.parametrize(
    ("keys", "pool", "steps"),
    [
        pytest.param((), 1, [(MAKE, None, NOW)], id="empty-database"),
        pytest.param((), 0, [(MAKE, None, NOW), (MAKE, None, NOW)], id="empty-database-no-pool-two-are-needed"),
        pytest.param((), 2, [(MAKE, None, NOW), (MAKE, None, NOW)], id="empty-database-a-pool-of-two"),
        pytest.param(
            (key("first", READY),),
            1,
            [(ACTIVATE, "first", NOW)],
            id="the-first-key-signs-at-once",
        ),
        pytest.param(
            (key("first", READY),),
            0,
            [(ACTIVATE, "first", NOW), (MAKE, None, NOW)],
            id="the-first-key-signs-and-another-one-is-made-to-be-announced",
        ),
        pytest.param(
            (key("first", READY), key("second", READY)),
            1,
            [(ACTIVATE, "first", NOW), (ANNOUNCE, "second", NOW)],
            id="the-first-signs-and-the-second-is-announced",
        ),
        pytest.param(
            (key("known", ANNOUNCED, published_at=None, activate_after=None), key("spare", READY)),
            1,
            [(ACTIVATE, "known", NOW)],
            id="no-key-signs-the-announced-one-does-confirmed-or-not",
        ),
        pytest.param(
            (key("known", ANNOUNCED), key("old", RETIRING, retired_at=NOW - 9_999, keep_until=NOW - 1)),
            0,
            [(ACTIVATE, "known", NOW)],
            id="nothing-is-dropped-while-no-key-signs",
        ),
        pytest.param(
            (key("signs", ACTIVE), key("spare", READY)),
            1,
            [(ANNOUNCE, "spare", NOW)],
            id="one-is-always-announced",
        ),
        pytest.param((key("signs", ACTIVE),), 1, [(MAKE, None, NOW)], id="an-empty-pool-is-filled"),
        pytest.param(
            (key("signs", ACTIVE),), 3, [(MAKE, None, NOW), (MAKE, None, NOW), (MAKE, None, NOW)], id="to-its-size"
        ),
        pytest.param((key("signs", ACTIVE),), 0, [(MAKE, None, NOW)], id="no-pool-one-is-made-to-be-announced"),
        pytest.param(SETTLED, 1, [(ACTIVATE, "next", NOW + 5_000)], id="settled"),
        pytest.param(SETTLED, 0, [(ACTIVATE, "next", NOW + 5_000)], id="settled-more-ready-than-wanted"),
        pytest.param(SETTLED, 2, [(MAKE, None, NOW), (ACTIVATE, "next", NOW + 5_000)], id="settled-a-larger-pool"),
        pytest.param(
            (*SETTLED, key("old", RETIRING), key("older", RETIRING, retired_at=NOW - 20, keep_until=NOW - 20)),
            1,
            [
                (DROP, "older", NOW - 20 + RETIREMENT),
                (DROP, "old", NOW - 10 + RETIREMENT),
                (ACTIVATE, "next", NOW + 5_000),
            ],
            id="each-retiring-key-is-dropped-in-its-time",
        ),
        pytest.param(
            (*SETTLED, key("odd", RETIRING, retired_at=None, keep_until=None)),
            1,
            [(ACTIVATE, "next", NOW + 5_000), (DROP, "odd", None)],
            id="a-key-of-which-nobody-knows-when-it-stopped-has-no-date-and-comes-last",
        ),
        pytest.param(
            (*SETTLED, key("g", GONE), key("r", REVOKED)), 1, [(ACTIVATE, "next", NOW + 5_000)], id="the-dead"
        ),
    ],
)
def test_what_comes_next(keys: tuple[Key, ...], pool: int, steps: list[object]) -> None:
    """In the order in which it is to be taken, whatever the order of the rows."""
    assert _brief(keys, pool=pool) == steps
    assert _brief(tuple(reversed(keys)), pool=pool) == steps


@pytest.mark.parametrize(
    ("activated_at", "published_at", "at", "reason"),
    [
        pytest.param(NOW - 5_000, NOW, NOW + 5_000, "the active key has signed for 10000 s", id="rotation-decides"),
        pytest.param(
            NOW - 8_000,
            NOW,
            NOW + 2_000,
            "the active key has signed for 10000 s",
            id="both-at-once-the-rotation-says-it",
        ),
        pytest.param(
            NOW - 8_001, NOW, NOW + 2_000, "by then every verifier holds the key", id="a-late-key-puts-it-off"
        ),
        pytest.param(
            NOW, None, None, "waits until a publication that holds the key is confirmed", id="nothing-is-confirmed"
        ),
        pytest.param(None, NOW, NOW + 2_000, "by then every verifier holds the key", id="of-unknown-age"),
    ],
)
def test_when_the_next_key_takes_over(
    activated_at: int | None, published_at: int | None, at: int | None, reason: str
) -> None:
    """When the active one has signed long enough and every verifier holds the next one; the later decides."""
    promise = None if published_at is None else published_at + 2_000
    keys = (
        key("signs", ACTIVE, activated_at=activated_at),
        key("next", ANNOUNCED, published_at=published_at, activate_after=promise),
    )
    assert plan(keys, policy(pool=0), NOW) == (Step(ACTIVATE, "next", at, reason),)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        pytest.param((key("k", READY),), "no key signs", id="activate"),
        pytest.param((key("s", ACTIVE), key("k", READY)), "no key is announced", id="announce"),
        pytest.param((key("s", ACTIVE),), "no key is there to be announced", id="make-to-announce"),
        pytest.param((key("s", ACTIVE), key("k", RETIRING)), "by then every token that it signed is dead", id="drop"),
    ],
)
def test_a_step_says_what_it_is_for(keys: tuple[Key, ...], reason: str) -> None:
    """Operators read it beside the moment."""
    assert reason in [step.reason for step in plan(keys, policy(pool=0), NOW)]


def test_the_pool_says_how_many_it_holds() -> None:
    """The first key of an empty database is made even where the pool is to be empty."""
    assert [step.reason for step in plan((), policy(pool=2), NOW)] == ["the pool is to hold 2 ready, and holds 0"] * 2
    assert "the pool is to hold 1 ready, and holds 0" in [step.reason for step in plan((), policy(pool=0), NOW)]


@pytest.mark.parametrize(
    ("waiting", "first"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"a": NOW, "b": NOW - 1}, "b", id="confirmed-first"),
        pytest.param({"a": None, "b": NOW}, "b", id="confirmed-before-unconfirmed"),
        pytest.param({"b": None, "a": None}, "a", id="none-confirmed-by-kid"),
        pytest.param({"b": NOW, "a": NOW}, "a", id="at-once-by-kid"),
    ],
)
def test_the_successor_is_the_one_that_verifiers_hold_first(waiting: dict[str, int | None], first: str | None) -> None:
    """Of the announced ones; a ready one is nobody's successor."""
    keys = [key("r", READY)] + [
        key(kid, ANNOUNCED, published_at=at, activate_after=None if at is None else at + 2_000)
        for kid, at in waiting.items()
    ]
    chosen = successor(keys, POLICY)
    assert (chosen.kid if chosen else None) == first


@pytest.mark.parametrize(
    ("at", "due"),
    [
        pytest.param(NOW + 1, False, id="a-second-before"),
        pytest.param(NOW, True, id="at-its-moment"),
        pytest.param(NOW - 1, True, id="a-second-after"),
        pytest.param(None, False, id="without-a-date-never"),
    ],
)
def test_a_step_is_due_at_its_moment(at: int | None, due: bool) -> None:
    """Not a second before."""
    assert Step(DROP, "k", at, "").is_due(NOW) is due
