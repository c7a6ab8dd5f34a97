"""A person's own access token at the account API: the token of the request, and the challenge where it will not do."""

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from auth_server.http.credentials import MalformedCredentialsError, bearer_token
from auth_server.http.responses import NO_STORE
from farseal.problems import problem

if TYPE_CHECKING:
    from auth_server.http.services import Services
    from auth_server.tokens.own import OwnToken

REALM: Final = "farseal"


def presented(services: "Services", request: web.Request, *, kind: str, now: int) -> "OwnToken | web.Response":
    """The access token of ours that the request carries, unexpired, or the answer to one without.

    What is not ours is one answer, whatever is wrong with it. That a token of ours has expired is told: its client is
    to refresh.
    """
    try:
        token = bearer_token(request.headers.getall(hdrs.AUTHORIZATION, []))
    except MalformedCredentialsError as error:
        return refused(services, kind, 400, "credentials_malformed", str(error), error="invalid_request")
    if token is None:
        return refused(services, kind, 401, "credentials_missing", "an access token is needed")
    access = services.own_tokens.read(token)
    if access is None:
        return refused(
            services, kind, 401, "token_invalid", "not an access token of this server", error="invalid_token"
        )
    if access.has_expired(now):
        return refused(services, kind, 401, "token_expired", "the access token has expired", error="invalid_token")
    return access


def refused(
    services: "Services",
    kind: str,
    status: int,
    code: str,
    detail: str,
    *,
    error: str | None = None,
    scope: str | None = None,
) -> web.Response:
    """Count a refusal and answer it, with the challenge of RFC 6750 section 3.

    Args:
        error: of section 3.1; None where the request carried no token, and then nothing more is said.
        scope: that is needed.
    """
    services.count(kind, code)
    attributes = [f'realm="{REALM}"']
    if error is not None:
        attributes += [f'error="{error}"', f'error_description="{detail}"']
    if scope is not None:
        attributes.append(f'scope="{scope}"')
    return problem(
        status, code, detail=detail, headers={**NO_STORE, "WWW-Authenticate": "Bearer " + ", ".join(attributes)}
    )
