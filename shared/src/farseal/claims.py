"""From the payload of a token whose signature holds to a frozen `AccessClaims`; its lifetime against a given now."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from farseal.errors import (
    AudienceMismatchError,
    ExpiredTokenError,
    MalformedClaimsError,
    NotYetValidError,
)
from farseal.identifiers import split_scope
from farseal.status_list import StatusReference, is_list_uri
from farseal.vocabulary import MAX_TIME

MAX_IDENTIFIER_CHARS: Final = 1024
"""Of ``iss``, ``sub``, ``client_id``, ``jti`` and ``sid``: they become map keys, columns and log fields."""

MAX_LIST_ITEMS: Final = 256
"""Of ``aud``, ``scope``, ``roles``, ``groups`` and ``entitlements``."""

MAPPABLE_CLAIMS: Final = ("scope", "roles", "groups", "entitlements", "client_id")
"""What issuers call by names of their own. What decides whose token it is, for whom and how long, is never mapped."""

_NONE: Final[frozenset[str]] = frozenset()
_NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})
_TYPED: Final = frozenset(
    {
        "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "roles", "groups", "entitlements",
        "auth_time", "sid", "status",
    }
)  # fmt: skip


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified access token says (RFC 9068 section 2.2). Only a `Verifier` should make one.

    Times are seconds since the epoch. ``extra`` holds every claim that has no field of its own, unchecked but for
    being strict JSON. No claim can be put in, replaced or taken out; a list or an object in it is as it was parsed and
    not protected (a copy of each would be paid for by every request). Nobody should change one: it is shared by all who
    look at this token's claims, though never with another verification.
    """

    issuer: str
    subject: str
    client_id: str
    audience: tuple[str, ...]
    expires_at: int
    issued_at: int
    not_before: int | None
    token_id: str
    scopes: frozenset[str]
    roles: frozenset[str]
    groups: frozenset[str]
    entitlements: frozenset[str]
    auth_time: int | None
    session_id: str | None
    extra: Mapping[str, Any]
    status: StatusReference | None = None


def parse_access_claims(payload: Mapping[str, Any], *, with_status: bool = True) -> AccessClaims:
    """Check each claim's presence and type (RFC 9068 sections 2.2 and 4), not yet its value against anything.

    ``scope`` is split on one space only (RFC 6749 section 3.3): Python's own split also takes tabs and no-break spaces.

    Args:
        payload: of the token.
        with_status: whether ``status`` is what the Token Status List makes of it; else it is a claim like any other,
            for there are issuers that had a claim of this name before.

    Raises:
        MalformedClaimsError: a required claim is missing, or one is not of its type or bounds.
    """
    get = payload.get
    extra = {name: payload[name] for name in payload.keys() - _TYPED}
    status = None
    if "status" in payload:
        if with_status:
            status = _status(payload["status"])
        else:
            extra["status"] = payload["status"]
    return AccessClaims(
        issuer=_identifier("iss", get("iss")),
        subject=_identifier("sub", get("sub")),
        client_id=_identifier("client_id", get("client_id")),
        audience=_audience(get("aud")),
        expires_at=_time("exp", get("exp")),
        issued_at=_time("iat", get("iat")),
        not_before=_time("nbf", payload["nbf"]) if "nbf" in payload else None,
        token_id=_identifier("jti", get("jti")),
        scopes=_scopes(payload["scope"]) if "scope" in payload else _NONE,
        roles=_names("roles", payload["roles"]) if "roles" in payload else _NONE,
        groups=_names("groups", payload["groups"]) if "groups" in payload else _NONE,
        entitlements=_names("entitlements", payload["entitlements"]) if "entitlements" in payload else _NONE,
        auth_time=_time("auth_time", payload["auth_time"]) if "auth_time" in payload else None,
        session_id=_identifier("sid", payload["sid"]) if "sid" in payload else None,
        extra=MappingProxyType(extra) if extra else _NO_CLAIMS,
        status=status,
    )


