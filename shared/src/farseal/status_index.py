"""The document that names the status lists of an issuer (Token Status List section 9), and where each is kept."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from farseal.encoding import EncodingError, b64url_decode, parse_json_object
from farseal.status_list import MAX_URI_CHARACTERS, StatusListError, is_list_uri
from farseal.vocabulary import PUBLICATION_MEMBER

MAX_LISTS: Final = 4096
"""Of one issuer. At a million entries each that is more sessions than anybody has."""

MAX_ALL_LISTS_BYTES: Final = 256 << 20
"""Of the entries of all lists of one issuer, inflated: two thousand million sessions. No issuer owns our memory."""

MAX_SEPARATORS: Final = 8 * MAX_LISTS
"""Commas and opening brackets of the document, also those in texts: an index of `MAX_LISTS` has two for each. A parser
keeps all threads waiting, and a megabyte of brackets is the work of half a second."""

DIGEST_BYTES: Final = 32
"""Of SHA-256."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\.jwt")


def list_name(uri: str) -> str:
    """The name of a list's file: the last segment of its URI. No such name leads out of a directory.

    Raises:
        StatusListError: it has none that can be one.
    """
    name = uri.rpartition("/")[2]
    if not _NAME.fullmatch(name):
        raise StatusListError("A list of the index has no name of letters, digits, - and _ that ends in .jwt")
    return name


def parse_index(data: bytes, issuer: str) -> Mapping[str, bytes | None]:
    """The URIs of an issuer's lists, each with the SHA-256 of its document where the issuer is one of ours.

    A digest is a hint that a list has changed, and no more: what is in the list is proved by its signature.

    Args:
        data: the document.
        issuer: whose it must be, where it says whose it is.

    Raises:
        StatusListError: it is not strict JSON, has more than `MAX_SEPARATORS`, is of another issuer, names more than
            `MAX_LISTS` lists, one of them twice, two with one name or one without, or its member ``farseal`` cannot be
            read.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_SEPARATORS:
        raise StatusListError("The index has more in it than any has")
    try:
        document = parse_json_object(data)
    except EncodingError as error:
        raise StatusListError(f"The index is not usable: {error}") from None
    uris = document.get("status_lists")
    if not isinstance(uris, list) or len(uris) > MAX_LISTS:
        raise StatusListError(f"The index has no list of at most {MAX_LISTS} status lists")
    if not all(is_list_uri(uri) for uri in uris):
        raise StatusListError(f"A list of the index has no URI of at most {MAX_URI_CHARACTERS} characters")
    if len({list_name(uri) for uri in uris}) != len(uris):
        raise StatusListError("Two lists of the index have one name")
    digests = _digests(document, issuer)
    return MappingProxyType({uri: _digest(digests.get(uri)) for uri in uris})


def _digests(document: Mapping[str, Any], issuer: str) -> Mapping[str, object]:
    said = document.get(PUBLICATION_MEMBER, {})
    if not isinstance(said, dict):
        raise StatusListError(f"The member {PUBLICATION_MEMBER} of the index is not an object")
    if "issuer" in said and said["issuer"] != issuer:
        raise StatusListError("The index is of another issuer")
    digests = said.get("lists", {})
    if not isinstance(digests, dict):
        raise StatusListError("The digests of the index are not an object")
    return digests


def _digest(text: object) -> bytes | None:
    if text is None:
        return None
    try:
        digest = b64url_decode(text) if isinstance(text, str) else b""
    except EncodingError:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise StatusListError("A digest of the index is not a SHA-256 in base64url")
    return digest
