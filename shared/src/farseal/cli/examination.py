"""A token held against every check of the verifier, each by the verifier's own function, none stopping the others."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar

from farseal.claims import AccessClaims, check_audience, check_lifetime, parse_access_claims
from farseal.compact import MAX_TOKEN_BYTES, UnverifiedToken, check_header, take_apart, take_apart_sealed
from farseal.errors import TrustUnavailableError, VerificationError
from farseal.jwks import KeySet, SkippedKey
from farseal.signature import check_signature
from farseal.status_list import MAX_LIST_TOKEN_BYTES, StatusList, StatusListError, is_list_uri, parse_list_claims
from farseal.trust import IssuerTrust, TrustSnapshot
from farseal.verify import find_issuer, find_key
from farseal.vocabulary import STATUS_LIST_TYPE

T = TypeVar("T")


class Verdict(Enum):
    """Of one check, and of the token as a whole."""

    PASSED = "passed"
    REFUSED = "refused"
    SKIPPED = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check said. ``code`` is the stable code of a refusal."""

    name: str
    verdict: Verdict
    code: str | None = None
    detail: str = ""


@dataclass(slots=True)
class Examination:
    """A token's parts, but for its signature, and what each check says of them, in the order of the verifier.

    Args:
        at: the moment it was judged at, in seconds since the epoch.
        header, payload: as the sender wrote them, unverified; None where the token could not be taken apart.
        skipped_keys: of the given set.
        claims: of an access token, where they are well formed.
        status_list: where it is one, and well formed.
    """

    at: int
    header: dict[str, Any] | None = None
    payload: dict[str, Any] | None = None
    checks: list[Check] = field(default_factory=list)
    skipped_keys: tuple[SkippedKey, ...] = ()
    claims: AccessClaims | None = None
    status_list: StatusList | None = None

    @property
    def verdict(self) -> Verdict:
        """Refused by any check is refused; else, not checked by any is not known."""
        verdicts = {check.verdict for check in self.checks}
        return next(verdict for verdict in (Verdict.REFUSED, Verdict.SKIPPED, Verdict.PASSED) if verdict in verdicts)

    @property
    def decisive(self) -> Check | None:
        """The first check with the verdict of the whole: the one whose answer a caller would get. None if honoured."""
        if self.verdict is Verdict.PASSED:
            return None
        return next(check for check in self.checks if check.verdict is self.verdict)

    def ask(self, name: str, check: Callable[[], T]) -> T | None:
        """Make one check and note what it says."""
        try:
            result = check()
        except VerificationError as error:
            self.checks.append(Check(name, Verdict.REFUSED, error.code, str(error)))
            return None
        except StatusListError as error:
            self.checks.append(Check(name, Verdict.REFUSED, "status_list_refused", str(error)))
            return None
        self.checks.append(Check(name, Verdict.PASSED))
        return result

    def skip(self, name: str, why: str) -> None:
        """Note that a check could not be made."""
        self.checks.append(Check(name, Verdict.SKIPPED, detail=why))


def examine(
    token: str,
    *,
    keys: KeySet | None,
    without_keys: str,
    issuer: str | None,
    audience: str | None,
    leeway: int,
    at: int,
) -> Examination:
    """Hold a token against every check that what is given allows.

    Args:
        token: compact serialization.
        keys: of the issuer, taken as published this moment.
        without_keys: why there are none, for the report.
        issuer, audience: what a service would expect; without them those checks are not made.
        leeway: seconds.
        at: the moment to judge at, in seconds since the epoch.
    """
    examination = Examination(at, skipped_keys=keys.skipped if keys is not None else ())
    unverified = examination.ask("form", lambda: _take_apart(token))
    if unverified is None:
        return examination
    examination.header, examination.payload = unverified.header, unverified.payload
    if _is_list(unverified.header):
        return _examine_list(examination, unverified, keys, without_keys, issuer=issuer, leeway=leeway)
    kid = examination.ask("header", lambda: check_header(unverified.header))
    _examine_issuer(examination, unverified, issuer, at)
    _examine_signature(examination, unverified, kid, keys, without_keys)
    claims = examination.claims = examination.ask("claims", lambda: parse_access_claims(unverified.payload))
    _examine_claims(examination, claims, audience, leeway, at)
    return examination


def _take_apart(token: str) -> UnverifiedToken:
    """A status list may be far larger than a token; what its header says of its kind is held against it later."""
    if len(token) > MAX_TOKEN_BYTES and token.isascii():
        with suppress(VerificationError):
            if _is_list(take_apart_sealed(token.encode(), max_bytes=MAX_LIST_TOKEN_BYTES).header):
                return take_apart(token, max_bytes=MAX_LIST_TOKEN_BYTES)
    return take_apart(token)


def _is_list(header: dict[str, Any]) -> bool:
    typ = header.get("typ")
    return isinstance(typ, str) and typ.lower().removeprefix("application/") == STATUS_LIST_TYPE


def _examine_list(
    examination: Examination,
    unverified: UnverifiedToken,
    keys: KeySet | None,
    without_keys: str,
    *,
    issuer: str | None,
    leeway: int,
) -> Examination:
    """A status list, by whatever URI it gives itself. It is shown without its entries."""
    payload = unverified.payload
    entries, uri = payload.get("status_list"), payload.get("sub")
    kid = examination.ask("header", lambda: check_header(unverified.header, STATUS_LIST_TYPE))
    _examine_signature(examination, unverified, kid, keys, without_keys)
    examination.status_list = examination.ask(
        "list",
        lambda: parse_list_claims(
            payload,
            uri if is_list_uri(uri) else "",
            issuer=str(payload.get("iss")) if issuer is None else issuer,
            kid=kid or "",
            digest=b"",
            now=examination.at,
            leeway=leeway,
        ),
    )
    if isinstance(entries, dict) and isinstance(entries.get("lst"), str):
        told = f"({len(entries['lst'])} characters)"
        examination.payload = payload | {"status_list": entries | {"lst": told}}
    return examination


def _examine_issuer(examination: Examination, unverified: UnverifiedToken, issuer: str | None, at: int) -> None:
    if issuer is None:
        examination.skip("issuer", "no --issuer given")
        return

    def check() -> None:
        try:
            find_issuer(unverified, TrustSnapshot(), frozenset({issuer}), now=at)
        except TrustUnavailableError:
            # It is the one we trust. Its keys are the next check's business.
            return

    examination.ask("issuer", check)


def _examine_signature(
    examination: Examination,
    unverified: UnverifiedToken,
    kid: str | None,
    keys: KeySet | None,
    without_keys: str,
) -> None:
    if keys is None or not (keys.keys or keys.revoked):
        examination.skip("signature", without_keys if keys is None else "the set has no usable key")
        return
    if kid is None:
        examination.skip("signature", "the header does not say how to check it")
        return
    trust = IssuerTrust("", MappingProxyType(dict(keys.keys)), published_at=examination.at, revoked=keys.revoked)
    key = examination.ask("key", lambda: find_key(trust, kid))
    if key is None:
        examination.skip("signature", "there is no key to check it with")
        return
    examination.ask("signature", lambda: check_signature(unverified, key))


def _examine_claims(
    examination: Examination, claims: AccessClaims | None, audience: str | None, leeway: int, at: int
) -> None:
    if claims is None:
        examination.skip("audience", "the claims are malformed")
        examination.skip("lifetime", "the claims are malformed")
        return
    if audience is None:
        examination.skip("audience", "no --audience given")
    else:
        examination.ask("audience", lambda: check_audience(claims, audience))
    examination.ask("lifetime", lambda: check_lifetime(claims, now=at, leeway=leeway))
