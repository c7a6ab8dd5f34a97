"""``POST /api/tokens``: a person logs in with username and password and gets an access token, and a refresh token."""

from typing import Annotated, Final

import msgspec
from aiohttp import hdrs, web

from auth_server.accounts.service import Refused, Throttled
from auth_server.grants.rules import GrantRefused
from auth_server.http.credentials import (
    Credentials,
    MalformedCredentialsError,
    SchemeRefusedError,
    basic_credentials,
)
from auth_server.http.responses import BASIC_CHALLENGE, NO_STORE, json_answer
from auth_server.http.services import SERVICES, Services, bounded
from farseal.problems import problem
from farseal.service.bodies import read_json

PATH: Final = "/api/tokens"

_KIND: Final = "login"
_Text = Annotated[str, msgspec.Meta(max_length=2048)]


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The JSON body. ``scope`` is one string with single spaces; every ``resource`` is an audience to be named."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)] | None = None
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)] | None = None
    scope: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    resource: Annotated[list[_Text], msgspec.Meta(max_length=32)] = []

    def __repr__(self) -> str:
        """Nothing of what was sent."""
        return "TokenRequest(...)"


async def post_api_tokens(request: web.Request) -> web.Response:
    """Exchange username and password, by HTTP Basic (RFC 7617) or in the body, for an access token.

    That opens a session; its refresh token is in the answer, unless the login client is set to have none. Unknown user,
    wrong password and disabled account are one answer: 401 ``wrong_credentials``.
    """
    services, now = request.app[SERVICES], request.app[SERVICES].clock()
    try:
        basic = basic_credentials(request.headers.getall(hdrs.AUTHORIZATION, []))
    except SchemeRefusedError:
        return _refuse(services, 401, "scheme_refused", "the scheme must be Basic", headers=BASIC_CHALLENGE)
    except MalformedCredentialsError as error:
        return _refuse(services, 400, "credentials_malformed", str(error))
    # With Basic a body is not needed; without, its absence is told like any wrong media type.
    asked = TokenRequest() if basic and not request.body_exists else await read_json(request, TokenRequest)
    credentials = _choose(basic, asked)
    if isinstance(credentials, str):
        return _refuse(services, 400, credentials, _TOLD[credentials])

    with bounded():
        user = await services.accounts.login(
            credentials.name, credentials.secret, address=services.address_of(request), now=now
        )
    match user:
        case Throttled(retry_after):
            return _refuse(
                services,
                429,
                "too_many_attempts",
                "wait before trying again",
                headers={"Retry-After": str(retry_after)},
            )
        case Refused(reason):
            challenge = BASIC_CHALLENGE if basic else {}
            return _refuse(services, 401, reason, "username or password is wrong", headers=challenge)

    with services.reserved() as reserved:  # before a session is there that nobody would hold
        opened = await services.sessions.log_in(
            user, scope=asked.scope or None, resources=asked.resource, seen=services.seen(request), now=now
        )
        if isinstance(opened, GrantRefused):
            status = 403 if opened.error == "unauthorized_client" else 400
            return _refuse(services, status, opened.error, opened.description)
        token = await services.issue(opened, kind=_KIND, now=now, reserved=reserved)
    return json_answer(token.body())


_TOLD: Final = {
    "credentials_twice": "credentials belong in the Authorization header or in the body, not in both",
    "credentials_missing": "username and password are required, in the body or by HTTP Basic",
}


def _choose(basic: Credentials | None, asked: TokenRequest) -> Credentials | str:
    """The one set of credentials, or the code of what is wrong."""
    in_body = asked.username is not None or asked.password is not None
    if basic is not None:
        return "credentials_twice" if in_body else basic
    if asked.username is None or asked.password is None:
        return "credentials_missing"
    return Credentials(asked.username, asked.password)


def _refuse(
    services: Services, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None
) -> web.Response:
    services.refuse(_KIND, code)
    return problem(status, code, detail=detail, headers={**NO_STORE, **(headers or {})})
