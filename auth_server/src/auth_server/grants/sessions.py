"""Sessions: opening them, keeping them open, ending them. The rules over what the database holds at this moment."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog

from auth_server.grants import refresh_tokens
from auth_server.grants.beginning import Beginning
from auth_server.grants.grant import Grant, Opened, Seen, grant_of
from auth_server.grants.peppers import Peppers
from auth_server.grants.refresh_rules import ClientTerms, RefreshRefused, SessionDefaults, deadline, over, terms_of
from auth_server.grants.refreshing import ATTEMPTS, SOON, Asked, Refreshing, account_holding, state_of
from auth_server.grants.rules import GrantRefused, decide
from auth_server.grants.standing import StandingGrants
from auth_server.status.entry import Entries
from auth_server.storage import grants, permissions
from auth_server.storage.clients import Client
from auth_server.storage.connection import Pool
from auth_server.storage.grants import EndedBy, EndedGrant, Ending, StoredGrant
from auth_server.storage.permissions import Standing
from auth_server.storage.users import User
from auth_server.terms import LOGIN_CLIENT
from farseal.clock import at
from farseal.problems import ProblemError
from farseal.service.postgres import database_errors

__all__ = ["EndedGrant", "Grant", "GrantRefused", "Opened", "RefreshRefused", "Seen", "Sessions", "StoredGrant"]

log = structlog.get_logger(__name__)

_SWEPT_SECONDS: Final = 600
"""How long after a client was disabled sessions are looked for that began meanwhile; a login takes seconds."""


class Sessions:
    """Decides what somebody who has proved who they are may have, and for how long.

    Args:
        entries: places in published status lists.
        peppers: of refresh tokens, the newest first, which makes all new ones.
        issuer: the audience of the account API, at which every person may manage their sessions.
        defaults: what holds for clients without terms of their own.
    """

    def __init__(
        self, pool: Pool, entries: Entries, peppers: Sequence[bytes], *, issuer: str, defaults: SessionDefaults
    ) -> None:
        self._pool = pool
        self._entries = entries
        self._peppers = Peppers(tuple(peppers))
        self._issuer = issuer
        self._defaults = defaults
        self._beginning = Beginning(entries, defaults)
        self._own = StandingGrants(pool, self._beginning, defaults)
        self._refreshing = Refreshing(entries, self._peppers, issuer, defaults)

    async def log_in(
        self,
        user: User,
        *,
        scope: str | None,
        resources: Sequence[str],
        seen: Seen,
        now: int,
        once: bool = False,
        lifetime: int | None = None,
    ) -> Opened | GrantRefused:
        """Open a session for a person who has just proved who they are, at ``now``.

        Whoever has been disabled since, or has another password than the one that was checked, is refused.

        Args:
            user: as read together with what the password was checked against.
            once: for one access token and no more, as with a client that has no refresh tokens.
            lifetime: of access tokens, in seconds; None for what the login client or the server is set to.

        Raises:
            DatabaseUnavailable, ProblemError: 503.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                standing = await permissions.of_user(conn, user.id, client_id=LOGIN_CLIENT)
        if standing is None or not standing.active:
            return GrantRefused("unauthorized_client", "this account or the login client is disabled")
        decision = decide(scope, resources, (*standing.holdings, account_holding(self._issuer)))
        if isinstance(decision, GrantRefused):
            return decision
        if lifetime is not None:
            standing = replace(standing, access_token_seconds=lifetime)
        terms = terms_of(standing.terms, self._defaults)
        refreshable = terms.policy != "none" and not once
        lasts = terms.absolute if refreshable else self._token_seconds(standing)
        new = await self._beginning.new(
            LOGIN_CLIENT, user.id, decision.audience, decision.scopes, seen, now=now, lasts=lasts
        )
        token = None
        if refreshable:
            first, nonce = self._peppers.first(new.id)
            new, token = replace(new, refresh_hash=first.digest, refresh_nonce=nonce), first.text
        with database_errors():
            async with self._pool.acquire() as conn:
                added = await grants.add_login(conn, new, password_changed_at=user.password_changed_at)
        if not added:
            return GrantRefused("unauthorized_client", "this account was changed at this moment")
        uri = self._entries.uri(new.status_list)
        return Opened(grant_of(new, decision, standing, list_uri=uri, deadline=now + lasts), token)

    async def for_client(
        self, client: Client, *, scope: str | None, resources: Sequence[str], seen: Seen, now: int
    ) -> Opened | GrantRefused:
        """Grant to a client in its own name (RFC 6749 section 4.4): `sub` is its id (RFC 9068 section 2.2).

        All its tokens belong to its one standing grant. It gets no refresh token (section 4.4.3).

        Raises:
            DatabaseUnavailable, ProblemError: 503.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                standing = await permissions.of_client(conn, client.id)
        if standing is None or not standing.active:
            return _MAY_NOT
        decision = decide(scope, resources, standing.holdings)
        if isinstance(decision, GrantRefused):
            return decision
        own = await self._own.find(client.id, standing, seen, now=now)
        if own is None:
            return _MAY_NOT
        uri, end = self._entries.uri(own.status_list), int(own.expires_at.timestamp())
        return Opened(grant_of(own, decision, standing, list_uri=uri, deadline=end))

    async def refresh(
        self,
        token: str,
        *,
        client: Client,
        scope: str | None,
        resources: Sequence[str],
        seen: Seen,
        now: int,
    ) -> Opened | GrantRefused | RefreshRefused:
        """Another access token of a session, for its refresh token (RFC 6749 section 6).

        Permissions are read afresh: the token says what the session may and the person may now. A replay ends the
        session, and that is committed.

        Args:
            client: who asks, and has proved to be it as far as it can.

        Raises:
            DatabaseUnavailable, ProblemError: 503.
        """
        presented = refresh_tokens.parse(token)
        if presented is None:
            return RefreshRefused("malformed")
        asked = Asked(presented, client.id, scope, resources, seen, now)
        with database_errors():
            for _ in range(ATTEMPTS):
                async with self._pool.acquire() as conn:
                    outcome = await self._refreshing.attempt(conn, asked)
                if outcome is not None:
                    return outcome
        raise ProblemError(503, "session_busy", "this session changes too often at this moment", SOON)

    async def end(
        self,
        *,
        by: EndedBy,
        now: int,
        ids: Sequence[UUID] = (),
        users: Sequence[UUID] = (),
        clients: Sequence[str] = (),
    ) -> tuple[EndedGrant, ...]:
        """End these sessions, those of these users and those of these clients; those that were living, if any were.

        Raises:
            DatabaseUnavailable: 503.
        """
        ending = Ending(by, tuple(ids), tuple(users), tuple(clients))
        with database_errors():
            async with self._pool.acquire() as conn, conn.transaction():
                ended = await grants.end(conn, [ending], at=at(now))
        for session in ended:
            log.info("session ended", session_id=str(session.id), client_id=session.client_id, by=session.by)
        return ended

    async def find(self, session_id: UUID) -> StoredGrant | None:
        """The session of this id, living or not.

        Raises:
            DatabaseUnavailable: 503.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                return await grants.find(conn, session_id)

    async def of_user(self, user_id: UUID, *, now: int, limit: int) -> tuple[StoredGrant, ...]:
        """The living sessions of a person, the newest first, and no more than ``limit``.

        Raises:
            DatabaseUnavailable: 503.
        """
        idle, absolute = self._defaults.idle, self._defaults.absolute
        with database_errors():
            async with self._pool.acquire() as conn:
                found = await grants.of_user(
                    conn, user_id, living_at=at(now), idle=idle, absolute=absolute, limit=limit
                )
        return tuple(session for session in found if self.is_living(session, now=now))

    async def recognise(self, token: str, *, now: int) -> StoredGrant | None:
        """The living session of a refresh token that is good or was; None for everything else.

        Raises:
            DatabaseUnavailable: 503.
        """
        session = await self.session_of(token)
        return session if session is not None and self.is_living(session, now=now) else None

    async def session_of(self, token: str) -> StoredGrant | None:
        """The session of a refresh token that is good or was, living or not; None for everything else.

        Raises:
            DatabaseUnavailable: 503.
        """
        presented = refresh_tokens.parse(token)
        session = None if presented is None else await self.find(presented.session_id)
        if presented is None or session is None or self._peppers.generation(session, presented) is None:
            return None
        return session

    def is_living(self, session: StoredGrant, *, now: int) -> bool:
        """Nothing has ended it, its client is there, and no deadline of it is reached."""
        if session.terms is None:
            return False
        return over(state_of(session), terms_of(session.terms, self._defaults), now) is None

    def deadline(self, session: StoredGrant) -> int:
        """When it ends in any case, in seconds since the epoch."""
        return deadline(state_of(session), terms_of(session.terms or ClientTerms(), self._defaults))

    def idle_until(self, session: StoredGrant) -> int | None:
        """When it ends unless its refresh token is used before; None where it has none."""
        if session.refresh_hash is None:
            return None
        idle = terms_of(session.terms or ClientTerms(), self._defaults).idle
        return min(self.deadline(session), state_of(session).last_used_at + idle)

    async def sweep(self, *, now: int) -> tuple[EndedGrant, ...]:
        """End what began while its client was being disabled: no login locks the row that all logins share.

        Raises:
            DatabaseUnavailable: 503.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                late = await grants.begun_too_late(conn, since=at(now - _SWEPT_SECONDS))
        return await self.end(by="client_disabled", now=now, ids=late) if late else ()

    def _token_seconds(self, standing: Standing) -> int:
        asked = standing.access_token_seconds
        return min(self._defaults.access_token if asked is None else asked, self._defaults.max_token)


_MAY_NOT: Final = GrantRefused("unauthorized_client", "this client may not use client_credentials")
