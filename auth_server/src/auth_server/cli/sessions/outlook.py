"""Where a session stands at one moment, in words (pure)."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from auth_server.grants.refresh_rules import SessionDefaults, SessionState, deadline, over, terms_of
from auth_server.status.documents import list_uri
from auth_server.storage.session_list import SessionRow
from farseal.clock import at

Standing: TypeAlias = Literal["living", "idle", "expired", "ended"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a session stands, and when that is over. ``idle_until`` is None where no refresh keeps it open."""

    standing: Standing
    idle_until: int | None
    ends_at: int


def outlook(row: SessionRow, *, idle: int, absolute: int, now: int) -> Outlook:
    """Judge a session at ``now`` by the rules that refreshing goes by.

    Args:
        idle, absolute: the server's own settings, in seconds.
        now: seconds since the epoch.
    """
    server = SessionDefaults(idle=idle, absolute=absolute, grace=0, history=0, access_token=0, max_token=0)
    terms = terms_of(row.terms, server)
    state = SessionState(
        created_at=int(row.created_at.timestamp()),
        expires_at=int(row.expires_at.timestamp()),
        last_used_at=int(row.last_used_at.timestamp()),
        ended=row.ended_at is not None,
        refreshable=row.refreshable,
        generation=row.generation,
        recent_uses=(),
    )
    last = deadline(state, terms)
    idle_until = state.last_used_at + terms.idle if row.refreshable else None
    refused = over(state, terms, now)
    standing: Standing = "living"
    if refused is not None:
        standing = "ended" if refused.reason == "ended" else "idle" if refused.reason == "idle" else "expired"
    return Outlook(standing, idle_until, last if idle_until is None else min(last, idle_until))


def who(row: SessionRow) -> str:
    """The person, by the name they have now; the id alone of one who is gone; nobody for a client's own."""
    return row.username or ("-" if row.user_id is None else str(row.user_id))


def body(row: SessionRow, found: Outlook, *, issuer: str | None) -> dict[str, Any]:
    """A session as scripts see it. Where its end is published has an address only where the issuer is known."""
    return {
        "id": str(row.id),
        "state": found.standing,
        "username": row.username,
        "user_id": None if row.user_id is None else str(row.user_id),
        "client_id": row.client_id,
        "audience": row.audience,
        "scopes": row.scopes,
        "created_at": row.created_at,
        "last_used_at": row.last_used_at,
        "address": row.address,
        "agent": row.agent,
        "idle_until": None if found.idle_until is None else at(found.idle_until),
        "expires_at": row.expires_at,
        "ends_at": at(found.ends_at),
        "refresh": row.terms.policy if row.refreshable else "none",
        "generation": row.generation,
        "standing": row.standing,
        "status_list": row.status_list,
        "status_index": row.status_index,
        "status_uri": None if issuer is None else list_uri(issuer, row.status_list),
        "revoked_in_version": row.revoked_in,
        "ended_at": row.ended_at,
        "ended_by": row.ended_by,
        "keep_until": row.keep_until,
    }
