"""Whatever happens in whatever order, rotation fails nobody: the planner in a world as bad as the policy allows.

The normal run takes some seconds. ``FARSEAL_TESTS_LONG=1`` looks twenty times as hard: for whoever changes a sum of the
policy or a rule of the planner.
"""

import os
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from auth_server.keys import lifecycle, requests
from auth_server.keys.lifecycle import KeyState
from auth_server.keys.planner import Action
from auth_server.keys.policy import RotationPolicy
from auth_server.keys.requests import Refused
from tests.support.key_world import SECOND, Document, World

LONG = 20 if os.environ.get("FARSEAL_TESTS_LONG") else 1

ERRORS = st.sampled_from([-1.0, 1.0, 0.0, -0.35, 0.999])
"""Of a clock, as a share of the allowed error; the extremes first, where bugs live."""


def _times(most: int, least: int = 0) -> st.SearchStrategy[int]:
    """Nothing at all and much: a sum must come out when any of its parts is what counts."""
    return st.sampled_from([least, most, least, most, 1, 3])


@st.composite
def policies(draw: st.DrawFn) -> RotationPolicy:
    """The tightest policy that is not refused, for a world of any kind; now and then a wider one."""
    parts = {
        "max_token_seconds": draw(st.sampled_from([1, 7, 40])),
        "verifier_refresh_seconds": draw(_times(17, least=1)),
        "leeway_seconds": draw(_times(11)),
        "clock_skew_seconds": draw(_times(6)),
        "cache_seconds": draw(_times(13)),
        "publication_seconds": draw(_times(9)),
        "lease_seconds": draw(_times(10, least=1)),
        "pool": draw(st.sampled_from([1, 0, 2])),
    }
    announce = next(
        seconds
        for seconds in count()
        if "announce_seconds" not in dict(_policy(parts, announce_seconds=seconds, rotation_seconds=seconds).faults())
    ) + draw(st.sampled_from([0, 0, 5]))
    rotation = next(
        seconds
        for seconds in count()
        if not dict(_policy(parts, announce_seconds=announce, rotation_seconds=seconds).faults())
    ) + draw(st.sampled_from([0, 2, 50]))
    return _policy(parts, announce_seconds=announce, rotation_seconds=rotation)


def _policy(parts: dict[str, int], **times: int) -> RotationPolicy:
    return RotationPolicy(**parts, **times)


