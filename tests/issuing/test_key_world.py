"""The world in which the planner is proved notices what it is for, and what once went wrong in it stays mended."""

from dataclasses import replace
from itertools import count

import pytest

from auth_server.keys import lifecycle, requests
from auth_server.keys.lifecycle import KeyState
from auth_server.keys.requests import Refused
from tests.support.key_world import SECOND, World
from tests.support.keys import POLICY, policy


def _settled(**changes: int) -> World:
    """``k0`` signs, ``k1`` is announced, ``k2`` is ready, and a publication of that is confirmed."""
    world = World(policy(**changes))
    for _ in range(3):
        world.make(0)
        world.tick(world.clock(0))
    world.write(world.read(), 0)
    assert [key.state for key in world.keys] == [KeyState.ACTIVE, KeyState.ANNOUNCED, KeyState.READY]
    return world


def _rotate(world: World, error: float) -> None:
    """Activate the announced key when a clock with this error says that it may be."""
    known = world.stored["k1"].may_sign_from(world.policy)
    assert known is not None
    skew = world.policy.clock_skew_seconds
    world.wait(round((known - error * skew) * SECOND))
    world.ask(requests.activate(world.keys, "k1", world.policy, now=world.clock(error)), planned=True)
    assert world.in_state(KeyState.ACTIVE) == ["k1"]


def test_a_key_that_signs_as_soon_as_it_is_published_is_noticed() -> None:
    """A verifier that looked just before refuses its tokens."""
    world = _settled()
    world.wait(world.now + 60 * SECOND)
    world.store(lifecycle.retired(world.stored["k0"], POLICY, now=world.clock(0)))
    world.store(lifecycle.activated(world.stored["k2"], POLICY, now=world.clock(0)))
    with pytest.raises(AssertionError, match="refuses the tokens of k2"):
        world.write(world.read(), 0)


def test_a_key_that_is_dropped_while_a_token_lives_is_noticed() -> None:
    """Even by a second: the last replica may have signed until its lease ended."""
    world = _settled(clock_skew_seconds=0, cache_seconds=0)
    _rotate(world, 0)
    dead = world.now + (45 + 900 + 120) * SECOND
    world.wait(dead - SECOND)
    world.store(lifecycle.gone(world.stored["k0"], now=world.clock(0)))
    with pytest.raises(AssertionError, match="k0 is gone while its tokens live"):
        world.check()
    world.wait(dead)


def test_a_second_key_that_signs_is_noticed() -> None:
    """The database forbids it as well."""
    world = _settled()
    world.store(lifecycle.activated(world.stored["k1"], POLICY, now=world.clock(0)))
    with pytest.raises(AssertionError, match="exactly one key signs"):
        world.check()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("activate_after", "a promise was taken back", id="it-may-sign-earlier"),
        pytest.param("token_seconds", "a promise was taken back", id="its-tokens-were-shorter"),
    ],
)
def test_a_promise_that_is_taken_back_is_noticed(name: str, says: str) -> None:
    """It was made to verifiers that reckon with it."""
    world = _settled()
    kept = replace(world.stored["k1"], token_seconds=900)
    world.store(kept)
    with pytest.raises(AssertionError, match=says):
        world.store(replace(kept, **{name: getattr(kept, name) - 1}))


def test_a_slow_clock_retires_a_key_and_a_fast_one_drops_it() -> None:
    """And a fast one stamps its last token, and a slow one judges it: nothing but the skew is left to save it."""
    world = _settled(cache_seconds=0)
    _rotate(world, -1)
    free = world.stored["k0"].may_go_from(world.policy)
    assert free is not None
    world.wait((free - world.policy.clock_skew_seconds) * SECOND - 1)
    assert isinstance(requests.retire(world.keys, "k0", world.policy, now=world.clock(1)), Refused)
    world.wait(world.now + 1)
    world.tick(world.clock(1))
    assert world.stored["k0"].state is KeyState.GONE


def test_a_slow_clock_confirms_a_key_and_a_fast_one_activates_it() -> None:
    """The skew of both is within the time for which it is announced, though nothing else takes any."""
    times = {"verifier_refresh_seconds": 1, "cache_seconds": 0, "publication_seconds": 0}
    announce = next(time for time in count() if not list(policy(announce_seconds=time, **times).faults()))
    world = World(policy(announce_seconds=announce, **times))
    world.make(0)
    world.tick(world.clock(0))
    world.write(world.read(), 0)
    world.wait(world.now + 1_000 * SECOND)
    world.make(0)
    world.tick(world.clock(0))
    world.write(world.read(), -1)
    _rotate(world, 1)


def test_the_first_key_that_is_published_is_the_first_that_signs() -> None:
    """An operator's wish for another one is refused until verifiers hold that, whatever it is."""
    world = World(POLICY)
    world.make(0)
    world.ask(requests.announce(world.keys, "k0", now=world.clock(0)))
    world.write(world.read(), 0)
    world.make(0)
    for refused in (
        requests.retire(world.keys, "k0", POLICY, now=world.clock(0)),
        requests.activate(world.keys, "k1", POLICY, now=world.clock(0)),
    ):
        assert isinstance(refused, Refused)
    world.tick(world.clock(0))
    assert world.in_state(KeyState.ACTIVE) == ["k0"]


def test_a_token_that_was_longer_for_a_while_is_waited_for() -> None:
    """The policy allowed it, somebody may have it, and the policy is short again when its key retires."""
    world = _settled()
    world.change_policy(policy(max_token_seconds=9_000))
    world.wait(world.now + SECOND)
    world.change_policy(POLICY)
    _rotate(world, 0)
    promised = world.stored["k0"].keep_until
    assert promised is not None
    assert promised >= world.alive["k0"] + POLICY.leeway_seconds
