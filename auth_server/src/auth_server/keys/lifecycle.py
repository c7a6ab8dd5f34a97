"""The states of a signing key and the ways between them (pure).

    ready -> announced -> active -> retiring -> gone
                  any published state -> revoked

A *ready* key lies in the pool: made, sealed, published nowhere. An *announced* key is published and does not sign yet,
so that every verifier holds it before it does. The *active* key signs; there is at most one, and the database itself
forbids a second. A *retiring* key signs no more and stays published until the last token that it signed is dead. A key
that is *gone* is published no more; a *revoked* one is named as such in the published documents, for good.

A moment that was promised to verifiers is stored with the key when the promise is made (``activate_after``,
``keep_until``). Today's policy may put it off and never bring it forward.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from auth_server.keys.policy import RotationPolicy


class KeyState(StrEnum):
    """Where a key stands. The values are those of ``signing_keys.state``."""

    READY = "ready"
    ANNOUNCED = "announced"
    ACTIVE = "active"
    RETIRING = "retiring"
    GONE = "gone"
    REVOKED = "revoked"


PUBLISHED: Final = frozenset({KeyState.ANNOUNCED, KeyState.ACTIVE, KeyState.RETIRING})
"""The states in which a key is in the JWK set."""

LIVING: Final = PUBLISHED | {KeyState.READY}
"""The states from which a key can still go somewhere."""


class TransitionError(Exception):
    """A key cannot go this way from where it stands: a fault of the program, not of whoever asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What the lifecycle knows of one key. Moments are in seconds since the epoch, None where they have not come.

    ``published_at`` is when a publication that holds the key was first confirmed: a key that could not be published
    has not been announced to anybody, however long ago it was decided. ``token_seconds`` is the longest life of any
    token that the key may have signed.
    """

    kid: str
    state: KeyState
    created_at: int
    announced_at: int | None = None
    published_at: int | None = None
    activate_after: int | None = None
    activated_at: int | None = None
    retired_at: int | None = None
    keep_until: int | None = None
    gone_at: int | None = None
    revoked_at: int | None = None
    token_seconds: int = 0

    def may_sign_from(self, policy: RotationPolicy) -> int | None:
        """When every verifier holds this key: the stored promise, or later if the policy asks for more by now.

        None for an announced key whose publication nobody has confirmed.
        """
        if self.published_at is None:
            return None
        return max(self.activate_after or 0, self.published_at + policy.announce_seconds)

    def may_go_from(self, policy: RotationPolicy) -> int | None:
        """When the last token of this key is dead everywhere; None for a key that has not stopped signing."""
        if self.retired_at is None:
            return None
        return max(self.keep_until or 0, self.retired_at + policy.retirement_seconds(self.token_seconds))


def in_state(keys: Iterable[Key], *states: KeyState) -> tuple[Key, ...]:
    """The keys in any of ``states``, oldest first."""
    return tuple(sorted((key for key in keys if key.state in states), key=lambda key: (key.created_at, key.kid)))


def active(keys: Iterable[Key]) -> Key | None:
    """The key that signs."""
    return next(iter(in_state(keys, KeyState.ACTIVE)), None)


def announced(key: Key, *, now: int) -> Key:
    """Publish a key of the pool, not yet to be signed with."""
    _require(key, KeyState.READY)
    return replace(key, state=KeyState.ANNOUNCED, announced_at=now)


def confirmed(key: Key, policy: RotationPolicy, *, now: int) -> Key:
    """A publication that holds the key has been seen whole; from here on verifiers learn it.

    The moment is rounded up to the next second: ``now`` was rounded down, and the wait must not be cut short by it.
    """
    if key.published_at is not None or key.state not in PUBLISHED:
        return key
    return replace(key, published_at=now + 1, activate_after=now + 1 + policy.announce_seconds)


def activated(key: Key, policy: RotationPolicy, *, now: int) -> Key:
    """Sign with the key from now on. Whether verifiers hold it is decided before, see `auth_server.keys.planner`."""
    _require(key, KeyState.READY, KeyState.ANNOUNCED)
    return replace(
        key,
        state=KeyState.ACTIVE,
        announced_at=now if key.announced_at is None else key.announced_at,
        activated_at=now,
        token_seconds=max(key.token_seconds, policy.max_token_seconds),
    )


def retired(key: Key, policy: RotationPolicy, *, now: int) -> Key:
    """Sign no more, and promise to stay published until the last token is dead."""
    _require(key, KeyState.ACTIVE)
    keep_until = now + policy.retirement_seconds(key.token_seconds)
    return replace(key, state=KeyState.RETIRING, retired_at=now, keep_until=keep_until)


def gone(key: Key, *, now: int) -> Key:
    """Publish the key no more. An announced key may go: nothing was signed with it."""
    _require(key, KeyState.READY, KeyState.ANNOUNCED, KeyState.RETIRING)
    return replace(key, state=KeyState.GONE, gone_at=now)


def revoked(key: Key, *, now: int) -> Key:
    """Withdraw the key at once: somebody else may be able to sign with it."""
    _require(key, *PUBLISHED, KeyState.GONE)
    return replace(key, state=KeyState.REVOKED, revoked_at=now)


def found_revoked(key: Key, *, now: int) -> Key:
    """Take over a withdrawal that this database has forgotten: of a key in any state, a ready one too."""
    _require(key, *LIVING, KeyState.GONE)
    return replace(key, state=KeyState.REVOKED, revoked_at=now)


def _require(key: Key, *states: KeyState) -> None:
    if key.state not in states:
        raise TransitionError(f"key {key.kid} is {key.state}, not {' or '.join(sorted(states))}")
