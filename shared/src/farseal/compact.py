"""A compact JWS taken apart, before anything in it has been verified (RFC 7515 section 7.1)."""

from dataclasses import dataclass
from typing import Any, Final

from farseal.encoding import EncodingError, b64url_decode, parse_json_object
from farseal.errors import (
    AlgorithmRefusedError,
    CriticalHeaderError,
    KeyUnknownError,
    MalformedTokenError,
    TokenTooLargeError,
    TypeRefusedError,
)
from farseal.jwks import is_kid
from farseal.vocabulary import ACCESS_TOKEN_TYPE, ALGORITHM, STATUS_LIST_TYPE

MAX_TOKEN_BYTES: Final = 16_384
"""Twice what common servers take as a whole header line; bounds every later step."""

MAX_TOKEN_DEPTH: Final = 8
"""Levels of JSON in a header or payload."""

_KINDS: Final = {ACCESS_TOKEN_TYPE: "an access token", STATUS_LIST_TYPE: "a status list"}


@dataclass(slots=True)
class UnverifiedToken:
    """The parts as the sender wrote them. Nothing here may be believed: claims come from `Verifier` alone."""

    header: dict[str, Any]
    payload: dict[str, Any]
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "UnverifiedToken(...)"


@dataclass(slots=True)
class SealedToken:
    """The parts of what may be far larger than a token. ``payload`` is not even decoded: verify the signature first."""

    header: dict[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "SealedToken(...)"


def take_apart_sealed(token: bytes, *, max_bytes: int) -> SealedToken:
    """Three parts, of which the first and the last are canonical base64url, and the first a strict JSON object.

    Whatever ``max_bytes`` allows, what is parsed is no larger than a token. JSON of megabytes can be such that reading
    it keeps every other thread waiting for a second, and a signature costs no more than to hash it.

    Raises:
        TokenTooLargeError: longer than ``max_bytes``, or its header and signature than `MAX_TOKEN_BYTES`.
        MalformedTokenError: anything else that keeps it from being these parts.
    """
    if len(token) > max_bytes:
        raise TokenTooLargeError("The token is too large")
    parts = token.split(b".", 3)
    if len(parts) != 3:
        raise MalformedTokenError("The token does not have three parts")
    if len(parts[0]) + len(parts[2]) > MAX_TOKEN_BYTES:
        raise TokenTooLargeError("The header or the signature of the token is too large")
    try:
        header = parse_json_object(b64url_decode(parts[0]), max_depth=MAX_TOKEN_DEPTH)
        return SealedToken(header, parts[1], token[: -len(parts[2]) - 1], b64url_decode(parts[2]))
    except EncodingError as error:
        raise MalformedTokenError(f"The token is malformed: {error}") from None


def take_apart(token: str | bytes, *, max_bytes: int = MAX_TOKEN_BYTES) -> UnverifiedToken:
    """Three canonical base64url parts, the first two strict JSON objects.

    Args:
        token: compact serialization, as it came.
        max_bytes: of all of it, and so of each part.

    Raises:
        TokenTooLargeError: longer than ``max_bytes``; nothing was decoded.
        MalformedTokenError: anything else that keeps it from being a compact JWS in its one spelling.
    """
    if len(token) > max_bytes:
        raise TokenTooLargeError("The token is too large")
    if isinstance(token, str):
        try:
            token = token.encode("ascii")
        except UnicodeEncodeError:
            raise MalformedTokenError("The token has characters outside base64url") from None
    parts = token.split(b".", 3)
    if len(parts) != 3:
        raise MalformedTokenError("The token does not have three parts")
    try:
        return UnverifiedToken(
            parse_json_object(b64url_decode(parts[0]), max_bytes=max_bytes, max_depth=MAX_TOKEN_DEPTH),
            parse_json_object(b64url_decode(parts[1]), max_bytes=max_bytes, max_depth=MAX_TOKEN_DEPTH),
            token[: -len(parts[2]) - 1],
            b64url_decode(parts[2]),
        )
    except EncodingError as error:
        raise MalformedTokenError(f"The token is malformed: {error}") from None


def check_header(header: dict[str, Any], kind: str = ACCESS_TOKEN_TYPE) -> str:
    """Hold the header to RFC 9068 section 2.1 and RFC 8725 section 3, and give its ``kid``.

    Kinds of JWT are never exchanged for one another: ``kind`` is the one ``typ``, also as a whole media type, that is
    taken here (RFC 8725 section 3.11).

    ``jku``, ``jwk``, ``x5u`` and ``x5c`` are not looked at: a key never comes from the token.

    Raises:
        AlgorithmRefusedError, TypeRefusedError, CriticalHeaderError: as their names say.
        MalformedTokenError: the header speaks of encryption or compression.
        KeyUnknownError: ``kid`` is missing or cannot be one.
    """
    if header.get("alg") != ALGORITHM:
        raise AlgorithmRefusedError("The algorithm of the token is not RS256")
    typ = header.get("typ")
    if typ != kind and not (
        isinstance(typ, str) and typ.isascii() and typ.lower().removeprefix("application/") == kind
    ):
        raise TypeRefusedError(f"The token is not {_KINDS[kind]} (typ {kind})")
    if "crit" in header or ("b64" in header and header["b64"] is not True):
        raise CriticalHeaderError("The token asks for an extension that is not supported")
    if "zip" in header or "enc" in header:
        raise MalformedTokenError("The token asks for compression or encryption")
    kid = header.get("kid")
    if not isinstance(kid, str) or not is_kid(kid):
        raise KeyUnknownError("The token does not name a key")
    return kid
