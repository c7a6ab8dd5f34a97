"""Grants for people and for clients: the rules over what the database holds at this moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auth_server.grants.rules import Decision, GrantRefused, decide
from auth_server.status.entry import StatusEntry
from auth_server.storage import permissions
from auth_server.storage.clients import Client
from auth_server.storage.connection import Pool
from auth_server.storage.users import User
from auth_server.terms import LOGIN_CLIENT
from farseal.service.postgres import database_errors

__all__ = ["Grant", "GrantRefused", "Grants"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What one access token will say.

    Args:
        subject: `sub`: a user's UUID, or the client's own id.
        client_id: who asked in the subject's name.
        audience: `aud`, one or more, none twice.
        scopes: sorted; empty means a token without a `scope` claim.
        roles: sorted; a client has none.
        claims: attributes of the user, under the names that the audience's resources gave them.
        auth_time: when the person logged in (seconds since the epoch); None for a client.
        access_token_seconds: the client's own lifetime of access tokens; None means the server's.
        session_id: `sid`: the id of the grant's row.
        status: where its end is published.
        deadline: when the grant ends by itself, in seconds since the epoch: no token of it lives longer.
    """

    subject: str
    client_id: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    claims: Mapping[str, Any]
    auth_time: int | None
    access_token_seconds: int | None
    session_id: str
    status: StatusEntry
    deadline: int


class Grants:
    """Decides what somebody who has proved who they are may have."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def for_user(
        self, user: User, *, scope: str | None, resources: Sequence[str], now: int
    ) -> Grant | GrantRefused:
        """Grant to a person who has just logged in, at ``now``.

        A user or login client disabled since is refused: permissions are read afresh, in one statement. An attribute
        that the user lacks, or that is null, makes no claim.

        Raises:
            DatabaseUnavailable: 503.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                standing = await permissions.of_user(conn, user.id, client_id=LOGIN_CLIENT)
        if standing is None or not standing.active:
            return GrantRefused("unauthorized_client", "this account or the login client is disabled")
        decision = decide(scope, resources, standing.holdings)
        if isinstance(decision, GrantRefused):
            return decision
        return Grant(
            subject=str(user.id),
            client_id=LOGIN_CLIENT,
            audience=decision.audience,
            scopes=decision.scopes,
            roles=standing.roles,
            claims=_claims(decision, standing.attributes),
            auth_time=now,
            access_token_seconds=standing.access_token_seconds,
        )

    async def for_client(self, client: Client, *, scope: str | None, resources: Sequence[str]) -> Grant | GrantRefused:
        """Grant to a client in its own name (RFC 6749 section 4.4): `sub` is its id (RFC 9068 section 2.2).

        Raises:
            DatabaseUnavailable: 503.
        """
        with database_errors():
            async with self._pool.acquire() as conn:
                standing = await permissions.of_client(conn, client.id)
        if standing is None or not standing.active:
            return GrantRefused("unauthorized_client", "this client may not use client_credentials")
        decision = decide(scope, resources, standing.holdings)
        if isinstance(decision, GrantRefused):
            return decision
        return Grant(
            subject=client.id,
            client_id=client.id,
            audience=decision.audience,
            scopes=decision.scopes,
            roles=(),
            claims={},
            auth_time=None,
            access_token_seconds=standing.access_token_seconds,
        )


def _claims(decision: Decision, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        claim: attributes[attribute]
        for claim, attribute in decision.claims.items()
        if attributes.get(attribute) is not None
    }
