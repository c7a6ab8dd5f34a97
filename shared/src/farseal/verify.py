"""The one place where a token is judged: compact text, a `TrustSnapshot` and a moment in, `AccessClaims` or an
error out.

PyJWT's ``decode`` is not called, for what it forgives: padding after the signature, UTF-16 payloads, NaN, times written
as text, the last of duplicate members, and a JSON parse of the header for each key tried. What stays of it is its RS256
algorithm over `cryptography`; the strict parsing before it is `farseal.compact`, the claims after it `farseal.claims`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from farseal.claims import (
    MAPPABLE_CLAIMS,
    AccessClaims,
    check_audience,
    check_lifetime,
    mapped_claims,
    parse_access_claims,
)
from farseal.compact import MAX_TOKEN_BYTES, UnverifiedToken, check_header, take_apart
from farseal.errors import (
    IssuerUnknownError,
    KeyRevokedError,
    KeyUnknownError,
    StatusIndexError,
    StatusMissingError,
    StatusUnavailableError,
    TokenRevokedError,
)
from farseal.jwks import VerificationKey
from farseal.signature import check_signature
from farseal.status_list import VALID, StatusPolicy
from farseal.trust import IssuerTrust, Judgement, TrustSnapshot


def _no_names() -> Mapping[str, str]:
    return MappingProxyType({})


def _nothing_else() -> "Mapping[str, IssuerExpectations]":
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class IssuerExpectations:
    """What is expected of the tokens of one issuer, where it differs from the others.

    Args:
        audience: as the issuer knows this service; compared byte for byte with ``aud``.
        claims: our name of a claim to the issuer's, for those of `MAPPABLE_CLAIMS` that it calls otherwise.
        status: what its tokens must say of their status.
    """

    audience: str
    claims: Mapping[str, str] = field(default_factory=_no_names)
    status: StatusPolicy = StatusPolicy.REQUIRE

    def __post_init__(self) -> None:
        if not self.audience:
            raise ValueError("an audience is needed")
        if not set(self.claims) <= set(MAPPABLE_CLAIMS) or not all(self.claims.values()):
            raise ValueError(f"only {', '.join(MAPPABLE_CLAIMS)} are mapped, to a name each")
        StatusPolicy.check(self.status)


@dataclass(frozen=True, slots=True)
class Expectations:
    """What a service expects of every token, fixed when it starts.

    Args:
        audience: this service's identifier, an absolute URI; compared byte for byte with ``aud``.
        issuers: the identifiers of the issuers it trusts; compared byte for byte with ``iss``, never dialled.
        leeway: seconds of clock skew to forgive, applied to every time claim.
        max_token_bytes: longer tokens are refused before anything is decoded.
        of_issuers: what is expected of an issuer's tokens instead, for those that differ; each is among ``issuers``.
        status: what the tokens of the others must say of their status.
    """

    audience: str
    issuers: frozenset[str]
    leeway: int = 30
    max_token_bytes: int = MAX_TOKEN_BYTES
    of_issuers: Mapping[str, IssuerExpectations] = field(default_factory=_nothing_else)
    status: StatusPolicy = StatusPolicy.REQUIRE

    def __post_init__(self) -> None:
        if not self.audience or not self.issuers or not all(self.issuers):
            raise ValueError("an audience and at least one issuer are needed")
        if self.leeway < 0 or self.max_token_bytes <= 0:
            raise ValueError("leeway is 0 or more, max_token_bytes above 0")
        if not self.issuers.issuperset(self.of_issuers):
            raise ValueError("an issuer that is not trusted needs no expectations")
        StatusPolicy.check(self.status)

    def status_of(self, issuer: str) -> StatusPolicy:
        """What the tokens of an issuer must say of their status."""
        own = self.of_issuers.get(issuer)
        return self.status if own is None else own.status


class Verifier:
    """Judges tokens. Holds no state but its expectations: no I/O, no lock, no clock, safe from any thread or task."""

    __slots__ = ("expectations",)

    def __init__(self, expectations: Expectations) -> None:
        self.expectations = expectations

    def verify(self, token: str | bytes, snapshot: TrustSnapshot, *, now: int) -> AccessClaims:
        """The claims of a token that must be honoured (RFC 9068 section 4).

        What is decided without trust is decided first, so that a malformed token is 401 even while keys are missing.

        Args:
            token: compact serialization, as it came in the request.
            snapshot: what is trusted at this moment.
            now: seconds since the epoch.

        Raises:
            VerificationError: the token must not be honoured; ``code`` says why.
            TrustUnavailableError: its issuer is trusted, but its keys or the list of its status (then it is a
                `StatusUnavailableError`) are missing or past their limit.
        """
        expected = self.expectations
        unverified = take_apart(token, max_bytes=expected.max_token_bytes)
        kid = check_header(unverified.header)
        trust = find_issuer(unverified, snapshot, expected.issuers, now=now, kid=kid)
        check_signature(unverified, find_key(trust, kid))
        own = expected.of_issuers.get(trust.issuer)
        policy = expected.status if own is None else own.status
        claims = parse_access_claims(in_our_names(unverified.payload, own), with_status=policy is not StatusPolicy.OFF)
        check_audience(claims, expected.audience if own is None else own.audience)
        check_lifetime(claims, now=now, leeway=expected.leeway)
        check_status(claims, trust, policy, now=now)
        return claims


def check_status(claims: AccessClaims, trust: IssuerTrust, policy: StatusPolicy, *, now: int) -> None:
    """Whether the token was revoked, as far as the lists of its issuer know (Token Status List section 8.3).

    Nobody is asked: one look into a dict, one at a byte. Other lists than those of the token's own issuer are not
    looked at, whatever the token names.

    Args:
        claims: of a token that is good in every other way.
        trust: in the issuer of the token.
        policy: of the issuer.
        now: seconds since the epoch.

    Raises:
        StatusMissingError: the token names no list, and must.
        TokenRevokedError: its entry is not valid, for good or for now.
        StatusIndexError: its list has no such entry.
        StatusUnavailableError: its list was never read, or may not be relied on any more.
    """
    if policy is StatusPolicy.OFF:
        return
    named = claims.status
    if named is None:
        if policy is StatusPolicy.REQUIRE:
            raise StatusMissingError("The token does not say where its status is published", issuer=trust.issuer)
        return
    found = trust.lists.get(named.uri)
    if found is None:
        raise StatusUnavailableError("The status list of the token has not been read yet", issuer=trust.issuer)
    if trust.status_limits.judge(found, now) is Judgement.REFUSE:
        raise StatusUnavailableError("The status list of the token is older than its limit", issuer=trust.issuer)
    try:
        value = found.value(named.index)
    except IndexError:
        raise StatusIndexError("The status list of the token has no such entry") from None
    if value != VALID:
        raise TokenRevokedError("The token has been revoked")


def find_issuer(
    unverified: UnverifiedToken, snapshot: TrustSnapshot, issuers: frozenset[str], *, now: int, kid: str = ""
) -> IssuerTrust:
    """The documents of the issuer that the token names, if it is one of ours (RFC 9068 section 4).

    A key is withdrawn for ever: documents of any age say so, those too that are no ground to honour a token any more.

    Raises:
        IssuerUnknownError: it is not, or ``iss`` is not a string.
        KeyRevokedError: it is, and has withdrawn ``kid``.
        TrustUnavailableError: it is, and its documents cannot be relied on.
    """
    issuer = unverified.payload.get("iss")
    if type(issuer) is not str or issuer not in issuers:
        raise IssuerUnknownError("The issuer of the token is not trusted")
    held = snapshot.issuers.get(issuer)
    if held is not None:
        check_not_withdrawn(held, kid)
    return snapshot.usable(issuer, now)


def check_not_withdrawn(trust: IssuerTrust, kid: str) -> None:
    """Whatever the key has signed is void, whenever it signed it.

    Raises:
        KeyRevokedError: the issuer has withdrawn it.
    """
    if kid in trust.revoked:
        raise KeyRevokedError("The key of the token has been withdrawn by its issuer")


def find_key(trust: IssuerTrust, kid: str) -> VerificationKey:
    """The issuer's key of this ``kid``. One that is withdrawn is so even where it is still published.

    Raises:
        KeyRevokedError: it has been withdrawn.
        KeyUnknownError: the issuer publishes none.
    """
    check_not_withdrawn(trust, kid)
    key = trust.keys.get(kid)
    if key is None:
        raise KeyUnknownError("The key of the token is not one of its issuer", issuer=trust.issuer)
    return key


def in_our_names(payload: Mapping[str, Any], own: IssuerExpectations | None) -> Mapping[str, Any]:
    """The payload with the claims under the names that RFC 9068 gives them; itself where nothing is mapped."""
    return payload if own is None or not own.claims else mapped_claims(payload, own.claims)
