"""What is granted: the content of an access token, and how it comes from a session and a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from auth_server.status.entry import StatusEntry

if TYPE_CHECKING:
    from auth_server.grants.rules import Decision
    from auth_server.storage.grants import NewGrant, StoredGrant
    from auth_server.storage.permissions import Standing


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


@dataclass(frozen=True, slots=True)
class Seen:
    """Who asks, for people to recognise: the peer's IP address and the User-Agent, both as far as they are known."""

    address: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A grant, and the refresh token that keeps it open; None for one that has none."""

    grant: Grant
    refresh_token: str | None = field(default=None, repr=False)


def grant_of(
    session: "NewGrant | StoredGrant", decision: "Decision", standing: "Standing", *, list_uri: str, deadline: int
) -> Grant:
    """What the next token of a session says. An attribute that the user lacks, or that is null, makes no claim."""
    user_id = session.user_id
    return Grant(
        subject=session.client_id if user_id is None else str(user_id),
        client_id=session.client_id,
        audience=decision.audience,
        scopes=decision.scopes,
        roles=standing.roles,
        claims={
            claim: standing.attributes[attribute]
            for claim, attribute in decision.claims.items()
            if standing.attributes.get(attribute) is not None
        },
        auth_time=None if user_id is None else int(session.created_at.timestamp()),
        access_token_seconds=standing.access_token_seconds,
        session_id=str(session.id),
        status=StatusEntry(session.status_list, session.status_index, list_uri),
        deadline=deadline,
    )
