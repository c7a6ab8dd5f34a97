"""From the bytes of a published JWK set to the public keys we are willing to use (RFC 7517).

One bad key is skipped and reported; it never breaks the set, because an issuer that adds a key of a kind we do not
know must not take the good ones away from us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from farseal.encoding import EncodingError, b64url_decode, parse_json_object
from farseal.errors import FarsealError
from farseal.identifiers import MAX_IDENTIFIER_CHARACTERS
from farseal.vocabulary import ALGORITHM, MAX_REVOKED, MAX_SEQUENCE, PUBLICATION_MEMBER

MAX_KEYS: Final = 1024
"""In one set. A rotating issuer publishes a handful; a document of ten thousand is a mistake or an attack."""

MAX_KID_CHARS: Final = 256
"""A ``kid`` is hostile input; a thumbprint has 43 characters."""

MIN_BITS: Final = 2048
MAX_BITS: Final = 8192
"""Of an RSA modulus. Below is breakable (RFC 7518 section 3.3), above makes each verification a gift to an attacker."""

EXPONENT: Final = 65537
"""The one public exponent: e=1 makes every text its own signature, other small ones have a history."""

_PRIVATE_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


class KeySetError(FarsealError):
    """The document as a whole is not a JWK set. The message quotes none of it."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public RSA key that serves RS256 and nothing else."""

    kid: str
    public_key: RSAPublicKey
    signature_bytes: int
    """Length of every signature by this key: a shorter or longer one is refused without arithmetic."""