class Rotation(RuleBasedStateMachine):
    """What leaders, publishers and operators do while nobody forces anything. A revocation is nobody's wish."""

    world: World
    reading: Document | None = None

    @initialize(policy=policies())
    def begin(self, policy: RotationPolicy) -> None:
        self.world = World(policy)

    @rule(milliseconds=st.one_of(st.integers(1, 2 * SECOND), st.integers(1, 60 * SECOND)))
    def wait(self, milliseconds: int) -> None:
        self.world.wait(self.world.now + milliseconds)

    @rule(error=ERRORS)
    def make(self, error: float) -> None:
        """Keys are made when the plan wants one, and it takes as long as it takes."""
        if any(step.action is Action.MAKE for step in self.world.plan(self.world.clock(error))):
            self.world.make(error)

    @rule(error=ERRORS, steps=st.sampled_from([None, None, 0, 1, 2]))
    def tick(self, error: float, steps: int | None) -> None:
        self.world.tick(self.world.clock(error), steps)

    @rule(error=ERRORS, late=st.sampled_from([0, 0, 1, 999, 3000]), which=st.integers(0, 3))
    def tick_when_due(self, error: float, late: int, which: int) -> None:
        """A leader that looks in the very moment in which its clock says that a step is due."""
        steps = [step.at for step in self.world.plan(self.world.clock(error)) if step.at is not None]
        if steps:
            off = round(error * self.world.policy.clock_skew_seconds * SECOND)
            self.world.wait(steps[which % len(steps)] * SECOND - off + late)
            self.world.tick(self.world.clock(error))

    @rule(error=ERRORS)
    def publish(self, error: float) -> None:
        self.world.write(self.world.read(), error)

    @rule()
    def read_for_publication(self) -> None:
        self.reading = self.world.read()

    @precondition(lambda self: self.reading is not None)
    @rule(error=st.one_of(st.none(), ERRORS))
    def publish_what_was_read(self, error: float | None) -> None:
        """A slow publisher, and one that dies between writing and confirming."""
        assert self.reading is not None
        self.world.write(self.reading, error)
        self.reading = None

    @rule(error=ERRORS, which=st.one_of(st.none(), st.integers(0, 5)))
    def operator_announces(self, error: float, which: int | None) -> None:
        self.world.ask(requests.announce(self.world.keys, self._kid(which), now=self.world.clock(error)))

    @precondition(lambda self: self.world.in_state(KeyState.ACTIVE))
    @rule(error=ERRORS)
    def operator_announces_another(self, error: float) -> None:
        """Forced, and it breaks nothing: one key more is published."""
        self.world.ask(requests.announce(self.world.keys, None, now=self.world.clock(error), force=True))

    @rule(error=ERRORS, which=st.one_of(st.none(), st.integers(0, 5)))
    def operator_activates(self, error: float, which: int | None) -> None:
        now, policy = self.world.clock(error), self.world.policy
        self.world.ask(requests.activate(self.world.keys, self._kid(which), policy, now=now))

    @precondition(lambda self: self.world.in_state(KeyState.ANNOUNCED))
    @rule(error=ERRORS)
    def operator_activates_as_soon_as_allowed(self, error: float) -> None:
        """The moment that a refusal names is kept, and not a millisecond earlier."""
        world = self.world
        outcome = requests.activate(world.keys, None, world.policy, now=world.clock(error))
        if isinstance(outcome, Refused) and outcome.allowed_at is not None:
            off = round(error * world.policy.clock_skew_seconds * SECOND)
            world.wait(outcome.allowed_at * SECOND - off - 1)
            early = world.ask(requests.activate(world.keys, None, world.policy, now=world.clock(error)))
            assert isinstance(early, Refused)
            world.wait(world.now + 1)
            outcome = requests.activate(world.keys, None, world.policy, now=world.clock(error))
            assert not isinstance(outcome, Refused)
        world.ask(outcome)

    @rule(one=ERRORS, other=ERRORS)
    def operator_hurries(self, one: float, other: float) -> None:
        """Two rotations as fast as they are allowed: verifiers have just looked when the second key is published."""
        for _ in range(2):
            self.recover(one)
            self.publish(one)
            self.operator_activates_as_soon_as_allowed(other)

    @rule(error=ERRORS, which=st.integers(0, 5))
    def operator_retires(self, error: float, which: int) -> None:
        now, policy = self.world.clock(error), self.world.policy
        if (kid := self._kid(which)) is not None:
            self.world.ask(requests.retire(self.world.keys, kid, policy, now=now))

    @rule(error=ERRORS, which=st.integers(0, 5))
    def operator_revokes(self, error: float, which: int) -> None:
        now, policy = self.world.clock(error), self.world.policy
        if (kid := self._kid(which)) is not None:
            self.world.ask(requests.revoke(self.world.keys, kid, policy, now=now))

    @rule(policy=policies())
    def change_policy(self, policy: RotationPolicy) -> None:
        self.world.change_policy(policy)

    @precondition(lambda self: self.world.in_state(KeyState.ANNOUNCED))
    @rule(one=ERRORS, other=ERRORS, policy=policies())
    def change_policy_after_a_rotation(self, one: float, other: float, policy: RotationPolicy) -> None:
        """What was promised about the old key is kept whatever is set next, and the plan drops it no later."""
        self.operator_activates_as_soon_as_allowed(one)
        world = self.world
        world.change_policy(policy)
        for step in world.plan(world.clock(other)):
            if step.action is Action.DROP:
                assert step.at is not None
                world.wait(step.at * SECOND - round(other * policy.clock_skew_seconds * SECOND))
                world.tick(world.clock(other))
                assert step.kid not in world.in_state(KeyState.RETIRING)

    @rule(error=ERRORS)
    def recover(self, error: float) -> None:
        """When keys can be made, one signs, one is announced, and the pool is full: at once, whatever was before."""
        world = self.world
        for _ in range(6):
            world.tick(world.clock(error))
            if all(step.action is not Action.MAKE for step in world.plan(world.clock(error))):
                break
            world.make(error)
        assert len(world.in_state(KeyState.ACTIVE)) == 1
        assert world.in_state(KeyState.ANNOUNCED)
        assert len(world.in_state(KeyState.READY)) >= world.policy.pool

    @rule(error=ERRORS)
    def rotate(self, error: float) -> None:
        """When keys can be published too, another one signs as soon as it is time, without anybody's doing."""
        self.recover(error)
        world = self.world
        world.write(world.read(), error)
        signing, policy = lifecycle.active(world.keys), world.policy
        assert signing is not None
        assert signing.activated_at is not None
        at = next(step.at for step in world.plan(world.clock(error)) if step.action is Action.ACTIVATE)
        promised = [key.may_sign_from(policy) or 0 for key in lifecycle.in_state(world.keys, KeyState.ANNOUNCED)]
        assert at is not None
        assert at == max(signing.activated_at + policy.rotation_seconds, min(promised))
        world.wait((at + policy.clock_skew_seconds) * SECOND)
        world.tick(world.clock(error))
        assert world.in_state(KeyState.ACTIVE) != [signing.kid]

    def _kid(self, which: int | None) -> str | None:
        """One of the keys, the newest first: the old ones are gone."""
        kids = list(reversed(self.world.stored))
        return None if which is None else kids[which % len(kids)] if kids else "k0"


class Forced(Rotation):
    """The same with operators who force things. What they were warned of may break until it heals; nothing else may."""

    @rule(error=ERRORS, which=st.one_of(st.none(), st.integers(0, 5)))
    def operator_forces_activation(self, error: float, which: int | None) -> None:
        now, policy = self.world.clock(error), self.world.policy
        self.world.ask(requests.activate(self.world.keys, self._kid(which), policy, now=now, force=True))

    @rule(error=ERRORS, which=st.integers(0, 5))
    def operator_forces_retirement(self, error: float, which: int) -> None:
        now, policy = self.world.clock(error), self.world.policy
        if (kid := self._kid(which)) is not None:
            self.world.ask(requests.retire(self.world.keys, kid, policy, now=now, force=True))


class TestRotation(Rotation.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(max_examples=250 * LONG, stateful_step_count=40)


class TestForced(Forced.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(max_examples=80 * LONG, stateful_step_count=40)
