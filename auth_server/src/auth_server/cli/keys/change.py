"""A change of keys that an operator asks for: looked at, shown, asked about, and done exactly so or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from auth_server.cli import prompts
from auth_server.cli.keys.access import actor, alone, look
from auth_server.cli.keys.outlook import moment
from auth_server.cli.output import show_json, warn
from auth_server.cli.session import Refusal, in_database
from auth_server.cli.times import moment_words
from auth_server.keys import store
from auth_server.keys.lifecycle import Key, KeyState, active
from auth_server.keys.policy import RotationPolicy
from auth_server.keys.requests import Changed, Outcome, Refused
from auth_server.storage.connection import Connection

CHANGED_MEANWHILE: Final = "the keys have changed since this was shown; nothing was done, run it again"


class Ask(Protocol):
    """One question to `auth_server.keys.requests`, asked of whatever keys there are."""

    def __call__(self, keys: Sequence[Key], *, now: int, force: bool) -> Outcome: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was changed, and the keys before and after it."""

    before: tuple[Key, ...]
    after: tuple[Key, ...]
    changed: tuple[Key, ...]
    warnings: tuple[str, ...]
    forced: bool
    now: int

    def state_before(self, kid: str) -> KeyState:
        """Where a key stood."""
        return next(key.state for key in self.before if key.kid == kid)

    def body(self, action: str, policy: RotationPolicy) -> dict[str, Any]:
        """For scripts."""
        signing = active(self.after)
        return {
            "action": action,
            "at": moment(self.now),
            "forced": self.forced,
            "warnings": self.warnings,
            "changed": [
                {
                    "kid": key.kid,
                    "before": self.state_before(key.kid),
                    "after": key.state,
                    "keep_until": moment(key.may_go_from(policy)) if key.state is KeyState.RETIRING else None,
                }
                for key in self.changed
            ],
            "signs": None if signing is None else signing.kid,
        }


def change(
    action: str,
    ask: Ask,
    *,
    force: bool,
    yes: bool,
    reason: str | None,
    who: str | None,
    as_json: bool,
    breaks: Callable[[Changed], Sequence[str]] = lambda shown: shown.warnings,
    question: str = "Do it all the same?",
) -> Done:
    """Look, show what will break, ask, and do exactly what was shown.

    Args:
        breaks: what has to be said before; where it is empty nobody is asked.

    Raises:
        Refusal: by a rule, or because the keys changed while the question was on the screen.
    """
    seen = in_database(look)
    shown = ask(seen.keys, now=seen.now, force=False)
    forced = force and isinstance(shown, Refused) and shown.forceable
    if forced:
        shown = ask(seen.keys, now=seen.now, force=True)
    if isinstance(shown, Refused):
        raise _refusal(shown, seen.now, as_json=as_json)
    losses = breaks(shown)
    for loss in losses:
        warn(loss)
    if losses:
        prompts.confirm(question, yes=yes)
    wanted = _ways(seen.keys, shown)
    before: tuple[Key, ...] = ()
    now = seen.now

    async def work(conn: Connection) -> Outcome:
        nonlocal now
        async with alone(conn) as now:
            return await store.apply(conn, decide, actor=actor(who), action=action, reason=reason, now=now)

    def decide(keys: tuple[Key, ...]) -> Outcome:
        nonlocal before
        before = keys
        outcome = ask(keys, now=now, force=forced)
        if isinstance(outcome, Changed) and _ways(keys, outcome) != wanted:
            return Refused(CHANGED_MEANWHILE)
        return outcome

    outcome = in_database(work)
    if isinstance(outcome, Refused):
        raise _refusal(outcome, now, as_json=as_json)
    different = {key.kid: key for key in outcome.keys}
    after = tuple(different.get(key.kid, key) for key in before)
    return Done(before=before, after=after, changed=outcome.keys, warnings=outcome.warnings, forced=forced, now=now)


def _ways(keys: Sequence[Key], outcome: Changed) -> tuple[tuple[str, str, str], ...]:
    """From where to where which keys go."""
    states = {key.kid: key.state for key in keys}
    return tuple((key.kid, states[key.kid], key.state) for key in outcome.keys)


def _refusal(refused: Refused, now: int, *, as_json: bool) -> Refusal:
    """Why not, from when on it is allowed, and whether --force would do it. With --json also on standard output."""
    at = refused.allowed_at
    if as_json:
        show_json(
            {
                "refused": refused.reason,
                "allowed_at": moment(at),
                "allowed_in_seconds": None if at is None else max(0, at - now),
                "forceable": refused.forceable,
            }
        )
    words = refused.reason
    if at is not None:
        words += f"; allowed from {moment_words(at, now)}"
    if refused.forceable:
        words += " (--force does it all the same, and says first what breaks)"
    return Refusal(words)