def mapped_claims(payload: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """The payload of an issuer that has other names for some claims, in ours. To be read by `parse_access_claims`.

    A claim of ours that is mapped comes from the issuer's alone: what the token has under our name is not looked at,
    for it means something else there. The issuer's own claim stays beside it. A list of scope-tokens is taken for a
    ``scope``, because those who have another name for it tend to write it so; everything else keeps its type, and is
    required or not as ever.

    Args:
        payload: of a token whose signature has been verified.
        names: ours, one of `MAPPABLE_CLAIMS`, to the issuer's.
    """
    mapped = {name: value for name, value in payload.items() if name not in names}
    for ours, theirs in names.items():
        if theirs in payload:
            value = payload[theirs]
            mapped[ours] = _one_text(value) if ours == "scope" and type(value) is list else value
    return mapped


def check_lifetime(claims: AccessClaims, *, now: int, leeway: int) -> None:
    """Refuse a token outside [max(nbf, iat), exp), widened by ``leeway`` at both ends.

    One leeway for every time claim: a verifier whose clock is a few seconds behind must not refuse each new token
    because of ``iat`` while it forgives ``exp``.

    Args:
        claims: of a token whose signature has been verified.
        now: seconds since the epoch.
        leeway: seconds of clock skew to forgive, 0 or more.

    Raises:
        ExpiredTokenError: ``now`` is at or after ``exp`` plus ``leeway`` (RFC 7519 section 4.1.4).
        NotYetValidError: ``now`` is before ``nbf`` or ``iat`` minus ``leeway`` (4.1.5, 4.1.6).
    """
    if now >= claims.expires_at + leeway:
        raise ExpiredTokenError("The token has expired")
    if claims.issued_at > now + leeway:
        raise NotYetValidError("The token was issued in the future")
    if claims.not_before is not None and claims.not_before > now + leeway:
        raise NotYetValidError("The token is not valid yet")


def check_audience(claims: AccessClaims, audience: str) -> None:
    """``aud`` must contain this service's identifier, byte for byte (RFC 9068 section 4, RFC 7519 section 4.1.3).

    Raises:
        AudienceMismatchError: it does not.
    """
    if audience not in claims.audience:
        raise AudienceMismatchError("The token is for another audience")


def _identifier(name: str, value: object) -> str:
    if type(value) is not str or not value or len(value) > MAX_IDENTIFIER_CHARS or not value.isprintable():
        raise MalformedClaimsError(f"The {name} claim is missing or not an identifier")
    return value


def _time(name: str, value: object) -> int:
    # An exact type: bool is an int to Python, and "1e9" a float. Fractions are refused because exp decides at a second.
    if type(value) is not int or not 0 <= value <= MAX_TIME:
        raise MalformedClaimsError(f"The {name} claim is missing or not a time in whole seconds")
    return value


def _status(value: object) -> StatusReference | None:
    """The reference to a list (Token Status List section 6.1). None where the status is told by other means only."""
    if type(value) is not dict:
        raise MalformedClaimsError("The status claim is not an object")
    if "status_list" not in value:
        return None
    said = value["status_list"]
    uri, index = (said.get("uri"), said.get("idx")) if type(said) is dict else (None, None)
    if type(index) is not int or index < 0 or not is_list_uri(uri):
        raise MalformedClaimsError("The status claim does not name an entry of a status list")
    return StatusReference(uri, index)


def _audience(value: object) -> tuple[str, ...]:
    if type(value) is str:
        return (_identifier("aud", value),)
    if type(value) is not list or not 0 < len(value) <= MAX_LIST_ITEMS:
        raise MalformedClaimsError("The aud claim is missing or neither a string nor a list of strings")
    for item in value:
        _identifier("aud", item)
    return tuple(value)


def _scopes(value: object) -> frozenset[str]:
    if type(value) is not str:
        raise MalformedClaimsError("The scope claim is not a string")
    if not value:
        return _NONE
    if value.count(" ") >= MAX_LIST_ITEMS:
        raise MalformedClaimsError(f"The scope claim has more than {MAX_LIST_ITEMS} scopes")
    try:
        return frozenset(split_scope(value))
    except ValueError:
        raise MalformedClaimsError("The scope claim is not scopes with single spaces between them") from None


def _one_text(items: list[object]) -> object:
    """Scope-tokens as one ``scope``; the list itself, to be refused, where an item is not one token."""
    texts = [item for item in items if type(item) is str and item and " " not in item]
    return " ".join(texts) if len(texts) == len(items) else items


def _names(name: str, value: object) -> frozenset[str]:
    if type(value) is not list or len(value) > MAX_LIST_ITEMS or not all(type(item) is str for item in value):
        raise MalformedClaimsError(f"The {name} claim is not a list of strings")
    return frozenset(value)
