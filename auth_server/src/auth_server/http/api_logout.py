"""``POST /api/logout``: whoever holds an access token ends its session."""

from typing import Final

from aiohttp import web

from auth_server.http import bearer
from auth_server.http.responses import NO_STORE
from auth_server.http.services import SERVICES

PATH: Final = "/api/logout"

KIND: Final = "logout"


async def post_api_logout(request: web.Request) -> web.Response:
    """End the session that the token belongs to: all its access tokens, at every audience, and its refresh token.

    Any access token of the session will do, whatever it is for: who holds one can do worse than end it, and a client
    that logs out must not need another token for that. 204 also when the session had ended before.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    access = bearer.presented(services, request, kind=KIND, now=now)
    if isinstance(access, web.Response):
        return access
    ended = await services.sessions.end(ids=(access.sid,), by="logout", now=now)
    services.count(KIND, "ended" if ended else "nothing", client_id=access.client_id, sid=access.sid)
    return web.Response(status=204, headers=NO_STORE)
