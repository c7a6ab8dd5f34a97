"""``POST /oauth2/introspect``: what a token is, for those who want to ask (RFC 7662)."""

from typing import Final

from aiohttp import web

from auth_server.http.client_auth import asked_about
from auth_server.http.oauth_request import OAuthRefused
from auth_server.http.responses import json_answer
from auth_server.http.services import SERVICES

KIND: Final = "introspect"

_INACTIVE: Final = {"active": False}
"""All that is said of what the caller may not know of (RFC 7662 section 2.2)."""


async def post_oauth_introspect(request: web.Request) -> web.Response:
    """Tell a client with a secret whether a token is good at this moment, and what it says.

    No server of ours needs this: the published documents tell the same within their bound. It is for the one call that
    cannot wait for that, and for programs that verify nothing themselves.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    asked = await asked_about(request, services.accounts, public=False)
    if isinstance(asked, OAuthRefused):
        services.count(KIND, asked.error)
        return asked.answer()
    client, token = asked
    found = await services.introspection.describe(token, client=client, now=now)
    services.count(KIND, "inactive" if found is None else "active", client_id=client.id)
    return json_answer(_INACTIVE if found is None else found)
