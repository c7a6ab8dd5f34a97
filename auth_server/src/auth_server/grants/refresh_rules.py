"""What a refresh token does for whoever presents it. Pure: a session's state, its terms and a moment, to a verdict.

A session has one refresh token that is good, the one of its *generation*. With the policy ``rotate`` every use begins
the next generation. Two tabs that refresh at once, or one whose answer was lost, present a generation that was used a
moment ago: inside the *grace window* they are given the one that is good now. Later on such a token is in two hands and
nobody can tell whose are the owner's: the whole session ends (RFC 9700 section 4.14.2).

All times are whole seconds since the epoch. A deadline that is reached is past.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

RefreshPolicy: TypeAlias = Literal["rotate", "extend", "none"]
"""A new token at every use; the same one for ever; no refresh tokens at all."""

MAX_RECENT_USES: Final = 32
"""Generations that lead on at most. Who rotates more often within one grace window has no use for the oldest."""


@dataclass(frozen=True, slots=True)
class ClientTerms:
    """What a client's row says of its sessions. None stands for the server's own setting."""

    policy: RefreshPolicy = "rotate"
    idle_seconds: int | None = None
    absolute_seconds: int | None = None
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class SessionDefaults:
    """The server's settings, in seconds.

    Args:
        idle: without a refresh, until a session ends.
        absolute: from the login until it ends in any case.
        grace: during which a token that was used leads to the one that is good.
        history: during which a session that has ended is shown.
        access_token: usual life of an access token.
        max_token: longest life of one.
    """

    idle: int
    absolute: int
    grace: int
    history: int
    access_token: int
    max_token: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one session now, in seconds."""

    policy: RefreshPolicy
    idle: int
    absolute: int
    grace: int


@dataclass(frozen=True, slots=True)
class SessionState:
    """One session as it was read.

    Args:
        expires_at: the absolute deadline that was set when it began.
        ended: by whatever came before the deadline.
        refreshable: it has a refresh token.
        generation: of the token that is good.
        recent_uses: when the generations before it were used, the last one last; older ones have been forgotten.
    """

    created_at: int
    expires_at: int
    last_used_at: int
    ended: bool
    refreshable: bool
    generation: int
    recent_uses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rotate:
    """Begin the next generation, with these recent uses."""

    generation: int
    recent_uses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Extend:
    """The token stays, the idle deadline moves."""


@dataclass(frozen=True, slots=True)
class Again:
    """Give the token that is good now once more; nothing is written."""


@dataclass(frozen=True, slots=True)
class Replay:
    """End the session, and commit that."""


Reason: TypeAlias = Literal[
    "malformed", "unknown", "foreign_client", "ended", "expired", "idle", "policy", "not_active", "replay"
]


@dataclass(frozen=True, slots=True)
class RefreshRefused:
    """No token. Outside it is ``invalid_grant`` whatever the reason, which is for logs and metrics alone."""

    reason: Reason


Verdict: TypeAlias = Rotate | Extend | Again | Replay | RefreshRefused


def terms_of(client: ClientTerms, server: SessionDefaults) -> Terms:
    """The client's own terms, and the server's where it has none."""
    return Terms(
        policy=client.policy,
        idle=server.idle if client.idle_seconds is None else client.idle_seconds,
        absolute=server.absolute if client.absolute_seconds is None else client.absolute_seconds,
        grace=server.grace if client.grace_seconds is None else client.grace_seconds,
    )


def deadline(session: SessionState, terms: Terms) -> int:
    """When the session ends in any case: as was set when it began, or as is set now, whichever is earlier.

    The terms are those of refreshing, and say nothing of a session that has no refresh token.
    """
    if not session.refreshable:
        return session.expires_at
    return min(session.expires_at, session.created_at + terms.absolute)


def over(session: SessionState, terms: Terms, now: int) -> RefreshRefused | None:
    """Why nothing of the session is good any more; None when it lives."""
    if session.ended:
        return RefreshRefused("ended")
    if now >= deadline(session, terms):
        return RefreshRefused("expired")
    if session.refreshable and now >= session.last_used_at + terms.idle:
        return RefreshRefused("idle")
    return None


def judge(session: SessionState, terms: Terms, generation: int, now: int) -> Verdict:
    """Decide about a genuine token of ``generation``, presented by the client that the session belongs to.

    Args:
        generation: of the token that is good, or one before it.
    """
    if refused := over(session, terms, now):
        return refused
    if terms.policy == "none" or not session.refreshable:
        return RefreshRefused("policy")
    if not 0 <= generation <= session.generation:
        return RefreshRefused("unknown")  # of a time that a restored database does not remember
    behind = session.generation - generation
    if behind:
        known = behind <= len(session.recent_uses)
        return Again() if known and _in_grace(session.recent_uses[-behind], terms, now) else Replay()
    if terms.policy == "extend":
        return Extend()
    return Rotate(session.generation + 1, _remembered(session.recent_uses, terms, now))


def _in_grace(used_at: int, terms: Terms, now: int) -> bool:
    """A use that another replica's clock puts into the future was this moment. A window of 0 forgives nothing."""
    return max(0, now - used_at) < terms.grace


def _remembered(uses: tuple[int, ...], terms: Terms, now: int) -> tuple[int, ...]:
    """Only the oldest are forgotten, never one in between: the place from the end tells the generation."""
    first = 0
    while first < len(uses) and not _in_grace(uses[first], terms, now):
        first += 1
    return (*uses[first:], now)[-MAX_RECENT_USES:]
