"""Reads access tokens of ours back: for their revocation, for introspection, and for people's own sessions.

This is no verifier, and takes nothing from one. It knows one spelling, the one that `auth_server.keys.signer` writes:
who presents anything else does not present a token of ours.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from auth_server.keys.header import encoded_header
from farseal.encoding import EncodingError, b64url_decode
from farseal.vocabulary import ACCESS_TOKEN_TYPE

if TYPE_CHECKING:
    from auth_server.keys.public_key import PublicKey

MAX_CHARACTERS: Final = 16 * 1024
"""Longer is none of ours, whatever the body or the header may hold: no server would take it in a header."""


class OwnToken(msgspec.Struct, frozen=True):
    """What an access token of ours says (RFC 9068 section 2.2). Its signature is good; it may have expired."""

    iss: str
    sub: str
    aud: str | tuple[str, ...]
    exp: int
    iat: int
    jti: str
    client_id: str
    sid: UUID
    scope: str = ""

    @property
    def audience(self) -> tuple[str, ...]:
        """`aud` as a list, however it is spelled."""
        return (self.aud,) if isinstance(self.aud, str) else self.aud

    @property
    def scopes(self) -> frozenset[str]:
        """What it permits at its audience."""
        return frozenset(self.scope.split(" ")) - {""}

    def has_expired(self, now: int) -> bool:
        """Whether ``now`` is at or after ``exp`` (RFC 7519 section 4.1.4). It is our own clock: nothing is forgiven."""
        return now >= self.exp


_PAYLOAD: Final = msgspec.json.Decoder(OwnToken)


class OwnTokens:
    """Tells tokens of this issuer from everything else.

    Args:
        keys: gives the keys that are published at this moment. A token of one that is not, because it is gone or was
            revoked, is unknown.
        issuer: the `iss`, byte for byte.
    """

    def __init__(self, keys: "Callable[[], tuple[PublicKey, ...]]", *, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._held: tuple[PublicKey, ...] = ()
        self._by_header: Mapping[str, RSAPublicKey] = {}

    def read(self, token: str) -> OwnToken | None:
        """What the token says, or None where it is not ours.

        The whole header is compared with the headers that are written for the published keys, so there is nothing in it
        to be parsed or believed: not another ``alg``, ``typ`` or order of members, and not another key.
        """
        if len(token) > MAX_CHARACTERS or token.count(".") != 2:
            return None
        head, body, signature = token.split(".")
        key = self._headers().get(head)
        if key is None:
            return None
        try:
            key.verify(b64url_decode(signature), f"{head}.{body}".encode("ascii"), PKCS1v15(), SHA256())
            found = _PAYLOAD.decode(b64url_decode(body))
        except (InvalidSignature, EncodingError, UnicodeEncodeError, msgspec.DecodeError):
            return None
        return found if found.iss == self._issuer else None

    def _headers(self) -> Mapping[str, RSAPublicKey]:
        """The first part of every token that can be ours, with the key of its signature."""
        keys = self._keys()
        if keys != self._held:
            self._by_header = {encoded_header(key.kid, ACCESS_TOKEN_TYPE): _loaded(key) for key in keys}
            self._held = keys
        return self._by_header


def _loaded(key: "PublicKey") -> RSAPublicKey:
    n, e = (int.from_bytes(b64url_decode(number)) for number in (key.n, key.e))
    return RSAPublicNumbers(e, n).public_key()


def has_signed(key: "PublicKey", message: bytes, signature: bytes) -> bool:
    """Whether the signature over ``message`` is the key's (RS256); False too for what is no key at all.

    For the status lists of ours that come back when a backup was restored.
    """
    try:
        _loaded(key).verify(signature, message, PKCS1v15(), SHA256())
    except (InvalidSignature, EncodingError, ValueError):
        return False
    return True
