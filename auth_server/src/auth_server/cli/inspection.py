"""Looking into a compact token, without judging it as a resource server would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from auth_server.storage.signing_keys import StoredKey
from farseal.encoding import EncodingError, b64url_decode, parse_json_object
from farseal.vocabulary import ALGORITHM


class MalformedTokenError(ValueError):
    """The text is no compact JWS with JSON inside. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a token says. The signature stays out of every repr and every output."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    lifetime: str
    _signed: bytes = field(repr=False)
    _signature: bytes = field(repr=False)

    def signature_words(self, keys: Sequence[StoredKey] | None) -> str:
        """Whether one of these keys signed it; None stands for keys that could not be read."""
        if keys is None:
            return "not checked: the database cannot be reached"
        if self.header.get("alg") != ALGORITHM:
            return f"not ours: the algorithm is not {ALGORITHM}"
        key = next((key for key in keys if key.kid == self.header.get("kid")), None)
        if key is None:
            return "not ours: no key of the database has this kid"
        numbers = (int.from_bytes(b64url_decode(key.public_jwk[name])) for name in ("e", "n"))
        try:
            rsa.RSAPublicNumbers(*numbers).public_key().verify(
                self._signature, self._signed, padding.PKCS1v15(), SHA256()
            )
        except InvalidSignature:
            return f"wrong: the key {key.kid} did not sign this"
        return f"good: by the key {key.kid} ({key.state})"


def inspect_token(text: str, *, now: int) -> Inspected:
    """Take a compact token apart.

    Raises:
        MalformedTokenError: it has not three parts of canonical base64url with JSON objects in the first two.
    """
    parts = text.split(".")
    if len(parts) != 3:
        raise MalformedTokenError(f"it has {len(parts)} parts instead of 3, separated by dots")
    try:
        header, claims = (parse_json_object(b64url_decode(part)) for part in parts[:2])
        signature = b64url_decode(parts[2])
    except EncodingError as error:
        raise MalformedTokenError(str(error)) from None
    signed = text.rpartition(".")[0].encode("ascii")
    return Inspected(header, claims, lifetime_words(claims, now=now), signed, signature)


def lifetime_words(claims: Mapping[str, Any], *, now: int) -> str:
    """How a token stands in its life at ``now`` (seconds since the epoch), without any leeway."""
    expires, issued = claims.get("exp"), claims.get("iat")
    if not _is_time(expires):
        return "it has no exp, so nobody takes it"
    whole = f", {duration_words(expires - issued)} in all" if _is_time(issued) else ""
    if now >= expires:
        return f"expired {duration_words(now - expires)} ago{whole}"
    return f"expires in {duration_words(expires - now)}{whole}"


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def duration_words(seconds: float) -> str:
    """A duration in its two largest units."""
    left, words = int(seconds), list[str]()
    if left < 0:
        return f"{left} s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or (unit == "s" and not words):
            words.append(f"{left // size} {unit}")
            left %= size
    return " ".join(words[:2])
