"""``POST /oauth2/token``: the token endpoint of RFC 6749 section 3.2."""

from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web

from auth_server.accounts.service import Refused
from auth_server.grants.service import GrantRefused
from auth_server.http.credentials import (
    Credentials,
    MalformedCredentialsError,
    SchemeRefusedError,
    basic_credentials,
    form_decoded,
)
from auth_server.http.responses import BASIC_CHALLENGE, json_answer, oauth_error
from auth_server.http.services import SERVICES, Services
from auth_server.terms import GRANT_TYPES
from farseal.service.bodies import read_form
from farseal.service.forms import Form

_KIND: Final = "client_credentials"

_ONCE: Final = ("grant_type", "scope", "client_id", "client_secret")
"""Parameters that mean something here; ``resource`` may repeat (RFC 8707 section 2), others are ignored."""


class ClientAuthError(Exception):
    """The request does not say once, and legibly, which client asks (RFC 6749 section 5.2): 400 or 401."""

    def __init__(self, error: str, description: str, *, status: int = 400, challenge: bool = False) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.headers: Mapping[str, str] = BASIC_CHALLENGE if challenge else {}


async def post_oauth_token(request: web.Request) -> web.Response:
    """Give a client a token of its own (RFC 6749 section 4.4).

    Parameters count in the body only (section 3.2); the query is never read. A wrong secret, an unknown and a disabled
    client are one answer: 401 ``invalid_client``.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    form = await read_form(request)
    if repeated := [name for name in form.repeated() if name in _ONCE]:
        return _refuse(services, "invalid_request", f"{repeated[0]} is sent more than once")
    grant_type = form.get("grant_type")
    if grant_type is None:
        return _refuse(services, "invalid_request", "grant_type is missing")
    if grant_type not in GRANT_TYPES:
        return _refuse(services, "unsupported_grant_type", f"only {' '.join(GRANT_TYPES)} is supported")
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    try:
        presented = client_credentials(headers, form)
    except ClientAuthError as error:
        return _refuse(services, error.error, error.description, status=error.status, headers=error.headers)

    client = await services.accounts.authenticate_client(presented.name, presented.secret)
    if isinstance(client, Refused):
        challenge = BASIC_CHALLENGE if headers else {}
        return _refuse(services, "invalid_client", "client authentication failed", status=401, headers=challenge)
    grant = await services.grants.for_client(client, scope=form.get("scope"), resources=form.get_all("resource"))
    if isinstance(grant, GrantRefused):
        return _refuse(services, grant.error, grant.description)
    token = await services.issue(grant, kind=_KIND, now=now)
    return json_answer(token.body())


def client_credentials(authorization: list[str], form: Form) -> Credentials:
    """What the client authenticates with: ``client_secret_basic`` or ``client_secret_post`` (RFC 6749 section 2.3.1).

    Raises:
        ClientAuthError: neither, both, or a header that cannot be read.
    """
    client_id, secret = form.get("client_id"), form.get("client_secret")
    try:
        basic = basic_credentials(authorization)
        if basic is None:
            if client_id is None or secret is None:
                raise ClientAuthError("invalid_client", "client authentication is missing", status=401)
            return Credentials(client_id, secret)
        if secret is not None:
            raise ClientAuthError("invalid_request", "the client authenticates in two ways at once")
        basic = form_decoded(basic)
    except SchemeRefusedError:
        raise ClientAuthError(
            "invalid_client", "the authentication scheme must be Basic", status=401, challenge=True
        ) from None
    except MalformedCredentialsError as error:
        raise ClientAuthError("invalid_request", str(error)) from None
    if client_id is not None and client_id != basic.name:
        raise ClientAuthError("invalid_request", "client_id names another client than the Authorization header")
    return basic


def error_form(status: int, code: str, detail: str | None, headers: Mapping[str, str]) -> web.Response:
    """What goes wrong before or around the handler, in the words of RFC 6749 section 5.2.

    The status stays: 413, 415 and 503 say more than 400 would. ``temporarily_unavailable`` and ``server_error`` are
    borrowed from section 4.1.2.1.
    """
    error = "invalid_request" if status < 500 else "temporarily_unavailable" if status == 503 else "server_error"
    return oauth_error(error, detail or code, status=status, headers=headers)


def _refuse(
    services: Services, error: str, description: str, *, status: int = 400, headers: Mapping[str, str] | None = None
) -> web.Response:
    services.refuse(_KIND, error)
    return oauth_error(error, description, status=status, headers=headers)
