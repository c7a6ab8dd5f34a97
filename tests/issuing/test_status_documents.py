"""The bytes of a status list."""

import json
import random
import zlib
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_server.status.bits import Bits
from auth_server.status.documents import (
    ListError,
    ListTerms,
    decoded,
    encoded,
    index_document,
    list_document,
    list_payload,
    list_uri,
    read_list,
    unset,
)
from farseal.encoding import b64url_decode, b64url_encode
from farseal.status_list import StatusList

ISSUER = "https://auth.example"
TERMS = ListTerms(ISSUER, life=3600, ttl=5)
LIST = "abcdefghijklmno_"


def packed(*indexes: int) -> bytes:
    """As the database packs them."""
    return b"".join(index.to_bytes(4) for index in indexes)


def token(payload: bytes, *, header=None) -> str:
    head = json.dumps(header or {"alg": "RS256", "kid": "k", "typ": "statuslist+jwt"}).encode()
    return f"{b64url_encode(head)}.{b64url_encode(payload)}.c2ln"


def test_bits_are_those_of_the_draft() -> None:
    """Section 4.1: 16 entries of one bit, in the order that the draft gives; its own text decodes to ours."""
    said = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    bits = Bits(16)
    bits.take_over([packed(*(index for index, value in enumerate(said) if value))], version=2)
    assert zlib.decompress(b64url_decode("eNrbuRgAAhcBXQ")) == bits.data == bytes.fromhex("b9a3")
    assert zlib.decompress(b64url_decode(encoded(bits.data))) == bits.data


@given(indexes=st.sets(st.integers(0, 1023)), again=st.sets(st.integers(0, 1023)))
def test_every_index_is_set_and_no_other(indexes: set[int], again: set[int]) -> None:
    """Read as the verifiers read it, in any order, and though some come twice."""
    bits = Bits(1024)
    for version, some in enumerate((indexes, again), start=1):
        shuffled = list(some)
        random.shuffle(shuffled)
        bits.take_over([packed(*shuffled)], version=version)
    assert (bits.revoked, bits.version) == (len(indexes | again), 2)
    read = StatusList("u", 0, None, None, 1, bytes(bits.data), "k", b"")
    assert {index for index in range(1024) if read.value(index)} == indexes | again


def test_an_index_outside_of_the_list_is_an_error_and_the_version_stays() -> None:
    bits = Bits(1024)
    with pytest.raises(IndexError):
        bits.take_over([packed(1024)], version=5)
    assert bits.version == 0


def test_the_documents_of_one_state_are_the_same_bytes() -> None:
    """Whichever server signs them, in whichever order its lists came."""
    assert index_document(ISSUER, {"b": "2", "a": "1"}) == index_document(ISSUER, {"a": "1", "b": "2"})
    said = json.loads(index_document(ISSUER + "/", {"b": "2", "a": "1"}).body)
    uris = [f"{ISSUER}/.well-known/status/{name}.jwt" for name in "ab"]
    assert said == {
        "status_lists": uris,
        "farseal": {"issuer": ISSUER + "/", "lists": dict(zip(uris, "12", strict=True))},
    }


def test_a_list_is_read_back() -> None:
    payload = list_payload(TERMS, LIST, lst=encoded(bytes(128)), version=7, issued_at=60)
    document = list_document(token(payload), LIST, version=7, issued_at=60, kid="k", bits=bytes(128))
    found = read_list(document.body)
    assert (found.issuer, found.uri, found.version, found.issued_at, found.kid) == (
        ISSUER, list_uri(ISSUER, LIST), 7, 60, "k",
    )  # fmt: skip
    assert found.digest == document.digest
    assert document.etag == f'"{document.digest}"'
    assert document.name == f"status/{LIST}.jwt"
    assert decoded(found.entries, most=128) == bytes(128)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"a.b",
        b"..",
        b"{}",
        b"x" * (4 * 1024 * 1024 + 1),
        token(b"{}").encode(),
        token(b"\xff").encode(),
        token(list_payload(TERMS, LIST, lst="", version=0, issued_at=60)).encode(),
        token(list_payload(TERMS, LIST, lst="", version=2**53, issued_at=60)).encode(),
        token(
            list_payload(TERMS, LIST, lst="", version=1, issued_at=60), header={"typ": "at+jwt", "kid": "k"}
        ).encode(),
    ],
    ids=[
        "empty",
        "two",
        "nothing",
        "json",
        "long",
        "no-claims",
        "no-utf8",
        "version-0",
        "version-high",
        "access-token",
    ],
)
def test_what_is_no_list_of_ours_is_not_read(body: bytes) -> None:
    with pytest.raises(ListError):
        read_list(body)


@pytest.mark.parametrize(
    ("bits", "lst"),
    [
        (2, encoded(bytes(128))),
        (1, encoded(bytes(129))),
        (1, encoded(bytes(1 << 24))),
        (1, b64url_encode(zlib.compress(bytes(128))[:-1])),
        (1, b64url_encode(zlib.compress(bytes(128)) + b"x")),
        (1, b64url_encode(b"nonsense")),
        (1, "=="),
    ],
    ids=["two-bits", "longer", "bomb", "cut", "followed", "nonsense", "no-base64"],
)
def test_entries_that_are_not_those_of_a_list_are_refused(bits: int, lst: str) -> None:
    with pytest.raises(ListError):
        decoded(json.dumps({"bits": bits, "lst": lst}).encode(), most=128)


@pytest.mark.parametrize(
    ("theirs", "ours", "count"), [("00", "ff", 0), ("81", "80", 1), ("0700", "0000", 3), ("", "01", 0)]
)
def test_sessions_that_would_come_back_to_life_are_counted(theirs: str, ours: str, count: int) -> None:
    assert unset(bytes.fromhex(theirs), bytes.fromhex(ours)) == count


def test_indexes_are_four_bytes_here_too() -> None:
    """What `array` calls an unsigned int has the size that the database sends."""
    assert array("I").itemsize == 4
