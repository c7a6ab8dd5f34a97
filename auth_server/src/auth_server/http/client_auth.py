"""Which client is asking: ``client_secret_basic``, ``client_secret_post`` and ``none`` (RFC 6749 section 2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from auth_server.accounts.service import Refused
from auth_server.http.credentials import (
    MalformedCredentialsError,
    SchemeRefusedError,
    basic_credentials,
    form_decoded,
)
from auth_server.http.oauth_request import OAuthRefused, parameters
from auth_server.http.responses import BASIC_CHALLENGE

if TYPE_CHECKING:
    from auth_server.accounts.service import Accounts, Client
    from farseal.service.forms import Form

CLIENT_PARAMETERS: Final = ("client_id", "client_secret")
"""What a client may say of itself in the body; none of it twice."""

_MISSING: Final = OAuthRefused("invalid_client", "client authentication is missing", status=401)

_ABOUT_A_TOKEN: Final = ("token", "token_type_hint", *CLIENT_PARAMETERS)
_NO_TOKEN: Final = OAuthRefused("invalid_request", "token is missing")


@dataclass(frozen=True, slots=True)
class Presented:
    """What a client says of itself. ``secret`` None: only its id, as a client without a secret does."""

    client_id: str
    secret: str | None = field(repr=False)


def presented(authorization: Sequence[str], form: "Form") -> Presented | OAuthRefused:
    """What the client authenticates with, in one way (RFC 6749 sections 2.3.1 and 3.2.1).

    Two ways at once, two ids, and headers that cannot be read are 400 ``invalid_request``; nothing at all, and another
    scheme than Basic, are 401 ``invalid_client``.

    Args:
        authorization: the values of all ``Authorization`` headers.
        form: the parameters, of which none of `CLIENT_PARAMETERS` is repeated.
    """
    client_id, secret = form.get("client_id"), form.get("client_secret")
    try:
        basic = basic_credentials(authorization)
        if basic is None:
            return _MISSING if client_id is None else Presented(client_id, secret)
        if secret is not None:
            return OAuthRefused("invalid_request", "the client authenticates in two ways at once")
        basic = form_decoded(basic)
    except SchemeRefusedError:
        return OAuthRefused(
            "invalid_client", "the authentication scheme must be Basic", status=401, headers=BASIC_CHALLENGE
        )
    except MalformedCredentialsError as error:
        return OAuthRefused("invalid_request", str(error))
    if client_id is not None and client_id != basic.name:
        return OAuthRefused("invalid_request", "client_id names another client than the Authorization header")
    return Presented(basic.name, basic.secret)


async def asked_about(
    request: web.Request, accounts: "Accounts", *, public: bool
) -> "tuple[Client, str] | OAuthRefused":
    """The client that asks about a token, and the token: the request of RFC 7009 section 2.1 and RFC 7662 section 2.1.

    ``token_type_hint`` is not needed: the two kinds are told apart by their looks, and a wrong hint changes nothing.

    Args:
        public: see `authenticated`.

    Raises:
        DatabaseUnavailable: 503.
    """
    form = await parameters(request, once=_ABOUT_A_TOKEN)
    if isinstance(form, OAuthRefused):
        return form
    client = await authenticated(request, form, accounts, public=public)
    if isinstance(client, OAuthRefused):
        return client
    token = form.get("token")
    return _NO_TOKEN if token is None else (client, token)


async def authenticated(
    request: web.Request, form: "Form", accounts: "Accounts", *, public: bool
) -> "Client | OAuthRefused":
    """The client that asks, as far as it can prove that.

    A wrong secret, an unknown and a disabled client, and one that has a secret and does not show it, are one answer:
    401 ``invalid_client``, with a challenge where the ``Authorization`` header was used (RFC 6749 section 5.2).

    Args:
        public: whether a client without a secret may ask, which has nothing to prove itself by.

    Raises:
        DatabaseUnavailable: 503.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    said = presented(headers, form)
    if isinstance(said, OAuthRefused):
        return said
    if said.secret is not None:
        client = await accounts.authenticate_client(said.client_id, said.secret)
    elif public:
        client = await accounts.public_client(said.client_id)
    else:
        return _MISSING
    if isinstance(client, Refused):
        challenge = BASIC_CHALLENGE if headers else {}
        return OAuthRefused("invalid_client", "client authentication failed", status=401, headers=challenge)
    return client
