"""``POST /oauth2/revoke``: a client gives a token back (RFC 7009)."""

from typing import TYPE_CHECKING, Final
from uuid import UUID

from aiohttp import web

from auth_server.grants import refresh_tokens
from auth_server.http.client_auth import asked_about
from auth_server.http.oauth_request import OAuthRefused
from auth_server.http.responses import NO_STORE
from auth_server.http.services import SERVICES, Services

if TYPE_CHECKING:
    from auth_server.storage.clients import Client

KIND: Final = "revoke"


async def post_oauth_revoke(request: web.Request) -> web.Response:
    """End the session of a refresh token or an access token (RFC 7009 section 2.1).

    A token that is unknown, expired, or another client's changes nothing and gets the same empty 200 (section 2.2), so
    that nobody learns of a token by trying. A wrong hint keeps no token alive.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    asked = await asked_about(request, services.accounts, public=True)
    if isinstance(asked, OAuthRefused):
        services.count(KIND, asked.error)
        return asked.answer()
    client, token = asked
    session_id = await _session_of(services, token, client, now=now)
    ended = () if session_id is None else await services.sessions.end(ids=(session_id,), by="revoked", now=now)
    services.count(KIND, "ended" if ended else "nothing", client_id=client.id, sid=session_id)
    return web.Response(headers=NO_STORE)


async def _session_of(services: Services, token: str, client: "Client", *, now: int) -> UUID | None:
    """The session that the token belongs to, if it is the client's own."""
    if token.startswith(refresh_tokens.PREFIX):
        # One past a deadline too: it refreshes no more, and yet its last access token may be alive.
        grant = await services.sessions.session_of(token)
        return grant.id if grant is not None and grant.client_id == client.id else None
    access = services.own_tokens.read(token)
    if access is None or access.has_expired(now) or access.client_id != client.id:
        return None
    return access.sid