@dataclass(frozen=True, slots=True)
class SkippedKey:
    """A member of ``keys`` that is not used, and why. ``kid`` is what the set calls it, where that is sane."""

    position: int
    kid: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys by ``kid``, what was left out, and what the issuer says of the set.

    Args:
        keys: none of them is revoked.
        skipped: what is not used, in the order of the set.
        revoked: kids withdrawn in an emergency, for ever.
        sequence: grows with every change of the issuer's keys; None where the issuer does not count.
        issuer: whose keys they are by their own account; None where they give none.
    """

    keys: Mapping[str, VerificationKey]
    skipped: tuple[SkippedKey, ...]
    revoked: frozenset[str] = frozenset()
    sequence: int | None = None
    issuer: str | None = None


class _Unusable(Exception):  # noqa: N818 - a reason on its way to a SkippedKey, not an error of the library
    pass


def parse_jwks(data: bytes) -> KeySet:
    """Read a JWK set (RFC 7517 section 5).

    Two different keys under one ``kid`` are both skipped: a verifier that picked either would be guessing. A key that
    the set itself calls revoked is skipped, too. The set may come out empty; whether that is acceptable is the caller's
    question.

    Raises:
        KeySetError: not strict JSON, not an object with a list ``keys``, more than `MAX_KEYS` of them, or a member
            ``farseal`` that cannot be read: a revocation that is passed over would be a key that goes on working.
    """
    try:
        document = parse_json_object(data)
    except EncodingError as error:
        raise KeySetError(f"The key set is not usable: {error}") from None
    members = document.get("keys")
    if not isinstance(members, list):
        raise KeySetError("The key set has no list of keys")
    if len(members) > MAX_KEYS:
        raise KeySetError(f"The key set has more than {MAX_KEYS} keys")

    revoked, sequence, issuer = _publication(document)
    keys: dict[str, VerificationKey] = {}
    skipped: list[SkippedKey] = []
    by_kid: dict[str, list[tuple[int, VerificationKey]]] = {}
    for position, member in enumerate(members):
        try:
            key = parse_jwk(member)
        except _Unusable as reason:
            skipped.append(SkippedKey(position, _sane_kid(member), str(reason)))
        else:
            by_kid.setdefault(key.kid, []).append((position, key))
    for kid, found in by_kid.items():
        if kid in revoked:
            skipped += [SkippedKey(position, kid, "it is revoked") for position, _ in found]
        elif len({key.public_key.public_numbers() for _, key in found}) == 1:
            keys[kid] = found[0][1]
        else:
            skipped += [SkippedKey(position, kid, "its kid names different keys") for position, _ in found]
    in_order = tuple(sorted(skipped, key=lambda entry: entry.position))
    return KeySet(MappingProxyType(keys), in_order, revoked, sequence, issuer)


def parse_jwk(member: object) -> VerificationKey:
    """One RSA public key for RS256 (RFC 7517 section 4, RFC 7518 section 6.3.1).

    Raises:
        _Unusable: with the reason, for `parse_jwks` to report.
    """
    if not isinstance(member, dict):
        raise _Unusable("it is not an object")
    kid = _sane_kid(member)
    if kid is None:
        raise _Unusable("its kid is missing or not a short printable text")
    if member.get("kty") != "RSA":
        raise _Unusable("its kty is not RSA")
    if any(name in member for name in _PRIVATE_MEMBERS):
        raise _Unusable("it carries private or symmetric members")
    if "use" in member and member["use"] != "sig":
        raise _Unusable("its use is not sig")
    if "key_ops" in member and (not isinstance(member["key_ops"], list) or "verify" not in member["key_ops"]):
        raise _Unusable("its key_ops do not name verify")
    if "alg" in member and member["alg"] != ALGORITHM:
        raise _Unusable(f"its alg is not {ALGORITHM}")
    modulus, exponent = _unsigned(member, "n"), _unsigned(member, "e")
    if exponent != EXPONENT:
        raise _Unusable(f"its e is not {EXPONENT}")
    if not MIN_BITS <= modulus.bit_length() <= MAX_BITS:
        raise _Unusable(f"its modulus is not of {MIN_BITS} to {MAX_BITS} bits")
    if not modulus & 1:
        raise _Unusable("its modulus is even")
    try:
        public_key = RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:  # pragma: no cover - every rule that cryptography has today is stricter above
        raise _Unusable("it is not an RSA public key") from None
    return VerificationKey(kid, public_key, (modulus.bit_length() + 7) // 8)


def is_kid(value: object) -> bool:
    """Whether this may be a ``kid``: 1 to `MAX_KID_CHARS` printable ASCII characters."""
    return type(value) is str and 0 < len(value) <= MAX_KID_CHARS and value.isascii() and value.isprintable()


def _publication(document: dict[str, Any]) -> tuple[frozenset[str], int | None, str | None]:
    """Revoked kids, sequence and issuer from the member ``farseal``; what else is in it is for later versions.

    Raises:
        KeySetError: the member, or one of the three in it, is not of its type or bounds.
    """
    said = document.get(PUBLICATION_MEMBER, {})
    if not isinstance(said, dict):
        raise KeySetError(f"The member {PUBLICATION_MEMBER} of the key set is not an object")
    revoked = said.get("revoked", [])
    if not isinstance(revoked, list) or len(revoked) > MAX_REVOKED or not all(is_kid(kid) for kid in revoked):
        raise KeySetError(f"The revoked keys of the key set are not a list of at most {MAX_REVOKED} kids")
    if len(set(revoked)) != len(revoked):
        raise KeySetError("The revoked keys of the key set are named twice")
    sequence = said.get("sequence")
    # An exact type: bool is an int to Python.
    if "sequence" in said and not (type(sequence) is int and 1 <= sequence <= MAX_SEQUENCE):
        raise KeySetError(f"The sequence of the key set is not a whole number, 1 to {MAX_SEQUENCE}")
    issuer = said.get("issuer")
    if "issuer" in said and not (isinstance(issuer, str) and 0 < len(issuer) <= MAX_IDENTIFIER_CHARACTERS):
        raise KeySetError("The issuer of the key set is not an identifier")
    return frozenset(revoked), sequence, issuer


def _sane_kid(member: object) -> str | None:
    kid = member.get("kid") if isinstance(member, dict) else None
    return kid if isinstance(kid, str) and is_kid(kid) else None


def _unsigned(member: dict[str, Any], name: str) -> int:
    """A Base64urlUInt: canonical base64url of the fewest octets (RFC 7518 section 2)."""
    text = member.get(name)
    if not isinstance(text, str) or len(text) > MAX_BITS // 4:
        raise _Unusable(f"its {name} is missing, not a string, or too long")
    try:
        octets = b64url_decode(text)
    except EncodingError:
        raise _Unusable(f"its {name} is not canonical base64url") from None
    if not octets or octets[0] == 0:
        raise _Unusable(f"its {name} is not in the fewest octets")
    return int.from_bytes(octets, "big")
