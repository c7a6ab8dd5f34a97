"""A status list: what a token says of it, what its document must be, and what one entry of it says.

Token Status List, draft-ietf-oauth-status-list. A list decides which tokens are honoured, so its document is held to
what a token is held to: one spelling, strict JSON, one algorithm, a key of the issuer that is not withdrawn.
"""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeGuard

import msgspec

from farseal.compact import MAX_TOKEN_BYTES, MAX_TOKEN_DEPTH, check_header, take_apart_sealed
from farseal.encoding import ALPHABET, EncodingError, b64url_decode, parse_json_object
from farseal.errors import FarsealError, VerificationError
from farseal.jwks import VerificationKey
from farseal.signature import check_signature
from farseal.vocabulary import MAX_SEQUENCE, MAX_TIME, PUBLICATION_MEMBER, STATUS_LIST_TYPE

VALID: Final = 0
"""Every other value refuses the token: 1 is INVALID, 2 SUSPENDED (section 7.1)."""

MAX_LIST_TOKEN_BYTES: Final = 4 << 20
"""Of a document, checked before anything is decoded: eight times a list of ten million entries, 5 % of them set."""

MAX_CLAIMS_BYTES: Final = MAX_TOKEN_BYTES
"""Of the payload beside ``lst``: an issuer writes a few hundred, and one that is hostile could make JSON of the rest
that keeps all threads of its verifiers waiting for a second."""

MAX_LIST_BYTES: Final = 8 << 20
"""Of the entries once inflated: 64 million of one bit. Deflate packs a thousand bytes into one."""

LEEWAY_SECONDS: Final = 30
"""By which the clock of the publisher may run ahead, as with tokens unless a service says otherwise."""

MAX_URI_CHARACTERS: Final = 1024
"""Of the URI of a list: it is a map key, and in every token."""

_BITS: Final = (1, 2, 4, 8)


class StatusPolicy(StrEnum):
    """What an issuer's tokens must say of their status. One that names a list is judged by it, unless `OFF`."""

    REQUIRE = "require"
    IF_PRESENT = "if_present"
    OFF = "off"

    @classmethod
    def check(cls, value: object) -> "StatusPolicy":
        """The value itself: a text that merely equals a policy would be none where policies are told apart.

        Raises:
            ValueError: it is no policy. The message is a rule that begins with "must be".
        """
        if not isinstance(value, cls):
            raise ValueError("must be a StatusPolicy")  # noqa: TRY004 - as every rule of a setting
        return value


class StatusListError(FarsealError):
    """The document must not be used. The message says why, for people, and quotes nothing of it."""


class StatusKeyUnknownError(StatusListError):
    """The key that signed the document is not among those of the issuer: it may be one that is published by now."""


class StatusReference(msgspec.Struct, frozen=True, gc=False):
    """Where the status of a token is published: its claim ``status.status_list`` (section 6.1)."""

    uri: str
    index: int


@dataclass(frozen=True, slots=True)
class StatusList:
    """One list whose signature holds. Times are in seconds since the epoch.

    Args:
        uri: its ``sub``, and what tokens name it by.
        issued_at: ``iat``: what is not in it by then, it does not know.
        expires_at: ``exp``: not to be relied on from then on; None where the issuer gave none.
        ttl: seconds after which to look for the next one; None where the issuer gave none.
        bits: of one entry: 1, 2, 4 or 8.
        data: the entries, inflated, the lowest bits of a byte first.
        kid: of the key that signed it.
        digest: SHA-256 of the document.
        version: of an issuer of ours: a lower one is older. None where the issuer does not count.
    """

    uri: str
    issued_at: int
    expires_at: int | None
    ttl: int | None
    bits: int
    data: bytes = field(repr=False)
    kid: str
    digest: bytes = field(repr=False)
    version: int | None = None

    @property
    def size(self) -> int:
        """How many entries it has."""
        return len(self.data) * 8 // self.bits

    def value(self, index: int) -> int:
        """The entry at ``index``, which is not negative (section 4.1).

        Raises:
            IndexError: the list has no such entry, however large ``index`` is.
        """
        if self.bits == 1:
            return self.data[index >> 3] >> (index & 7) & 1
        position = index * self.bits
        return self.data[position >> 3] >> (position & 7) & ((1 << self.bits) - 1)


