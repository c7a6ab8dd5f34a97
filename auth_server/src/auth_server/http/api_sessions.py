"""``/api/sessions``: a person sees and ends their own sessions."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from auth_server.grants.session_id import session_id
from auth_server.http import bearer
from auth_server.http.responses import NO_STORE, json_answer
from auth_server.http.services import SERVICES, Services
from auth_server.terms import SESSIONS_SCOPE
from farseal.clock import at
from farseal.problems import problem

if TYPE_CHECKING:
    from uuid import UUID

    from auth_server.grants.sessions import Sessions
    from auth_server.storage.grants import EndedGrant, StoredGrant

PATH: Final = "/api/sessions"
ONE: Final = PATH + "/{id}"

MOST: Final = 100
"""Sessions in one answer: 40 kB."""

LIST: Final = "list_sessions"
END: Final = "end_session"


async def get_api_sessions(request: web.Request) -> web.Response:
    """The caller's living sessions, the newest first, as many as `MOST`; ``more`` tells whether there are others.

    They show when newer ones have ended: a program that logs in each minute and never out is a fault to be found, and
    no reason to answer megabytes.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    caller = await _caller(services, request, kind=LIST, now=now)
    if isinstance(caller, web.Response):
        return caller
    user_id, current = caller
    found = await services.sessions.of_user(user_id, now=now, limit=MOST + 1)
    services.count(LIST, "listed", user_id=user_id)
    told = [_told(grant, services.sessions, current) for grant in found[:MOST]]
    return json_answer({"sessions": told, "more": len(found) > MOST})


async def delete_api_session(request: web.Request) -> web.Response:
    """End one of the caller's sessions, the one that asks among them.

    Another person's, one that has ended, and what is no id at all are the same 404: nobody learns what exists.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    caller = await _caller(services, request, kind=END, now=now)
    if isinstance(caller, web.Response):
        return caller
    user_id, _ = caller
    named = session_id(request.match_info["id"])
    found = None if named is None else await services.sessions.find(named)
    ended: tuple[EndedGrant, ...] = ()
    if found is not None and found.user_id == user_id:
        ended = await services.sessions.end(ids=(found.id,), by="logout", now=now)
    if not ended:
        services.count(END, "not_found", user_id=user_id)
        return problem(404, "not_found", detail="no such session", headers=NO_STORE)
    services.count(END, "ended", user_id=user_id, sid=named)
    return web.Response(status=204, headers=NO_STORE)


async def _caller(
    services: Services, request: web.Request, *, kind: str, now: int
) -> "tuple[UUID, UUID] | web.Response":
    """The person who asks, and the session in which they do.

    The token must be for this server and for this: a resource server that holds somebody's token cannot look into
    their other sessions, let alone end them. The session must be living in the database, which knows at once.
    """
    access = bearer.presented(services, request, kind=kind, now=now)
    if isinstance(access, web.Response):
        return access
    if services.account_audience not in access.audience:
        return bearer.refused(
            services, kind, 401, "audience_mismatch", "the access token is not for this server", error="invalid_token"
        )
    if SESSIONS_SCOPE not in access.scopes:
        return bearer.refused(
            services, kind, 403, "scope_insufficient", f"the scope {SESSIONS_SCOPE} is needed",
            error="insufficient_scope", scope=SESSIONS_SCOPE,
        )  # fmt: skip
    grant = await services.sessions.find(access.sid)
    if grant is None or grant.user_id is None or not services.sessions.is_living(grant, now=now):
        return bearer.refused(
            services, kind, 401, "token_revoked", "the session of the access token has ended", error="invalid_token"
        )
    return grant.user_id, grant.id


def _told(grant: "StoredGrant", sessions: "Sessions", current: "UUID") -> dict[str, Any]:
    idle_until = sessions.idle_until(grant)
    return {
        "id": str(grant.id),
        "client_id": grant.client_id,
        "created_at": _moment(grant.created_at),
        "last_used_at": _moment(grant.last_used_at),
        "idle_until": None if idle_until is None else _moment(at(idle_until)),
        "expires_at": _moment(at(sessions.deadline(grant))),
        "address": grant.address,
        "agent": grant.agent,
        "current": grant.id == current,
    }


def _moment(moment: datetime) -> str:
    """RFC 3339, in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
