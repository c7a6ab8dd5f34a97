"""What an operator, or the planner, asks to be done to the keys: the keys after it, or a refusal that says why (pure).

A refusal is a value. What ``force`` overrides is told as a warning that says what will break, and the caller keeps it
with the change.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from auth_server.keys import lifecycle
from auth_server.keys.lifecycle import Key, KeyState, active, in_state
from auth_server.keys.planner import successor
from auth_server.keys.policy import RotationPolicy


@dataclass(frozen=True, slots=True)
class Changed:
    """The keys that are different now, in the order in which they must be stored: the old active one before the new.

    ``warnings`` say what may break, in words for people; empty when nothing can.
    """

    keys: tuple[Key, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not done. ``allowed_at`` is when it will be allowed, in seconds since the epoch, where time alone decides.

    ``forceable`` tells whether ``force`` would do it all the same.
    """

    reason: str
    allowed_at: int | None = None
    forceable: bool = False


Outcome = Changed | Refused

NONE_ANNOUNCED: Final = "no key is announced; a running server announces one as soon as one is ready"


def announce(keys: Iterable[Key], kid: str | None, *, now: int, force: bool = False) -> Outcome:
    """Publish a ready key, ``kid`` or the oldest. With another one announced already only when forced."""
    held = tuple(keys)
    if kid is None:
        chosen = next(iter(in_state(held, KeyState.READY)), None)
        if chosen is None:
            return Refused("no key is ready; a running server makes one, ask again in a moment")
    else:
        chosen = _find(held, kid)
        if chosen is None:
            return _unknown(kid)
        if chosen.state is not KeyState.READY:
            return Refused(f"key {kid} is {chosen.state}; only a ready key can be announced")
    waiting = in_state(held, KeyState.ANNOUNCED)
    if waiting and not force:
        return Refused(f"key {waiting[0].kid} is announced already", forceable=True)
    return Changed((lifecycle.announced(chosen, now=now),))


def activate(keys: Iterable[Key], kid: str | None, policy: RotationPolicy, *, now: int, force: bool = False) -> Outcome:
    """Sign with an announced key, ``kid`` or the one that is next, and retire the key that signed until now.

    Where no key has signed yet there is nothing to break, and nothing to wait for: the one that is next signs at once,
    or a ready one as long as none is announced. A verifier that holds any key holds that one.
    """
    held = tuple(keys)
    following = successor(held, policy)
    chosen = following if kid is None else _find(held, kid)
    if chosen is None:
        return Refused(NONE_ANNOUNCED) if kid is None else _unknown(kid)
    signing = active(held)
    if chosen.state is not KeyState.ANNOUNCED and not (chosen.state is KeyState.READY and signing is None):
        hint = "; announce it first" if chosen.state is KeyState.READY else ""
        return Refused(f"key {chosen.kid} is {chosen.state}; only an announced key can be activated{hint}")
    warnings: tuple[str, ...] = ()
    if signing is not None or following not in (None, chosen):
        known = chosen.may_sign_from(policy)
        if known is None or now < known:
            early = _early(chosen, known, now)
            if not force:
                return Refused(early, known, forceable=True)
            warnings = (f"{early}; until they do they refuse every new token with 401",)
    after = lifecycle.activated(chosen, policy, now=now)
    before = () if signing is None else (lifecycle.retired(signing, policy, now=now),)
    return Changed((*before, after), warnings)


def retire(keys: Iterable[Key], kid: str, policy: RotationPolicy, *, now: int, force: bool = False) -> Outcome:
    """Publish a key no more: a retiring one whose tokens are dead, or one that has signed nothing.

    While no key signs yet an announced one stays: verifiers that hold it would lack the one that signs first.
    """
    held = tuple(keys)
    chosen = _find(held, kid)
    if chosen is None:
        return _unknown(kid)
    if chosen.state is KeyState.ANNOUNCED and chosen.token_seconds and not force:
        # It signed before a backup was restored, see `auth_server.keys.recovery`.
        return Refused(f"key {kid} may have signed tokens that are alive; let it sign and retire", forceable=True)
    match chosen.state:
        case KeyState.ANNOUNCED if active(held) is None:
            return Refused(f"no key signs yet and key {kid} is published; activate it")
        case KeyState.READY | KeyState.ANNOUNCED:
            return Changed((lifecycle.gone(chosen, now=now),))
        case KeyState.RETIRING:
            free = chosen.may_go_from(policy)
            if free is not None and now >= free:
                return Changed((lifecycle.gone(chosen, now=now),))
            alive = f"tokens that key {kid} signed may be alive"
            if not force:
                return Refused(alive, free, forceable=True)
            return Changed((lifecycle.gone(chosen, now=now),), (f"{alive}; they are refused with 401 from now on",))
        case KeyState.ACTIVE:
            return Refused(f"key {kid} signs; it retires when another one is activated")
        case _:
            return Refused(f"key {kid} is {chosen.state} already")


def revoke(keys: Iterable[Key], kid: str, policy: RotationPolicy, *, now: int) -> Outcome:
    """Withdraw a key at once, and sign with another one in the same moment if it was the active one.

    The same where a key is withdrawn that was to be the first to sign: without it nothing would be published.
    """
    held = tuple(keys)
    chosen = _find(held, kid)
    if chosen is None:
        return _unknown(kid)
    if chosen.state is KeyState.REVOKED:
        return Refused(f"key {kid} is revoked already")
    if chosen.state is KeyState.READY:
        return Refused(f"key {kid} was never published; retire it instead")
    withdrawn = lifecycle.revoked(chosen, now=now)
    rest = tuple(key for key in held if key.kid != kid)
    if chosen.state is KeyState.GONE or active(rest) is not None:
        return Changed((withdrawn,))
    following = successor(rest, policy) or next(iter(in_state(rest, KeyState.READY)), None)
    if following is None:
        return Refused("no other key is there to sign with; a running server makes one, ask again in a moment")
    known = following.may_sign_from(policy)
    warnings: tuple[str, ...] = ()
    if known is None or now < known:
        warnings = (f"{_early(following, known, now)}; until they do they refuse new tokens with 401",)
    return Changed((withdrawn, lifecycle.activated(following, policy, now=now)), warnings)


def _find(keys: tuple[Key, ...], kid: str) -> Key | None:
    return next((key for key in keys if key.kid == kid), None)


def _unknown(kid: str) -> Refused:
    return Refused(f"there is no key {kid}")


def _early(key: Key, known: int | None, now: int) -> str:
    if known is None:
        return f"verifiers do not hold key {key.kid} yet: no publication that holds it is confirmed"
    return f"some verifiers may not hold key {key.kid} yet: they are sure to in {known - now} s"
