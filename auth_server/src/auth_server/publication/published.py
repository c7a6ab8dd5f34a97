"""What a published key set says, read back: by the publisher before it writes, and when a backup is restored (pure).

This reads what servers of ours wrote. It judges no token and no signature.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from auth_server.keys.public_key import PublicKey
from farseal.vocabulary import MAX_REVOKED, MAX_SEQUENCE, PUBLICATION_MEMBER

MAX_BYTES: Final = 1024 * 1024
"""Of a document: 32 keys and 1024 withdrawn kids take a tenth of it."""

_RESTORED: Final = (
    "the database was restored from a backup or made anew: stop the servers, and let it catch up with "
    "farseal-auth keys recover jwks.json"
)


class PublishedError(Exception):
    """The bytes are no key set that a server of ours wrote. The message quotes nothing of them."""


class _Jwk(msgspec.Struct):
    kid: str
    n: str
    e: str


class _Said(msgspec.Struct):
    issuer: str
    sequence: int
    revoked: list[str]


class _Document(msgspec.Struct, rename={"said": PUBLICATION_MEMBER}):
    keys: list[_Jwk]
    said: _Said


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """The content of one document."""

    issuer: str
    sequence: int
    keys: tuple[PublicKey, ...]
    revoked: frozenset[str]

    @property
    def kids(self) -> frozenset[str]:
        """Of the keys."""
        return frozenset(key.kid for key in self.keys)


def read_published(body: bytes) -> PublishedSet:
    """The key set in a document.

    Raises:
        PublishedError: too long, not JSON, without the member of ours, a sequence out of range, or a key whose kid is
            not its thumbprint (RFC 7638).
    """
    if len(body) > MAX_BYTES:
        raise PublishedError(f"longer than {MAX_BYTES} bytes")
    try:
        found = msgspec.json.decode(body, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PublishedError(f"not a key set that names its issuer and sequence: {error}") from None
    if not 1 <= found.said.sequence <= MAX_SEQUENCE:
        raise PublishedError("its sequence is out of range")
    keys = tuple(PublicKey(n=jwk.n, e=jwk.e) for jwk in found.keys)
    if any(key.kid != jwk.kid for key, jwk in zip(keys, found.keys, strict=True)):
        raise PublishedError("a kid is not the thumbprint of its key")
    return PublishedSet(found.said.issuer, found.said.sequence, keys, frozenset(found.said.revoked))


def conflict(theirs: PublishedSet, ours: PublishedSet) -> str | None:
    """Why ``theirs`` must not be replaced by ``ours``, in words; None when it may."""
    if theirs.issuer != ours.issuer:
        return "its key set is of another issuer: remove that first if this one has taken its place"
    if theirs.sequence > ours.sequence:
        return (
            f"its key set has sequence {theirs.sequence} and the database is at {ours.sequence}: another replica is "
            f"ahead for a moment, or {_RESTORED}"
        )
    # A full list drops its oldest entries.
    if len(theirs.revoked) < MAX_REVOKED and (unknown := theirs.revoked - ours.revoked):
        return f"its key set names {len(unknown)} revoked keys that the database takes for good: {_RESTORED}"
    if theirs.sequence == ours.sequence and not (theirs.kids <= ours.kids and theirs.revoked <= ours.revoked):
        return (
            f"its key set has sequence {theirs.sequence} too, with keys that this server does not have: one of its "
            f"keys does not open, or {_RESTORED}"
        )
    return None
