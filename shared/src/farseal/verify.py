"""The one place where a token is judged: compact text, a `TrustSnapshot` and a moment in, `AccessClaims` or an
error out.

PyJWT's ``decode`` is not called, for what it forgives: padding after the signature, UTF-16 payloads, NaN, times written
as text, the last of duplicate members, and a JSON parse of the header for each key tried. What stays of it is its RS256
algorithm over `cryptography`; the strict parsing before it is `farseal.compact`, the claims after it `farseal.claims`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from jwt.algorithms import RSAAlgorithm

from farseal.claims import (
    MAPPABLE_CLAIMS,
    AccessClaims,
    check_audience,
    check_lifetime,
    mapped_claims,
    parse_access_claims,
)
from farseal.compact import MAX_TOKEN_BYTES, UnverifiedToken, check_header, take_apart
from farseal.errors import IssuerUnknownError, KeyRevokedError, KeyUnknownError, SignatureInvalidError
from farseal.jwks import VerificationKey
from farseal.trust import IssuerTrust, TrustSnapshot

_RS256: Final = RSAAlgorithm(RSAAlgorithm.SHA256)


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
    """

    audience: str
    claims: Mapping[str, str] = field(default_factory=_no_names)

    def __post_init__(self) -> None:
        if not self.audience:
            raise ValueError("an audience is needed")
        if not set(self.claims) <= set(MAPPABLE_CLAIMS) or not all(self.claims.values()):
            raise ValueError(f"only {', '.join(MAPPABLE_CLAIMS)} are mapped, to a name each")


@dataclass(frozen=True, slots=True)
class Expectations:
    """What a service expects of every token, fixed when it starts.

    Args:
        audience: this service's identifier, an absolute URI; compared byte for byte with ``aud``.
        issuers: the identifiers of the issuers it trusts; compared byte for byte with ``iss``, never dialled.
        leeway: seconds of clock skew to forgive, applied to every time claim.
        max_token_bytes: longer tokens are refused before anything is decoded.
        of_issuers: what is expected of an issuer's tokens instead, for those that differ; each is among ``issuers``.
    """

    audience: str
    issuers: frozenset[str]
    leeway: int = 30
    max_token_bytes: int = MAX_TOKEN_BYTES
    of_issuers: Mapping[str, IssuerExpectations] = field(default_factory=_nothing_else)

    def __post_init__(self) -> None:
        if not self.audience or not self.issuers or not all(self.issuers):
            raise ValueError("an audience and at least one issuer are needed")
        if self.leeway < 0 or self.max_token_bytes <= 0:
            raise ValueError("leeway is 0 or more, max_token_bytes above 0")
        if not self.issuers.issuperset(self.of_issuers):
            raise ValueError("an issuer that is not trusted needs no expectations")


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
            TrustUnavailableError: its issuer is trusted, but its keys are missing or past their limit.
        """
        expected = self.expectations
        unverified = take_apart(token, max_bytes=expected.max_token_bytes)
        kid = check_header(unverified.header)
        trust = find_issuer(unverified, snapshot, expected.issuers, now=now, kid=kid)
        check_signature(unverified, find_key(trust, kid))
        own = expected.of_issuers.get(trust.issuer)
        claims = parse_access_claims(in_our_names(unverified.payload, own))
        check_audience(claims, expected.audience if own is None else own.audience)
        check_lifetime(claims, now=now, leeway=expected.leeway)
        return claims


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


def check_signature(unverified: UnverifiedToken, key: VerificationKey) -> None:
    """RS256 over the bytes that were sent (RFC 7515 section 5.2, RFC 7518 section 3.3).

    Raises:
        SignatureInvalidError: it is not a signature of this key, or not of its length (RFC 8017 section 8.2.2).
    """
    signature = unverified.signature
    if len(signature) != key.signature_bytes or not _RS256.verify(unverified.signing_input, key.public_key, signature):
        raise SignatureInvalidError("The signature of the token does not match")
