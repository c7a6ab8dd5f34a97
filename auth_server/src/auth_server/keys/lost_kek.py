"""When no KEK is left that opens the keys: nobody can sign with them any more, and what they signed is still good."""

import asyncio
from dataclasses import replace

from auth_server.keys.lifecycle import LIVING, PUBLISHED, Key, KeyState, gone
from auth_server.keys.opening import Keks, KeyringError, open_private, open_public, seal_public
from auth_server.keys.policy import RotationPolicy
from auth_server.keys.public_key import PublicKey
from auth_server.keys.store import Changing
from auth_server.publication.published import PublishedSet
from auth_server.storage import signing_keys
from auth_server.storage.signing_keys import StoredKey
from auth_server.terms import ACCESS_TOKEN_SECONDS


async def give_up(
    change: Changing,
    published: PublishedSet,
    keks: Keks,
    policy: RotationPolicy,
    *,
    actor: str,
    reason: str | None,
    now: int,
) -> tuple[str, ...]:
    """Take every living key that none of ``keks`` opens out of use; gives the kids, in the order of their rows.

    One that the published document holds retires: its public half, which verifiers have believed, is sealed under the
    first KEK, and it is published until every token that it may have signed is dead. Any other is gone. Where the
    active key was among them none signs, and the planner makes and activates another at once.

    Args:
        change: holds the lock.
        published: the newest document.
        keks: the first seals.
        policy: says how long they stay.
        actor: of the audit entries.
        reason: why, in words of the actor.
        now: seconds since the epoch.
    """
    stored = await signing_keys.list_states(change.conn, LIVING)
    lost = [one for one in stored if not await asyncio.to_thread(_opens, one, keks)]
    public = {key.kid: key for key in published.keys}
    after = [
        _retiring(one.key, policy, now=now) if _may_stay(one, published) else gone(_off(one.key), now=now)
        for one in lost
    ]
    await change.note(after, actor=actor, action="recover", reason=reason, now=now)
    for one, key in zip(lost, after, strict=True):
        if key.state is KeyState.RETIRING:
            await signing_keys.reseal(change.conn, _public_only(one, public[one.kid], keks))
    return tuple(one.kid for one in lost)


def _opens(stored: StoredKey, keks: Keks) -> bool:
    try:
        if stored.sealed_private_key is None:
            open_public(stored, keks)
        else:
            open_private(stored, keks)
    except KeyringError:
        return False
    return True


def _may_stay(stored: StoredKey, published: PublishedSet) -> bool:
    return stored.state in PUBLISHED and stored.kid in published.kids and stored.kid not in published.revoked


def _retiring(key: Key, policy: RotationPolicy, *, now: int) -> Key:
    life = max(key.token_seconds, ACCESS_TOKEN_SECONDS[1])
    until = max(key.keep_until or 0, now + policy.retirement_seconds(life))
    return replace(key, state=KeyState.RETIRING, retired_at=key.retired_at or now, keep_until=until, token_seconds=life)


def _off(key: Key) -> Key:
    """`gone` is for keys that do not sign; this one cannot any more."""
    return replace(key, state=KeyState.RETIRING) if key.state is KeyState.ACTIVE else key


def _public_only(stored: StoredKey, public: PublicKey, keks: Keks) -> StoredKey:
    return replace(stored, sealed_private_key=None, sealed_public_key=seal_public(public, keks), kek_id=keks[0].id)
