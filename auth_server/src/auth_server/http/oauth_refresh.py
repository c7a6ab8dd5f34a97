"""``grant_type=refresh_token``: another access token of a session (RFC 6749 section 6)."""

from typing import TYPE_CHECKING, Final

from aiohttp import web

from auth_server.grants.refresh_rules import RefreshRefused
from auth_server.grants.rules import GrantRefused
from auth_server.http.oauth_request import OAuthRefused
from auth_server.http.responses import json_answer

if TYPE_CHECKING:
    from auth_server.grants.grant import Seen
    from auth_server.http.services import Services
    from auth_server.storage.clients import Client
    from farseal.service.forms import Form

KIND: Final = "refresh_token"

_REFUSED: Final = OAuthRefused("invalid_grant", "the refresh token is not valid")
_MISSING: Final = OAuthRefused("invalid_request", "refresh_token is missing")


async def refreshed(services: "Services", form: "Form", client: "Client", *, seen: "Seen", now: int) -> web.Response:
    """Exchange a refresh token, for the scopes of the session or fewer.

    Every refusal of the token itself is the same 400 ``invalid_grant`` (section 5.2): nobody learns whether it was
    unknown, another client's, expired or replayed. Logs and figures tell.

    A refresh that is done uses the token up, so everything that the answer takes is reserved before.

    Args:
        client: who asks, as far as it could prove that.

    Raises:
        ProblemError: 503.
    """
    token = form.get("refresh_token")
    if token is None:
        services.refuse(KIND, _MISSING.error)
        return _MISSING.answer()
    with services.reserved() as reserved:
        opened = await services.sessions.refresh(
            token, client=client, scope=form.get("scope"), resources=form.get_all("resource"), seen=seen, now=now
        )
        if isinstance(opened, RefreshRefused):
            services.refuse(KIND, opened.reason)
            return _REFUSED.answer()
        if isinstance(opened, GrantRefused):
            services.refuse(KIND, opened.error)
            return OAuthRefused(opened.error, opened.description).answer()
        issued = await services.issue(opened, kind=KIND, now=now, reserved=reserved)
    return json_answer(issued.body())
