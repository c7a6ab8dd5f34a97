"""The published lists: from bits to bytes, and read back (pure). Token Status List, draft-ietf-oauth-status-list."""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from auth_server.publication.documents import Document
from farseal.encoding import EncodingError, b64url_decode, b64url_encode
from farseal.vocabulary import (
    MAX_SEQUENCE,
    PUBLICATION_MEMBER,
    STATUS_DIRECTORY,
    STATUS_INDEX_FILE,
    STATUS_LIST_MEDIA_TYPE,
    STATUS_LIST_TYPE,
    STATUS_LISTS_PATH,
    STATUS_SUFFIX,
)

BITS: Final = 1
"""Of an entry: a grant lives or has ended."""

ZLIB_LEVEL: Final = 6
"""A list of 2^20 with 1 % revoked takes 6 ms and 17 kB; at level 9 it is 13 % smaller and takes 76 ms, at level 1 a
third larger and takes 1 ms. Ten lists that change together must be out within 200 ms. `make bench` measures it."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of a list as verifiers take it: one of 2^24 entries with half of the bits set takes 3.7 MiB."""


class ListError(Exception):
    """The bytes are no list that a server of ours wrote. The message quotes nothing of them."""


@dataclass(frozen=True, slots=True)
class ListTerms:
    """What all lists say alike. Seconds.

    Args:
        issuer: the configured string, byte for byte.
        life: after which a list is not to be relied on.
        ttl: after which to look for the next one.
    """

    issuer: str
    life: int
    ttl: int


@dataclass(frozen=True, slots=True)
class ListDocument(Document):
    """A signed list.

    Args:
        list_id: of the row in `status_lists`.
        version: of the row when it was read.
        issued_at: in seconds since the epoch.
        kid: of the key that signed.
        digest: SHA-256 of the document in base64url; its validator too.
        bits: that it says.
    """

    list_id: str
    version: int
    issued_at: int
    kid: str
    digest: str
    bits: bytes = field(repr=False)

    @property
    def etag(self) -> str:
        """See `Document`; without hashing the list at every request."""
        return f'"{self.digest}"'


class _Header(msgspec.Struct):
    kid: str
    typ: str


class _Entries(msgspec.Struct):
    bits: int
    lst: str


class _Said(msgspec.Struct):
    version: int


class _Payload(msgspec.Struct, rename={"said": PUBLICATION_MEMBER}):
    iss: str
    sub: str
    iat: int
    said: _Said
    status_list: msgspec.Raw


@dataclass(frozen=True, slots=True)
class PublishedList:
    """The content of one document, as far as it matters beside a newer one; ``uri`` is its ``sub``."""

    issuer: str
    uri: str
    version: int
    issued_at: int
    kid: str
    digest: str
    entries: bytes = field(repr=False)
    """The member ``status_list`` as it stands."""


def list_uri(issuer: str, list_id: str) -> str:
    """The address of a list, as tokens name it."""
    return f"{issuer.rstrip('/')}{STATUS_LISTS_PATH}{list_id}{STATUS_SUFFIX}"


def list_name(list_id: str) -> str:
    """Of its file, below the publication directory."""
    return f"{STATUS_DIRECTORY}/{list_id}{STATUS_SUFFIX}"


def encoded(bits: bytes | bytearray, *, level: int = ZLIB_LEVEL) -> str:
    """The member ``lst``: compressed, base64url (section 4.1). Takes milliseconds, without the interpreter's lock."""
    return b64url_encode(zlib.compress(bits, level))


def list_payload(terms: ListTerms, list_id: str, *, lst: str, version: int, issued_at: int) -> bytes:
    """The claims of a list token (section 5.1).

    Args:
        terms: of all lists.
        list_id: of this one.
        lst: see `encoded`.
        version: of the state in the database: a lower one is older.
        issued_at: a moment before the database was read, in seconds since the epoch.
    """
    return msgspec.json.encode(
        {
            "iss": terms.issuer,
            "sub": list_uri(terms.issuer, list_id),
            "iat": issued_at,
            "exp": issued_at + terms.life,
            "ttl": terms.ttl,
            PUBLICATION_MEMBER: {"version": version},
            "status_list": {"bits": BITS, "lst": lst},
        }
    )


def list_document(token: str, list_id: str, *, version: int, issued_at: int, kid: str, bits: bytes) -> ListDocument:
    """A signed list as it is published; see there."""
    body = token.encode("ascii")
    return ListDocument(
        list_name(list_id), STATUS_LIST_MEDIA_TYPE, body, list_id, version, issued_at, kid, digest_of(body), bits
    )


def digest_of(body: bytes) -> str:
    """As the index has it."""
    return b64url_encode(hashlib.sha256(body).digest())


def index_document(issuer: str, digests: Mapping[str, str]) -> Document:
    """The document that names the lists (section 9.3), with a member of ours that tells which of them have changed.

    The digests are a hint and no proof: the lists are signed, the index is not.

    Args:
        issuer: the configured string, byte for byte.
        digests: of the lists' bytes, by the lists' ids.
    """
    lists = {list_uri(issuer, list_id): digest for list_id, digest in sorted(digests.items())}
    said = {"issuer": issuer, "lists": lists}
    body = msgspec.json.encode({"status_lists": sorted(lists), PUBLICATION_MEMBER: said})
    return Document(STATUS_INDEX_FILE, "application/json", body)


def read_list(body: bytes) -> PublishedList:
    """What a list token says, its signature unseen.

    Raises:
        ListError: too long, not of our making, or a version out of range.
    """
    if len(body) > MAX_BYTES:
        raise ListError(f"longer than {MAX_BYTES} bytes")
    try:
        head, payload, _signature = body.split(b".")
        header = msgspec.json.decode(b64url_decode(head), type=_Header)
        found = msgspec.json.decode(b64url_decode(payload), type=_Payload)
    except (ValueError, EncodingError, msgspec.DecodeError) as error:
        raise ListError(f"not a status list of ours: {type(error).__name__}") from None
    if header.typ != STATUS_LIST_TYPE:
        raise ListError("not a status list by its type")
    if not 1 <= found.said.version <= MAX_SEQUENCE:
        raise ListError("its version is out of range")
    return PublishedList(
        found.iss, found.sub, found.said.version, found.iat, header.kid, digest_of(body), bytes(found.status_list)
    )


def unset(theirs: bytes, ours: bytes) -> int:
    """How many entries are set in ``theirs`` and not in ``ours``: as many sessions would come back to life."""
    return (int.from_bytes(theirs, "little") & ~int.from_bytes(ours, "little")).bit_count()


def decoded(entries: bytes, *, most: int) -> bytes:
    """The bits of the member ``status_list`` of a list of ours.

    Raises:
        ListError: another size of entries, broken, or more than ``most`` bytes.
    """
    try:
        found = msgspec.json.decode(entries, type=_Entries)
        inflater = zlib.decompressobj()
        bits = inflater.decompress(b64url_decode(found.lst), most + 1)
    except (ValueError, msgspec.DecodeError, zlib.error) as error:
        raise ListError(f"its entries cannot be read: {type(error).__name__}") from None
    if found.bits != BITS or len(bits) > most or not inflater.eof or inflater.unused_data:
        raise ListError("its entries are not those of a list of ours")
    return bits
