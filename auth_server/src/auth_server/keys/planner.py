"""What happens to the keys next, when at the earliest, and why (pure).

The same plan drives the automatic rotation, which takes the steps that are due, and is shown to operators, who may take
a step by hand. It looks at nothing but the keys, the policy and the moment: a leader that dies leaves keys from which
the next one makes the same plan.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from auth_server.keys.lifecycle import Key, KeyState, active, in_state
from auth_server.keys.policy import RotationPolicy


class Action(StrEnum):
    """What a step does."""

    MAKE = "make"
    """Generate a key into the pool. Takes seconds, and stands in nobody's way."""
    ANNOUNCE = "announce"
    ACTIVATE = "activate"
    """Sign with the key, and retire the one that signed until then."""
    DROP = "drop"
    """Publish a retiring key no more."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to come.

    ``kid`` is None where no key is chosen yet. ``at`` is the earliest moment in seconds since the epoch, None while the
    step waits for something that has no date; ``reason`` says what it is for and what decides the moment.
    """

    action: Action
    kid: str | None
    at: int | None
    reason: str

    def is_due(self, now: int) -> bool:
        """Whether to take it now; at its moment it is due."""
        return self.at is not None and self.at <= now


def plan(keys: Iterable[Key], policy: RotationPolicy, now: int) -> tuple[Step, ...]:
    """The next steps, in the order in which they are to be taken; those without a date come last.

    Taking the first due step and planning again, until none is due, brings the keys to where they should be at ``now``.
    """
    held = tuple(keys)
    steps = [
        *_signing(held, policy, now),
        *_standby(held, policy, now),
        *_leaving(held, policy),
        *_pool(held, policy, now),
    ]
    return tuple(sorted(steps, key=lambda step: (step.at is None, step.at or 0)))


def successor(keys: Iterable[Key], policy: RotationPolicy) -> Key | None:
    """The key that signs next: of the announced ones the first that verifiers are sure to hold."""
    waiting = in_state(keys, KeyState.ANNOUNCED)
    return min(waiting, key=lambda key: _order(key, policy), default=None)


def _order(key: Key, policy: RotationPolicy) -> tuple[bool, int]:
    moment = key.may_sign_from(policy)
    return moment is None, moment or 0


def _signing(keys: tuple[Key, ...], policy: RotationPolicy, now: int) -> Iterator[Step]:
    """The next activation."""
    signing, following = active(keys), successor(keys, policy)
    if signing is None:
        # Whatever led here, an issuer that cannot sign helps nobody. On an empty database no verifier holds an older
        # set that could lack the key.
        chosen = following or next(iter(in_state(keys, KeyState.READY)), None)
        if chosen is not None:
            yield Step(Action.ACTIVATE, chosen.kid, now, "no key signs")
        return
    if following is None:
        return
    known = following.may_sign_from(policy)
    if known is None:
        yield Step(Action.ACTIVATE, following.kid, None, "waits until a publication that holds the key is confirmed")
        return
    due = (signing.activated_at or 0) + policy.rotation_seconds
    if due >= known:
        yield Step(Action.ACTIVATE, following.kid, due, f"the active key has signed for {policy.rotation_seconds} s")
    else:
        yield Step(Action.ACTIVATE, following.kid, known, "by then every verifier holds the key")


def _standby(keys: tuple[Key, ...], policy: RotationPolicy, now: int) -> Iterator[Step]:
    """One key is always announced: the next rotation is prepared, and an emergency finds a key that verifiers know."""
    if in_state(keys, KeyState.ANNOUNCED):
        return
    ready = in_state(keys, KeyState.READY)
    if active(keys) is None:
        ready = ready[1:]  # the first one signs
    if ready:
        yield Step(Action.ANNOUNCE, ready[0].kid, now, "no key is announced")
    elif policy.pool == 0:
        yield Step(Action.MAKE, None, now, "no key is there to be announced")


def _leaving(keys: tuple[Key, ...], policy: RotationPolicy) -> Iterator[Step]:
    if active(keys) is None:
        return
    for key in in_state(keys, KeyState.RETIRING):
        yield Step(Action.DROP, key.kid, key.may_go_from(policy), "by then every token that it signed is dead")


def _pool(keys: tuple[Key, ...], policy: RotationPolicy, now: int) -> Iterator[Step]:
    wanted = max(1, policy.pool) if active(keys) is None and not in_state(keys, KeyState.ANNOUNCED) else policy.pool
    held = len(in_state(keys, KeyState.READY))
    for _ in range(wanted - held):
        yield Step(Action.MAKE, None, now, f"the pool is to hold {wanted} ready, and holds {held}")
