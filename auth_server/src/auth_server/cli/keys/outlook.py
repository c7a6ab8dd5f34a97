"""What comes next for each key, in words (pure): the plan of `auth_server.keys.planner`, seen from one key."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from auth_server.cli.times import duration_words
from auth_server.keys.lifecycle import Key, KeyState
from auth_server.keys.planner import Action, Step
from auth_server.keys.policy import CLOCKS, RotationPolicy
from farseal.clock import at


@dataclass(frozen=True, slots=True)
class Next:
    """The next thing that happens to a key. ``at`` is None where nothing is dated; ``why`` decides the moment."""

    what: str
    at: int | None
    why: str


def next_of(key: Key, steps: Sequence[Step]) -> Next | None:
    """What the plan holds for ``key``; None where nothing will ever happen to it by itself."""
    takeover = next((step for step in steps if step.action is Action.ACTIVATE), None)
    own = next((step for step in steps if step.kid == key.kid), None)
    if own is not None:
        return Next(_WORDS[own.action], own.at, own.reason)
    match key.state:
        case KeyState.ACTIVE if takeover is not None:
            return Next("retires", takeover.at, takeover.reason)
        case KeyState.ACTIVE:
            return Next("retires", None, "no other key is announced yet")
        case KeyState.ANNOUNCED:
            return Next("signs", None, "another announced key is before it")
        case KeyState.READY:
            return Next("is announced", None, "waits in the pool until the announced key signs")
        case KeyState.RETIRING:
            return Next("goes", None, "waits until a key signs")
        case _:
            return None


_WORDS = {
    Action.MAKE: "is made",
    Action.ANNOUNCE: "is announced",
    Action.ACTIVATE: "signs",
    Action.DROP: "goes",
}


def step_body(step: Step, now: int) -> dict[str, Any]:
    """A step for scripts."""
    return {
        "action": step.action,
        "kid": step.kid,
        "at": moment(step.at),
        "in_seconds": None if step.at is None else max(0, step.at - now),
        "due": step.is_due(now),
        "reason": step.reason,
    }


def policy_body(policy: RotationPolicy) -> dict[str, int]:
    """The times of a policy, and the two sums that rotation rests on."""
    return {
        **dataclasses.asdict(policy),
        "verifier_needs_seconds": policy.verifier_needs_seconds,
        "retirement_seconds": policy.retirement_seconds(0),
    }


def policy_lines(policy: RotationPolicy) -> Iterator[str]:
    """Why nobody meets an unknown key under this policy: its two sums."""
    needs, stays = policy.verifier_needs_seconds, policy.retirement_seconds(0)
    yield (
        f"A key is announced {duration_words(policy.announce_seconds)} before it signs. The slowest verifier holds it "
        f"after {duration_words(needs)}: {policy.verifier_refresh_seconds} refresh + {policy.cache_seconds} cache + "
        f"{policy.clock_skew_seconds} clock skew + {policy.publication_seconds} publication = {needs} s."
    )
    yield (
        f"It signs for {duration_words(policy.rotation_seconds)}, then stays published for {duration_words(stays)}: "
        f"{policy.lease_seconds} lease + {policy.max_token_seconds} longest token + {policy.leeway_seconds} leeway + "
        f"{policy.cache_seconds} cache + {CLOCKS} x {policy.clock_skew_seconds} clock skew = {stays} s."
    )


def moment(seconds: int | None) -> Any:
    """Seconds since the epoch as the moment that `auth_server.cli.output` prints."""
    return None if seconds is None else at(seconds)
