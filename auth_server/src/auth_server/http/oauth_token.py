"""``POST /oauth2/token``: the token endpoint of RFC 6749 section 3.2."""

from typing import TYPE_CHECKING, Final

from aiohttp import web

from auth_server.grants.rules import GrantRefused
from auth_server.http import oauth_refresh
from auth_server.http.client_auth import CLIENT_PARAMETERS, authenticated
from auth_server.http.oauth_request import OAuthRefused, parameters
from auth_server.http.responses import json_answer
from auth_server.http.services import SERVICES, Kind, Services
from auth_server.terms import TOKEN_GRANT_TYPES

if TYPE_CHECKING:
    from auth_server.grants.grant import Seen
    from auth_server.storage.clients import Client
    from farseal.service.forms import Form

_KIND: Final = "client_credentials"

_ONCE: Final = ("grant_type", "scope", "refresh_token", *CLIENT_PARAMETERS)
"""Parameters that mean something here; ``resource`` may repeat (RFC 8707 section 2), others are ignored."""


async def post_oauth_token(request: web.Request) -> web.Response:
    """Give a client a token: of its own (RFC 6749 section 4.4), or another one of a session (section 6).

    Parameters count in the body only (section 3.2); the query is never read. Only a client with a secret can have a
    token of its own (section 4.4); for a refresh token, one without a secret gives its id alone.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    form = await parameters(request, once=_ONCE)
    if isinstance(form, OAuthRefused):
        return _refuse(services, form)
    grant_type = form.get("grant_type")
    if grant_type is None:
        return _refuse(services, OAuthRefused("invalid_request", "grant_type is missing"))
    if grant_type not in TOKEN_GRANT_TYPES:
        told = f"only {' and '.join(TOKEN_GRANT_TYPES)} are supported"
        return _refuse(services, OAuthRefused("unsupported_grant_type", told))
    refreshing = grant_type == oauth_refresh.KIND
    client = await authenticated(request, form, services.accounts, public=refreshing)
    if isinstance(client, OAuthRefused):
        return _refuse(services, client, kind=oauth_refresh.KIND if refreshing else _KIND)
    seen = services.seen(request)
    if refreshing:
        return await oauth_refresh.refreshed(services, form, client, seen=seen, now=now)
    return await _own(services, form, client, seen=seen, now=now)


async def _own(services: Services, form: "Form", client: "Client", *, seen: "Seen", now: int) -> web.Response:
    opened = await services.sessions.for_client(
        client, scope=form.get("scope"), resources=form.get_all("resource"), seen=seen, now=now
    )
    if isinstance(opened, GrantRefused):
        return _refuse(services, OAuthRefused(opened.error, opened.description))
    issued = await services.issue(opened, kind=_KIND, now=now)
    return json_answer(issued.body())


def _refuse(services: Services, refused: OAuthRefused, *, kind: Kind = _KIND) -> web.Response:
    services.refuse(kind, refused.error)
    return refused.answer()
