"""A copy of the last good key set on this machine's disk: what a verifier starts from while its issuer is down.

It decides whose tokens are honoured, so it is believed only as far as a key set from the network would be: of this
issuer, whole, not from the future, not past the hard limit, and written by nobody else.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from farseal.encoding import EncodingError, parse_json_object
from farseal.sources.document import MAX_DOCUMENT_BYTES
from farseal.sources.own_files import CopyError, put, remove, sweep, take

FORMAT: Final = 1
"""Another one is not read: the next good fetch writes ours over it."""

MAX_HEAD_BYTES: Final = 16_384
"""Of what is said about the body: an issuer, an address, and two fields of an answer, each of them bounded."""

FUTURE_SECONDS: Final = 300
"""A copy dated later than this from now is refused: either clock is wrong, and its age cannot be told."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A key set as it was fetched.

    Args:
        issuer: whose it is.
        url: where it came from; what the server says of its own copy holds for this address alone.
        dated: when it was published, in seconds since the epoch, as the keeper was told.
        fetched: when an answer last said that it is the one there is, in seconds since the epoch.
        etag: as the server wrote it.
        last_modified: as the server wrote it.
        body: the document, byte for byte.
    """

    issuer: str
    url: str
    dated: int
    fetched: int
    etag: str | None
    last_modified: str | None
    body: bytes


def file_name(issuer: str) -> str:
    """Of an issuer's copy: its SHA-256, because an issuer may be longer than a name and has slashes in it."""
    return f"{hashlib.sha256(issuer.encode()).hexdigest()}.jwks"


def write_copy(directory: Path, copy: Copy) -> None:
    """Put a copy in the place of the one before, whole or not at all, for this user alone. Blocks.

    Raises:
        CopyError: the disk is full, read-only, or otherwise not willing.
    """
    head: dict[str, Any] = {
        "format": FORMAT,
        "issuer": copy.issuer,
        "url": copy.url,
        "dated": copy.dated,
        "fetched": copy.fetched,
        "etag": copy.etag,
        "last_modified": copy.last_modified,
    }
    content = msgspec.json.encode(head) + b"\n" + copy.body
    put(directory, file_name(copy.issuer), hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read_copy(directory: Path, issuer: str, now: int, limit: int) -> Copy | None:
    """The copy of an issuer's key set, or None where there is none. Blocks.

    Args:
        directory: of the copies.
        issuer: whose it must be, byte for byte.
        now: seconds since the epoch.
        limit: seconds since publication; a copy of this age has reached it.

    Raises:
        CopyError: there is one, and it must not be used.
    """
    sweep(directory, file_name(issuer), now)
    content = take(directory, file_name(issuer), MAX_DOCUMENT_BYTES + MAX_HEAD_BYTES)
    if content is None:
        return None
    digest, _, content = content.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise CopyError("damaged")
    head, _, body = content.partition(b"\n")
    try:
        said = parse_json_object(head, max_bytes=MAX_HEAD_BYTES)
    except EncodingError:
        raise CopyError("damaged") from None
    if said.get("format") != FORMAT:
        raise CopyError("of another format")
    if said.get("issuer") != issuer:
        raise CopyError("of another issuer")
    try:
        copy = msgspec.convert({**said, "body": body}, Copy, builtin_types=(bytes,))
    except msgspec.ValidationError:
        raise CopyError("damaged") from None
    if max(copy.dated, copy.fetched) > now + FUTURE_SECONDS:
        raise CopyError("from the future")
    if now - copy.dated >= limit:
        raise CopyError(f"older than the limit of {limit} s")
    return copy


def remove_copy(directory: Path, issuer: str) -> None:
    """Take the copy of an issuer's key set away. Blocks.

    Raises:
        CopyError: it stays.
    """
    remove(directory, file_name(issuer))
