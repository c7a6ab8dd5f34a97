"""``POST /oauth2/introspect``: what a token is, for those who want to ask (RFC 7662)."""

from typing import Final

from aiohttp import web

from auth_server.http.client_auth import CLIENT_PARAMETERS, authenticated
from auth_server.http.oauth_request import OAuthRefused, parameters
from auth_server.http.responses import json_answer
from auth_server.http.services import SERVICES, Services

KIND: Final = "introspect"

_ONCE: Final = ("token", "token_type_hint", *CLIENT_PARAMETERS)
_MISSING: Final = OAuthRefused("invalid_request", "token is missing")
_INACTIVE: Final = {"active": False}
"""All that is said of what the caller may not know of (RFC 7662 section 2.2)."""


async def post_oauth_introspect(request: web.Request) -> web.Response:
    """Tell a client with a secret whether a token is good at this moment, and what it says.

    No server of ours needs this: the published documents tell the same within their bound. It is for the one call that
    cannot wait for that, and for programs that verify nothing themselves.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    form = await parameters(request, once=_ONCE)
    if isinstance(form, OAuthRefused):
        return _refuse(services, form)
    client = await authenticated(request, form, services.accounts, public=False)
    if isinstance(client, OAuthRefused):
        return _refuse(services, client)
    token = form.get("token")
    if token is None:
        return _refuse(services, _MISSING)
    found = await services.introspection.describe(token, client=client, now=now)
    services.count(KIND, "inactive" if found is None else "active", client_id=client.id)
    return json_answer(_INACTIVE if found is None else found)


def _refuse(services: Services, refused: OAuthRefused) -> web.Response:
    services.count(KIND, refused.error)
    return refused.answer()
