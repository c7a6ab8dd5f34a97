"""One attempt at a refresh: the session as it is read, the verdict, and the one statement that makes it true."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from auth_server.grants.grant import Opened, Seen, grant_of
from auth_server.grants.peppers import Peppers
from auth_server.grants.refresh_rules import (
    Again,
    Extend,
    RefreshRefused,
    Replay,
    Rotate,
    SessionDefaults,
    SessionState,
    deadline,
    judge,
    terms_of,
)
from auth_server.grants.refresh_tokens import RefreshToken
from auth_server.grants.rules import GrantRefused, Holding, decide, within
from auth_server.status.entry import Entries
from auth_server.storage import grant_uses, grants, permissions
from auth_server.storage.connection import Connection
from auth_server.storage.grants import Ending, StoredGrant
from auth_server.terms import SESSIONS_SCOPE
from farseal.clock import at
from farseal.problems import ProblemError

log = structlog.get_logger(__name__)

SOON: Final = {"Retry-After": "1"}

ATTEMPTS: Final = 4
"""The second one finds what the winner left; more are for whoever changes the client's terms meanwhile."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to refresh, by a client that is who it says."""

    token: RefreshToken
    client_id: str
    scope: str | None
    resources: Sequence[str]
    seen: Seen
    now: int


@dataclass(frozen=True, slots=True)
class Refreshing:
    """What refreshes are decided with; see `auth_server.grants.sessions.Sessions`."""

    entries: Entries
    peppers: Peppers
    issuer: str
    defaults: SessionDefaults

    async def attempt(self, conn: Connection, asked: Asked) -> Opened | GrantRefused | RefreshRefused | None:
        """Refresh, or refuse; None when somebody else changed the session after it was read.

        Scopes are decided before anything is written, so that what is refused for them uses nothing up.

        Raises:
            ProblemError: 503, the good token was made under a key that this replica does not have.
        """
        now = asked.now
        session = await grants.find(conn, asked.token.session_id)
        generation = None if session is None else self.peppers.generation(session, asked.token)
        if session is None or session.user_id is None or generation is None:
            return RefreshRefused("unknown")
        if session.client_id != asked.client_id:
            return RefreshRefused("foreign_client")
        standing = await permissions.of_user(conn, session.user_id, client_id=session.client_id)
        if standing is None or not standing.active:
            return RefreshRefused("not_active")
        state, terms = state_of(session), terms_of(standing.terms, self.defaults)
        verdict = judge(state, terms, generation, now)
        if isinstance(verdict, RefreshRefused):
            return verdict
        if isinstance(verdict, Replay):
            log.warning("refresh token replayed", session_id=str(session.id), client_id=session.client_id)
            async with conn.transaction():
                await grants.end(conn, [Ending("replay", ids=(session.id,))], at=at(now))
            return RefreshRefused("replay")
        held = within(standing.holdings, session.audience, session.scopes)
        decision = decide(asked.scope, asked.resources, (*held, account_holding(self.issuer, session.audience)))
        if isinstance(decision, GrantRefused):
            return decision
        good = await self._advance(conn, session, verdict, asked)
        if good is None:
            return None
        uri = self.entries.uri(session.status_list)
        grant = grant_of(session, decision, standing, list_uri=uri, deadline=deadline(state, terms))
        return Opened(grant, good.text)

    async def _advance(
        self, conn: Connection, session: StoredGrant, verdict: Rotate | Extend | Again, asked: Asked
    ) -> RefreshToken | None:
        """The refresh token that is good from now on; None when somebody else was faster."""
        moment, seen = at(asked.now), asked.seen
        match verdict:
            case Rotate(generation, uses):
                fresh, used_at = self.peppers.next(session, generation), [at(use) for use in uses]
                rotated = await grant_uses.rotate(
                    conn, session, fresh.digest, generation, used_at, at=moment, address=seen.address, agent=seen.agent
                )
                return fresh if rotated else None
            case Extend():
                kept = await grant_uses.extend(conn, session, at=moment, address=seen.address, agent=seen.agent)
                return asked.token if kept else None
        good = self.peppers.current(session)
        if good is None:
            raise ProblemError(503, "session_elsewhere", "another replica has the key of this session", SOON)
        return good


def state_of(session: StoredGrant) -> SessionState:
    """The session as the rules see it."""
    return SessionState(
        created_at=int(session.created_at.timestamp()),
        expires_at=int(session.expires_at.timestamp()),
        last_used_at=int(session.last_used_at.timestamp()),
        ended=session.ended_at is not None,
        refreshable=session.refresh_hash is not None,
        generation=session.generation,
        recent_uses=tuple(int(use.timestamp()) for use in session.recent_uses),
    )


def account_holding(issuer: str, audience: Sequence[str] = ()) -> Holding:
    """The account API, which every person may have; in no token but those asked for it by name.

    Args:
        audience: of the session, where there is one; a session that was opened for it goes on with it.
    """
    scopes = frozenset({SESSIONS_SCOPE})
    return Holding(issuer, scopes, scopes, {}, only_when_asked=issuer not in audience)
