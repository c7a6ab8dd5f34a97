"""What can go wrong with a token, in two families that must never be confused.

`VerificationError` says the token must not be honoured: the caller should get another one (401), or may not do this
(403). `TrustUnavailableError` says that nobody can tell right now (503): the caller should keep the token and try
again. An outage answered with 401 logs people out.

`code` is stable: vectors, logs and metrics key on it, never on the text. Messages never quote a token, a signature or
a secret, and hold only characters that RFC 6750 section 3 allows in ``error_description``.
"""

from typing import ClassVar


class FarsealError(Exception):
    """Any error this library raises on purpose."""


class VerificationError(FarsealError):
    """The token must not be honoured."""

    code: ClassVar[str] = "token_refused"
    status: ClassVar[int] = 401
    error: ClassVar[str] = "invalid_token"
    """The ``error`` of the RFC 6750 section 3.1 challenge."""


class TokenTooLargeError(VerificationError):
    """Longer than the bound that is checked before anything is decoded."""

    code = "token_too_large"


class MalformedTokenError(VerificationError):
    """Not a compact JWS in its one canonical spelling, or its JSON is not strict (RFC 7515, RFC 8725)."""

    code = "token_malformed"


class TypeRefusedError(VerificationError):
    """``typ`` is missing or is not ``at+jwt`` (RFC 9068 section 4, RFC 8725 section 3.11)."""

    code = "type_refused"


class AlgorithmRefusedError(VerificationError):
    """``alg`` is anything but RS256 (RFC 8725 section 3.1)."""

    code = "algorithm_refused"


class CriticalHeaderError(VerificationError):
    """``crit`` is present, or ``b64`` asks for an unencoded payload (RFC 7515 section 4.1.11, RFC 7797)."""

    code = "critical_refused"


class IssuerUnknownError(VerificationError):
    """``iss`` is not, byte for byte, an issuer that this service trusts."""

    code = "issuer_unknown"


class KeyUnknownError(VerificationError):
    """The issuer publishes no key of this ``kid``.

    ``issuer`` is the one, of those that are trusted, that might have published it since: whoever keeps its keys fresh
    may want to look sooner. None where no issuer could, because the token's ``kid`` is none.
    """

    code = "key_unknown"

    def __init__(self, message: str, *, issuer: str | None = None) -> None:
        super().__init__(message)
        self.issuer = issuer


class KeyRevokedError(VerificationError):
    """The issuer has withdrawn the key of this ``kid``: whatever it signed is void, whenever it signed it."""

    code = "key_revoked"


class SignatureInvalidError(VerificationError):
    """The signature is not one of the named key over these bytes."""

    code = "signature_invalid"


class MalformedClaimsError(VerificationError):
    """A required claim is missing, or a claim is not of its type (RFC 9068 section 2.2)."""

    code = "claims_malformed"


class AudienceMismatchError(VerificationError):
    """``aud`` does not name this service."""

    code = "audience_mismatch"


class ExpiredTokenError(VerificationError):
    """``now`` is at or after ``exp`` plus the leeway (RFC 7519 section 4.1.4)."""

    code = "token_expired"


class NotYetValidError(VerificationError):
    """``now`` is before ``nbf`` or ``iat`` minus the leeway (RFC 7519 sections 4.1.5 and 4.1.6)."""

    code = "token_not_yet_valid"


class StatusMissingError(VerificationError):
    """The token does not say where its status is published, and every token of ``issuer`` must."""

    code = "status_missing"

    def __init__(self, message: str, *, issuer: str | None = None) -> None:
        super().__init__(message)
        self.issuer = issuer


class StatusIndexError(VerificationError):
    """The token names an entry beyond the end of its list (Token Status List section 8.3)."""

    code = "status_index_invalid"


class TokenRevokedError(VerificationError):
    """The issuer has published that the token is not valid any more, or not now (Token Status List section 7.1)."""

    code = "token_revoked"


class ForbiddenError(VerificationError):
    """The token is good, and does not permit this."""

    code = "access_denied"
    status = 403
    error = "insufficient_scope"


class ScopeInsufficientError(ForbiddenError):
    """A scope is missing. ``scopes`` are those that the request needs, for the ``scope`` of the challenge."""

    code = "scope_insufficient"

    def __init__(self, message: str, *, scopes: tuple[str, ...]) -> None:
        super().__init__(message)
        self.scopes = scopes


class RoleInsufficientError(ForbiddenError):
    """A role is missing."""

    code = "role_insufficient"


class TrustUnavailableError(FarsealError):
    """Nobody can tell whether the token is good: there are no keys, or they are older than their limit.

    Answered with 503 and ``Retry-After: retry_after`` (seconds), never with 401. ``issuer`` is the one, where it is
    known; it is one of those that are trusted.
    """

    code: ClassVar[str] = "trust_unavailable"
    status: ClassVar[int] = 503

    def __init__(self, message: str, *, retry_after: int = 5, issuer: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.issuer = issuer


class StatusUnavailableError(TrustUnavailableError):
    """Nobody can tell whether the token was revoked: its list has not been read, or is older than its limit."""

    code = "status_unavailable"