def is_list_uri(value: object) -> TypeGuard[str]:
    """Whether this may name a list: 1 to `MAX_URI_CHARACTERS` printable ASCII characters, none of them a blank."""
    return (
        type(value) is str
        and 0 < len(value) <= MAX_URI_CHARACTERS
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def read_status_list(
    document: bytes,
    uri: str,
    *,
    issuer: str,
    keys: Mapping[str, VerificationKey],
    revoked: frozenset[str] = frozenset(),
    now: int,
    leeway: int = LEEWAY_SECONDS,
) -> StatusList:
    """The list in a status list token, if it may be used (section 8.3). Slow for a large one: made for a thread.

    Args:
        document: as it was published: a compact JWS and nothing else.
        uri: of the list, byte for byte.
        issuer: whose it must be, where it says whose it is.
        keys: of the issuer.
        revoked: kids that the issuer has withdrawn.
        now: seconds since the epoch.
        leeway: seconds by which ``iat`` and ``nbf`` may be in the future. ``exp`` has none.

    Raises:
        StatusListError: it may not.
    """
    try:
        sealed = take_apart_sealed(document, max_bytes=MAX_LIST_TOKEN_BYTES)
        kid = check_header(sealed.header, STATUS_LIST_TYPE)
        if kid in revoked:
            raise StatusListError("Its key has been withdrawn")
        if kid not in keys:
            raise StatusKeyUnknownError("Its key is not one of the issuer")
        check_signature(sealed, keys[kid])
    except VerificationError as error:
        raise StatusListError(str(error)) from None
    digest = hashlib.sha256(document).digest()
    return parse_list_claims(
        _payload(sealed.payload), uri, issuer=issuer, kid=kid, digest=digest, now=now, leeway=leeway
    )


def parse_list_claims(
    payload: Mapping[str, Any], uri: str, *, issuer: str, kid: str, digest: bytes, now: int, leeway: int
) -> StatusList:
    """The list in a payload: the second half of `read_status_list`, for those who know whose signature it has.

    Raises:
        StatusListError: it may not be used.
    """
    if payload.get("sub") != uri:
        raise StatusListError("It is another list than its address says")
    if "iss" in payload and payload["iss"] != issuer:
        raise StatusListError("It is of another issuer")
    issued_at, expires_at = _time(payload, "iat"), None if "exp" not in payload else _time(payload, "exp")
    if issued_at > now + leeway or ("nbf" in payload and _time(payload, "nbf") > now + leeway):
        raise StatusListError("It was issued in the future")
    if expires_at is not None and expires_at <= now:
        raise StatusListError("It has expired")
    bits, data = _entries(payload.get("status_list"))
    return StatusList(uri, issued_at, expires_at, _ttl(payload), bits, data, kid, digest, _version(payload))


def _payload(part: bytes) -> Mapping[str, Any]:
    """The claims, from JSON that is the text of the entries and little else: only such is quickly read."""
    try:
        payload = b64url_decode(part)
        if len(payload) > MAX_CLAIMS_BYTES and _beside_entries(payload) > MAX_CLAIMS_BYTES:
            raise StatusListError(f"Its claims beside lst are of more than {MAX_CLAIMS_BYTES} bytes")
        return parse_json_object(payload, max_bytes=MAX_LIST_TOKEN_BYTES, max_depth=MAX_TOKEN_DEPTH)
    except EncodingError as error:
        raise StatusListError(f"Its payload is not usable: {error}") from None


def _beside_entries(payload: bytes) -> int:
    """How many bytes there are beside the longest run of base64url between two quotes."""
    if payload.count(b'"') > MAX_CLAIMS_BYTES:
        return len(payload)
    longest = max(payload.split(b'"'), key=len)
    return len(payload) if longest.translate(None, ALPHABET) else len(payload) - len(longest)


def _time(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    # An exact type: bool is an int to Python.
    if type(value) is not int or not 0 <= value <= MAX_TIME:
        raise StatusListError(f"Its {name} is missing or not a time in whole seconds")
    return value


def _ttl(payload: Mapping[str, Any]) -> int | None:
    """A positive number (section 5.1), rounded up: nobody is asked more often than that."""
    if "ttl" not in payload:
        return None
    ttl = payload["ttl"]
    if type(ttl) not in (int, float) or not 0 < ttl <= MAX_TIME:
        raise StatusListError("Its ttl is not a positive number of seconds")
    return -int(-ttl // 1)


def _version(payload: Mapping[str, Any]) -> int | None:
    said = payload.get(PUBLICATION_MEMBER, {})
    if not isinstance(said, dict):
        raise StatusListError(f"Its member {PUBLICATION_MEMBER} is not an object")
    version = said.get("version")
    if "version" in said and not (type(version) is int and 1 <= version <= MAX_SEQUENCE):
        raise StatusListError(f"Its version is not a whole number, 1 to {MAX_SEQUENCE}")
    return version


def _entries(claim: object) -> tuple[int, bytes]:
    """``bits`` and the inflated ``lst`` of a claim ``status_list`` (section 4.2)."""
    if not isinstance(claim, dict):
        raise StatusListError("It has no status_list")
    bits, text = claim.get("bits"), claim.get("lst")
    if type(bits) is not int or bits not in _BITS:
        raise StatusListError("Its bits are not 1, 2, 4 or 8")
    if not isinstance(text, str):
        raise StatusListError("Its lst is missing or not a string")
    try:
        packed = b64url_decode(text)
        stream = zlib.decompressobj()
        data = stream.decompress(packed, MAX_LIST_BYTES + 1)
    except EncodingError as error:
        raise StatusListError(f"Its lst is {error}") from None
    except zlib.error:
        raise StatusListError("Its lst is not a ZLIB stream") from None
    if len(data) > MAX_LIST_BYTES:
        raise StatusListError(f"Its lst is of more than {MAX_LIST_BYTES} bytes once inflated")
    if not stream.eof:
        raise StatusListError("Its lst ends too early")
    if stream.unused_data:
        raise StatusListError("Its lst has data after its end")
    return bits, data
