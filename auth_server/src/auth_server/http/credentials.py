"""Credentials in an ``Authorization`` header (pure): Basic (RFC 7617, RFC 6749 section 2.3.1), Bearer (RFC 6750)."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_plus

_MAX_HEADER_CHARACTERS: Final = 4096
"""Longer is no name and password, whatever the HTTP server lets through."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BEARER: Final = re.compile(r"bearer(?![!#$%&'*+.^_`|~0-9A-Za-z-])", re.IGNORECASE)
_TOKEN: Final = re.compile(r" +([A-Za-z0-9._~+/-]+=*)")


class MalformedCredentialsError(Exception):
    """The header is not what RFC 7617 or RFC 6750 says. The message never quotes it."""


class SchemeRefusedError(Exception):
    """Another scheme than Basic."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and its secret, as sent. Nothing about them is known to be true."""

    name: str
    secret: str = field(repr=False)


def basic_credentials(headers: Sequence[str]) -> Credentials | None:
    """The credentials in the values of all ``Authorization`` headers; None when there are none.

    The name ends at the first colon, the text is UTF-8 and holds no control character (RFC 7617 section 2).

    Raises:
        SchemeRefusedError: the scheme, compared without case, is not Basic.
        MalformedCredentialsError: several headers, or one that cannot be read.
    """
    if not headers:
        return None
    if len(headers) > 1:
        raise MalformedCredentialsError("more than one Authorization header")
    scheme, _, encoded = headers[0].partition(" ")
    if scheme.lower() != "basic":
        raise SchemeRefusedError
    if len(encoded) > _MAX_HEADER_CHARACTERS:
        raise MalformedCredentialsError("the credentials are too long")
    try:
        text = base64.b64decode(encoded.strip(" ").encode("ascii"), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError):
        raise MalformedCredentialsError("the credentials are not base64 of UTF-8") from None
    name, colon, secret = text.partition(":")
    if not colon:
        raise MalformedCredentialsError("the credentials hold no colon")
    if _CONTROL.search(text):
        raise MalformedCredentialsError("the credentials hold a control character")
    return Credentials(name, secret)


def form_decoded(credentials: Credentials) -> Credentials:
    """Both parts decoded as ``application/x-www-form-urlencoded``, as clients must encode them (RFC 6749 2.3.1).

    Raises:
        MalformedCredentialsError: a broken escape, or one of bytes that are no UTF-8 or a control character.
    """
    return Credentials(_decoded(credentials.name), _decoded(credentials.secret))


def _decoded(part: str) -> str:
    try:
        text = unquote_plus(part, errors="strict")
    except UnicodeError:
        raise MalformedCredentialsError("the credentials are not form-urlencoded UTF-8") from None
    if _BROKEN_ESCAPE.search(part) or _CONTROL.search(text):
        raise MalformedCredentialsError("the credentials are not form-urlencoded text")
    return text


def bearer_token(headers: Sequence[str]) -> str | None:
    """The token in the values of all ``Authorization`` headers (RFC 6750 section 2.1); None when there is none.

    Only the header counts: a token in the query or the body is not looked for. Another scheme than Bearer, compared
    without case, is as good as no credentials.

    Raises:
        MalformedCredentialsError: several headers, or Bearer without exactly one token after it.
    """
    if not headers:
        return None
    if len(headers) > 1:
        raise MalformedCredentialsError("more than one Authorization header")
    scheme = _BEARER.match(headers[0])
    if scheme is None:
        return None
    token = _TOKEN.fullmatch(headers[0], scheme.end())
    if token is None:
        raise MalformedCredentialsError("the Authorization header does not hold exactly one bearer token")
    return token[1]
