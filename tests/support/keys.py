"""Keys and policies for tests of the lifecycle, with what does not matter filled in."""

from dataclasses import replace
from typing import Any, Final

from auth_server.keys.lifecycle import Key, KeyState
from auth_server.keys.policy import RotationPolicy

NOW: Final = 1_800_000_000

POLICY: Final = RotationPolicy(
    rotation_seconds=10_000,
    announce_seconds=2_000,
    max_token_seconds=900,
    verifier_refresh_seconds=300,
    leeway_seconds=120,
    clock_skew_seconds=30,
    cache_seconds=60,
    publication_seconds=20,
    lease_seconds=45,
)
"""Every time is another one, so that a sum shows what is in it."""

RETIREMENT: Final = 45 + 900 + 120 + 60 + 4 * 30
"""Seconds for which a retiring key stays under `POLICY`: lease, token, leeway, cache, four clocks."""

_MOMENTS: Final[dict[KeyState, dict[str, int]]] = {
    KeyState.READY: {},
    KeyState.ANNOUNCED: {"announced_at": NOW - 100, "published_at": NOW - 90, "activate_after": NOW - 90 + 2_000},
    KeyState.ACTIVE: {"activated_at": NOW - 5_000, "token_seconds": 900},
    KeyState.RETIRING: {"retired_at": NOW - 10, "keep_until": NOW - 10 + RETIREMENT, "token_seconds": 900},
    KeyState.GONE: {"gone_at": NOW - 10},
    KeyState.REVOKED: {"revoked_at": NOW - 10},
}


def key(kid: str, state: KeyState, **changes: Any) -> Key:
    """A key as one in ``state`` looks at `NOW` under `POLICY`: announced 100 s ago, active 5000 s, retired 10 s."""
    moments: dict[str, Any] = {"created_at": NOW - 20_000, **_MOMENTS[state], **changes}
    return Key(kid=kid, state=state, **moments)


def policy(**changes: int) -> RotationPolicy:
    """`POLICY` with some of its times changed."""
    return replace(POLICY, **changes)
