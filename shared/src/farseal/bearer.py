"""RFC 6750 as text: the token out of the ``Authorization`` header, the challenge into ``WWW-Authenticate``."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from farseal.errors import VerificationError
from farseal.identifiers import quotable

# RFC 6750 section 2.1: "Bearer" 1*SP b64token. The scheme is a token of RFC 9110 section 5.6.2, compared without case.
_SCHEME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_AFTER_SCHEME: Final = re.compile(r" +([A-Za-z0-9._~+/-]+=*)")


class CredentialsMalformedError(VerificationError):
    """The request says who it is twice, or not in the one way of RFC 6750 section 2.1 (400, section 3.1)."""

    code = "credentials_malformed"
    status = 400
    error = "invalid_request"


def bearer_token(authorization: Sequence[str]) -> str | None:
    """The token that a request presents, or None where it presents none.

    Only the header counts: a token in the query string or the body is not looked for (RFC 9700 section 4.3.2). Another
    scheme than Bearer is as good as no credentials, since it may be meant for a proxy on the way.

    Args:
        authorization: the values of all ``Authorization`` headers of the request.

    Raises:
        CredentialsMalformedError: two headers, or Bearer without exactly one token after it.
    """
    if not authorization:
        return None
    if len(authorization) > 1:
        raise CredentialsMalformedError("The request has more than one Authorization header")
    value = authorization[0]
    scheme = _SCHEME.match(value)
    if scheme is None or scheme[0].lower() != "bearer":
        return None
    token = _AFTER_SCHEME.fullmatch(value, scheme.end())
    if token is None:
        raise CredentialsMalformedError("The Authorization header does not hold exactly one bearer token")
    return token[1]


def challenge(
    realm: str,
    *,
    error: str | None = None,
    description: str | None = None,
    scopes: Iterable[str] = (),
    resource_metadata: str | None = None,
) -> str:
    """The value of ``WWW-Authenticate`` (RFC 6750 section 3, RFC 9728 section 5.1).

    A request without credentials is told neither error nor description (section 3.1). Characters that an attribute may
    not hold become ``?``, whoever put them there, so that no value can end its quotes, its header or the response.
    """
    attributes = [("realm", realm)]
    if error is not None:
        attributes.append(("error", error))
        if description:
            attributes.append(("error_description", description))
    if scope := " ".join(sorted(scopes)):
        attributes.append(("scope", scope))
    if resource_metadata is not None:
        attributes.append(("resource_metadata", resource_metadata))
    return "Bearer " + ", ".join(f'{name}="{quotable(value)}"' for name, value in attributes)
