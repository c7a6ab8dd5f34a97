"""What a token is at this moment, for a client that may know (RFC 7662 section 2.2)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from auth_server.grants import refresh_tokens
from auth_server.storage import resources
from farseal.service.postgres import database_errors

if TYPE_CHECKING:
    from auth_server.grants.refresh_tokens import RefreshToken
    from auth_server.grants.sessions import Sessions
    from auth_server.storage.clients import Client
    from auth_server.storage.connection import Pool
    from auth_server.storage.grants import StoredGrant
    from auth_server.tokens.own import OwnToken, OwnTokens


class Introspection:
    """Answers from the database, not from what is published.

    A client may know of the tokens that were issued to it, and of access tokens for a resource that names it as the one
    who may introspect.
    """

    def __init__(self, pool: "Pool", sessions: "Sessions", own_tokens: "OwnTokens", *, issuer: str) -> None:
        self._pool = pool
        self._sessions = sessions
        self._own_tokens = own_tokens
        self._issuer = issuer

    async def describe(self, token: str, *, client: "Client", now: int) -> Mapping[str, Any] | None:
        """The members of the answer; None for a token that is not good, or that the client may not know of.

        Raises:
            DatabaseUnavailable: 503.
        """
        if token.startswith(refresh_tokens.PREFIX):
            return await self._refresh_token(token, client, now)
        access = self._own_tokens.read(token)
        if access is None or access.has_expired(now) or not await self._may_know(access, client):
            return None
        grant = await self._sessions.find(access.sid)
        if grant is None or not self._sessions.is_living(grant, now=now):
            return None
        return _access_token(access)

    async def _refresh_token(self, token: str, client: "Client", now: int) -> Mapping[str, Any] | None:
        """The one that is good now. One that was used is not, although it leads to its successor for a while."""
        grant = await self._sessions.recognise(token, now=now)
        presented = refresh_tokens.parse(token)
        if grant is None or presented is None or grant.client_id != client.id or not _is_current(presented, grant):
            return None
        members: dict[str, Any] = {
            "active": True,
            "scope": " ".join(grant.scopes),
            "client_id": grant.client_id,
            "exp": self._sessions.deadline(grant),
            "sub": str(grant.user_id or grant.client_id),
            "aud": list(grant.audience),
            "iss": self._issuer,
            "sid": str(grant.id),
        }
        return {name: value for name, value in members.items() if value}

    async def _may_know(self, access: "OwnToken", client: "Client") -> bool:
        if access.client_id == client.id:
            return True
        with database_errors():
            async with self._pool.acquire() as conn:
                return await resources.may_introspect(conn, client.id, access.audience)


def _access_token(access: "OwnToken") -> Mapping[str, Any]:
    members: dict[str, Any] = {
        "active": True,
        "client_id": access.client_id,
        "token_type": "Bearer",
        "exp": access.exp,
        "iat": access.iat,
        "sub": access.sub,
        "aud": access.aud,
        "iss": access.iss,
        "jti": access.jti,
        "sid": str(access.sid),
    }
    return members | {"scope": access.scope} if access.scope else members


def _is_current(presented: "RefreshToken", grant: "StoredGrant") -> bool:
    """Whether a token that was recognised is the one that is good, and its client may still use it."""
    return presented.generation == grant.generation and grant.terms is not None and grant.terms.policy != "none"
