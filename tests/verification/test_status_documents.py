"""Documents of status lists: what is read of a good one, and that a bad one is refused with a reason."""

import hashlib
import json
import os
import time
import zlib

import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from hypothesis import given
from hypothesis import strategies as st

from farseal.errors import VerificationError
from farseal.jwks import parse_jwks
from farseal.status_index import MAX_LISTS, list_name, parse_index
from farseal.status_list import (
    LEEWAY_SECONDS,
    MAX_LIST_BYTES,
    MAX_LIST_TOKEN_BYTES,
    MAX_URI_CHARACTERS,
    StatusList,
    StatusListError,
    StatusPolicy,
    read_status_list,
)
from farseal.trust import IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, b64, compact_json, jwk, packed, private_key, sign

NOW = 1_800_000_000
OURS = Issuer(NOW)
KEYS = parse_jwks(OURS.jwks(jwk(private_key("second"), "second"))).keys
THEIRS = Issuer(NOW, issuer="https://other.example", kid="theirs")
URI = OURS.list_uri


def read(document: bytes, *, now: int = NOW, **changes) -> StatusList:
    given = {"issuer": ISSUER, "keys": KEYS, "now": now} | changes
    return read_status_list(document, URI, **given)


def entries(lst: object, bits: object = 1, **more: object) -> bytes:
    """A list whose ``status_list`` is as given."""
    return OURS.status_list(status_list={"bits": bits, "lst": lst} | more)


@pytest.mark.parametrize(
    ("bits", "lst", "values"),
    [
        pytest.param(1, "eNrbuRgAAhcBXQ", [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1], id="draft-1-bit"),
        pytest.param(2, "eNo76fITAAPfAgc", [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3], id="draft-2-bits"),
        pytest.param(4, packed(bytes([0x21, 0xF0])), [1, 2, 0, 15], id="4-bits-low-half-first"),
        pytest.param(8, packed(bytes([0, 2, 255])), [0, 2, 255], id="8-bits"),
        pytest.param(1, packed(b""), [], id="empty"),
    ],
)
def test_every_entry_is_read_as_it_was_written(bits, lst, values) -> None:
    """The lowest bits of a byte come first (section 4.1); the two vectors are the draft's own."""
    found = read(entries(lst, bits))
    assert [found.value(index) for index in range(found.size)] == values
    with pytest.raises(IndexError):
        found.value(found.size)


@given(st.binary(max_size=40), st.sampled_from([1, 2, 4, 8]))
def test_a_value_is_what_a_slow_reading_says(data, bits) -> None:
    """All entries of any bytes, against text of ones and noughts; and none beyond."""
    found = StatusList(URI, NOW, None, None, bits, data, "first", b"")
    text = "".join(f"{byte:08b}"[::-1] for byte in data)
    slow = [int(text[at : at + bits][::-1], 2) for at in range(0, len(text), bits)]
    assert [found.value(index) for index in range(found.size)] == slow
    for beyond in (found.size, found.size + 1, 2**31, 2**63, 2**64, 10**40):
        with pytest.raises(IndexError):
            found.value(beyond)


def test_what_a_list_says_of_itself_is_kept() -> None:
    """Times, the key, the digest of the document, and the version of an issuer of ours."""
    document = OURS.status_list([3], farseal={"version": 7, "next": []})
    found = read(document)
    assert found == StatusList(
        URI, NOW, NOW + 86_400, 5, 1, bytes([8, *bytes(7)]), "first", hashlib.sha256(document).digest(), 7
    )
    assert "data" not in repr(found)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": None}, id="no-exp"),
        pytest.param({"ttl": None}, id="no-ttl"),
        pytest.param({"ttl": 0.5}, id="a-fraction-of-a-second"),
        pytest.param({"iss": None}, id="no-iss"),
        pytest.param({"iat": NOW + LEEWAY_SECONDS}, id="iat-within-the-leeway"),
        pytest.param({"exp": NOW + 1}, id="last-second"),
        pytest.param({"farseal": {}}, id="no-version"),
        pytest.param({"status_list": {"bits": 1, "lst": packed(b"\0"), "aggregation_uri": "x"}}, id="aggregation"),
    ],
)
def test_what_an_issuer_may_leave_out_or_add_is_no_fault(claims) -> None:
    """Section 5.1: exp and ttl are optional. Without an exp its age decides alone."""
    found = read(OURS.status_list(**claims))
    assert found.expires_at == (None if "exp" in claims and claims["exp"] is None else claims.get("exp", NOW + 86_400))
    assert found.ttl == {None: None, 0.5: 1}.get(claims.get("ttl", 5), 5)


COSTLY = {
    "arrays": b"[" + b",".join([b"[]"] * 1_000_000) + b"]",
    "objects": b"[" + b",".join([b"{}"] * 1_000_000) + b"]",
    "numbers-of-4000-digits": b"[" + b",".join([b"1" * 4000] * 750) + b"]",
    "brackets-in-a-text": b'"' + b"[" * 3_000_000 + b'"',
    "quotes-in-a-text": b'"' + b'\\"' * 1_500_000 + b'"',
}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kind", [*COSTLY])
def test_json_that_is_slow_to_read_is_not_read(kind, signed) -> None:
    """A parser that is at work keeps all threads waiting: before the signature nothing large is parsed, and after it
    nothing that is not the text of entries. The slowest of these took three seconds of everybody's time.
    """
    payload = b'{"sub":"%s","iat":%d,"a":%s}' % (URI.encode(), NOW, COSTLY[kind])
    head = compact_json({"alg": "RS256", "kid": "first", "typ": "statuslist+jwt"})
    document = sign(head, payload, OURS.key).encode()
    if not signed:
        document = document[:-4] + b"AAAA"
    began = time.thread_time()
    with pytest.raises(StatusListError, match="beside lst" if signed else "signature"):
        read(document)
    assert time.thread_time() - began < 0.2


def test_a_large_header_is_not_read() -> None:
    """It comes before the signature, and a header has a few members."""
    document = OURS.status_list(header={"a": "b" * 20_000})
    with pytest.raises(StatusListError, match="too large"):
        read(document)


def test_what_is_said_beside_large_entries_is_bounded() -> None:
    """By the bytes of a token; whatever the entries are."""
    lst = b64(zlib.compress(os.urandom(100_000)))
    assert read(entries(lst, a="b" * 15_000)).size == 800_000
    with pytest.raises(StatusListError, match="beside lst"):
        read(entries(lst, a="b" * 17_000))


def test_the_long_form_of_the_typ_is_the_same() -> None:
    """As with access tokens."""
    assert read(OURS.status_list(header={"typ": "application/StatusList+JWT"})).kid == "first"


def test_a_list_of_ten_million_is_read() -> None:
    """5 % of them ended; the bounds are far above."""
    data = bytes(10_000_000 // 8)
    assert read(entries(packed(data))).size == 10_000_000


BOMB = packed(bytes(MAX_LIST_BYTES + 1))
STREAM = zlib.compress(bytes(64))


@pytest.mark.parametrize(
    ("lst", "reason"),
    [
        pytest.param(BOMB, f"Its lst is of more than {MAX_LIST_BYTES} bytes once inflated", id="bomb-by-a-byte"),
        pytest.param(packed(bytes(200 << 20)), f"Its lst is of more than {MAX_LIST_BYTES} bytes", id="bomb-1000-to-1"),
        pytest.param(b64(STREAM[:-1]), "Its lst ends too early", id="truncated-checksum"),
        pytest.param(b64(STREAM[:4]), "Its lst ends too early", id="truncated"),
        pytest.param("", "Its lst ends too early", id="nothing"),
        pytest.param(b64(STREAM + b"\0"), "Its lst has data after its end", id="a-byte-after"),
        pytest.param(b64(STREAM + STREAM), "Its lst has data after its end", id="a-second-stream"),
        pytest.param(b64(STREAM[:-1] + b"\0"), "Its lst is not a ZLIB stream", id="wrong-checksum"),
        pytest.param(b64(bytes(40)), "Its lst is not a ZLIB stream", id="noughts"),
        pytest.param(b64(zlib.compress(bytes(64), wbits=-15)), "Its lst is not a ZLIB stream", id="raw-deflate"),
        pytest.param(b64(zlib.compress(bytes(64), wbits=31)), "Its lst is not a ZLIB stream", id="gzip"),
        pytest.param(b64(STREAM) + "=", "Its lst is not base64url", id="padded"),
        pytest.param("eNrbuRgAAhcBXR", "Its lst is not base64url: stray bits", id="a-second-spelling"),
        pytest.param("+/" + b64(STREAM)[2:], "Its lst is not base64url", id="standard-alphabet"),
        pytest.param(None, "Its lst is missing or not a string", id="none"),
        pytest.param(1, "Its lst is missing or not a string", id="a-number"),
        pytest.param([b64(STREAM)], "Its lst is missing or not a string", id="a-list"),
    ],
)
def test_entries_that_cannot_be_read_are_refused(lst, reason) -> None:
    """One spelling, one stream, whole, and no larger than the bound, whatever it claims to be."""
    with pytest.raises(StatusListError, match=reason.replace("(", r"\(")):
        read(entries(lst))


@pytest.mark.parametrize("bits", [3, 0, True, "1", 16, -1, 1.0, None, [1]], ids=repr)
def test_other_widths_than_the_four_are_refused(bits) -> None:
    """Section 4.2: 1, 2, 4 or 8, and a number."""
    with pytest.raises(StatusListError, match="Its bits are not"):
        read(entries(packed(bytes(8)), bits))


def hs256() -> bytes:
    public = OURS.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, payload, _ = OURS.status_list(header={"alg": "HS256"}).decode().split(".")
    mac = hmac.HMAC(public, hashes.SHA256())
    mac.update(f"{head}.{payload}".encode())
    return f"{head}.{payload}.{b64(mac.finalize())}".encode()


def flipped() -> bytes:
    head, payload, signature = OURS.status_list().decode().split(".")
    other = OURS.status_list([1]).decode().split(".")[1]
    assert other != payload
    return f"{head}.{other}.{signature}".encode()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param(OURS.mint(status=OURS.status()).encode(), "not a status list", id="a-valid-access-token"),
        pytest.param(OURS.status_list(header={"typ": "JWT"}), "not a status list", id="typ-jwt"),
        pytest.param(OURS.status_list(header={"typ": None}), "not a status list", id="no-typ"),
        pytest.param(OURS.status_list(header={"alg": "none"}), "is not RS256", id="alg-none-signed"),
        pytest.param(hs256(), "is not RS256", id="hs256-with-the-public-key"),
        pytest.param(OURS.status_list(header={"crit": ["exp"]}), "an extension", id="crit"),
        pytest.param(OURS.status_list(header={"zip": "DEF"}), "compression", id="zip"),
        pytest.param(THEIRS.status_list(sub=URI, iss=ISSUER), "Its key is not one of", id="unknown-key"),
        pytest.param(
            THEIRS.status_list(sub=URI, iss=ISSUER, header={"kid": "first"}),
            "signature",
            id="another-issuers-key-under-our-kid",
        ),
        pytest.param(OURS.status_list(header={"kid": "second"}), "signature", id="our-other-key"),
        pytest.param(OURS.status_list(header={"kid": None}), "does not name a key", id="no-kid"),
        pytest.param(OURS.status_list(header={"kid": "withdrawn"}), "Its key has been withdrawn", id="withdrawn-key"),
        pytest.param(flipped(), "signature", id="entries-exchanged"),
        pytest.param(OURS.status_list()[:-4], "signature|malformed", id="half-written"),
        pytest.param(b"", "three parts", id="empty"),
        pytest.param(b"{}", "three parts", id="json"),
        pytest.param(OURS.status_list() + b"\n", "malformed", id="a-newline-after"),
        pytest.param(b"\xff" * 100, "three parts", id="binary"),
        pytest.param(b"a" * (MAX_LIST_TOKEN_BYTES + 1), "too large", id="too-large"),
        pytest.param(OURS.status_list(sub=URI + "x"), "another list", id="another-uri"),
        pytest.param(OURS.status_list(sub=None), "another list", id="no-sub"),
        pytest.param(OURS.status_list(sub=[URI]), "another list", id="sub-a-list"),
        pytest.param(OURS.status_list(iss=THEIRS.issuer), "another issuer", id="another-issuer"),
        pytest.param(OURS.status_list(iss=None, farseal=None, sub=THEIRS.list_uri), "another list", id="theirs"),
        pytest.param(OURS.status_list(iat=NOW + LEEWAY_SECONDS + 1), "in the future", id="future-iat"),
        pytest.param(OURS.status_list(nbf=NOW + LEEWAY_SECONDS + 1), "in the future", id="future-nbf"),
        pytest.param(OURS.status_list(exp=NOW), "has expired", id="exp-is-now"),
        pytest.param(OURS.status_list(exp=NOW - 1), "has expired", id="past-exp"),
        pytest.param(OURS.status_list(iat=None), "Its iat", id="no-iat"),
        *[
            pytest.param(OURS.status_list(**{name: value}), f"Its {name}", id=f"{name}-{value!r}")
            for name in ("iat", "exp", "nbf")
            for value in (True, float(NOW), str(NOW), -1, 10**12, [NOW])
        ],
        *[
            pytest.param(OURS.status_list(ttl=value), "Its ttl", id=f"ttl-{value!r}")
            for value in (0, -1, True, "5", 1e300, [5])
        ],
        pytest.param(OURS.status_list(status_list=None), "no status_list", id="no-status-list"),
        pytest.param(OURS.status_list(status_list=[]), "no status_list", id="a-list"),
        pytest.param(OURS.status_list(farseal=[]), "member farseal", id="member-a-list"),
        *[
            pytest.param(OURS.status_list(farseal={"version": value}), "Its version", id=f"version-{value!r}")
            for value in (0, -1, True, 1.0, "1", 2**53, None)
        ],
    ],
)
def test_a_document_that_is_no_list_of_ours_is_refused(document, reason) -> None:
    """As strictly as a token, and with a reason that quotes nothing of it."""
    with pytest.raises(StatusListError, match=reason) as refused:
        read(document, revoked=frozenset({"withdrawn"}))
    assert "127.0.0.1" not in str(refused.value)


def test_a_list_is_no_access_token() -> None:
    """Not even with every claim of one: kinds of JWT are never exchanged (RFC 8725 section 3.11)."""
    document = OURS.status_list(**(OURS.claims(status=OURS.status()) | {"sub": URI}))
    assert read(document).uri == URI
    snapshot = TrustSnapshot().with_issuer(IssuerTrust(ISSUER, KEYS, NOW, lists={URI: read(document)}))
    with pytest.raises(VerificationError) as refused:
        Verifier(Expectations(NOTES, frozenset({ISSUER}))).verify(document, snapshot, now=NOW)
    assert refused.value.code == "type_refused"


@given(st.binary(max_size=300))
def test_nothing_but_a_refusal_comes_out_of_any_bytes(data) -> None:
    """Whatever lies in the place of a list, of its entries, or of the index."""
    with pytest.raises(StatusListError):
        read(data)
    with pytest.raises(StatusListError):
        read(sign(compact_json(OURS.header(typ="statuslist+jwt")), data, OURS.key).encode())
    with pytest.raises(StatusListError):
        parse_index(data, ISSUER)


DIGEST = b64(bytes(range(32)))


def index(*uris: object, **members: object) -> bytes:
    return json.dumps({"status_lists": list(uris)} | members).encode()


def test_an_index_names_the_lists_and_where_they_have_changed() -> None:
    """Ours with digests, a list without one too; one of a foreign issuer has none at all."""
    two = "https://a.example/x/two.jwt"
    said = {"issuer": ISSUER, "lists": {URI: DIGEST, "https://not.example/there.jwt": DIGEST}}
    assert parse_index(index(URI, two, farseal=said), ISSUER) == {URI: bytes(range(32)), two: None}
    assert parse_index(index(two), ISSUER) == {two: None}
    assert parse_index(index(farseal={}), ISSUER) == {}
    assert list_name(two) == "two.jwt"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"[]", "not usable", id="not-an-object"),
        pytest.param(b'{"status_lists":[],"status_lists":[]}', "not usable", id="duplicate-members"),
        pytest.param(b'{"status_lists":[]', "not usable", id="half-written"),
        pytest.param(b" " * (1 << 20) + b"{}", "not usable", id="huge"),
        pytest.param(b"{}", "no list of at most", id="no-lists"),
        pytest.param(b'{"status_lists":"x"}', "no list of at most", id="a-string"),
        pytest.param(index(*(f"a:/{n}.jwt" for n in range(MAX_LISTS + 1))), "no list of at most", id="too-many"),
        pytest.param(index(1), "has no URI", id="a-number"),
        pytest.param(index(None), "has no URI", id="null"),
        pytest.param(index(""), "has no URI", id="an-empty-uri"),
        pytest.param(index("a:/x y.jwt"), "has no URI", id="a-blank"),
        pytest.param(index("a:/é/x.jwt"), "has no URI", id="beyond-ascii"),
        pytest.param(index("a:/\n/x.jwt"), "has no URI", id="a-newline"),
        pytest.param(index("a:/" + "x" * MAX_URI_CHARACTERS + "/x.jwt"), "has no URI", id="a-huge-uri"),
        pytest.param(index(URI, URI), "one name", id="twice"),
        pytest.param(index("https://a.example/1/x.jwt", "https://a.example/2/x.jwt"), "one name", id="one-name"),
        *[
            pytest.param(index(f"https://a.example/status/{name}"), "no name", id=f"name-{name[:12]!r}")
            for name in ("", "..", ".jwt", "x", "x.jwt.gz", "../x.jws", "a%2F.jwt", "x.jwt?a=1", "a" * 65 + ".jwt")
        ],
        pytest.param(index(farseal=[]), "member farseal", id="member"),
        pytest.param(index(farseal={"issuer": "https://other.example"}), "another issuer", id="another-issuer"),
        pytest.param(index(farseal={"issuer": None}), "another issuer", id="no-issuer"),
        pytest.param(index(farseal={"lists": []}), "not an object", id="digests"),
        *[
            pytest.param(index(URI, farseal={"lists": {URI: digest}}), "not a SHA-256", id=f"digest-{digest!r:.12}")
            for digest in ("", "x", DIGEST + "=", DIGEST[:-1], 1, [DIGEST])
        ],
    ],
)
def test_an_index_that_cannot_be_relied_on_is_refused_whole(data, reason) -> None:
    """Which lists there are is then not known."""
    with pytest.raises(StatusListError, match=reason):
        parse_index(data, ISSUER)


def test_as_many_lists_as_are_allowed_are_read() -> None:
    """The bound itself is in."""
    assert len(parse_index(index(*(f"a:/{n}.jwt" for n in range(MAX_LISTS))), ISSUER)) == MAX_LISTS


@pytest.mark.parametrize("value", ["off", "OFF", None, True, 0], ids=repr)
def test_a_policy_is_one_of_three_and_no_text(value) -> None:
    """A text that equals one would be told apart from it where it matters, and let every token through."""
    with pytest.raises(ValueError, match="must be a StatusPolicy"):
        Expectations(NOTES, frozenset({ISSUER}), status=value)
    assert Expectations(NOTES, frozenset({ISSUER})).status is StatusPolicy.REQUIRE


@pytest.mark.parametrize("unit", [b"[]", b"{}", b"1e5"])
def test_an_index_that_is_slow_to_read_is_not_read(unit) -> None:
    """A parser that is at work keeps all threads waiting; the slowest of these took half a second of everybody's."""
    data = b'{"status_lists":[],"a":[%s]}' % b",".join([unit] * (1_000_000 // (len(unit) + 1)))
    began = time.thread_time()
    with pytest.raises(StatusListError, match="more in it"):
        parse_index(data, ISSUER)
    assert time.thread_time() - began < 0.1


def test_the_largest_index_is_read_whatever_its_uris_are_made_of() -> None:
    """Of 4096 lists with digests, and brackets and commas in each URI."""
    uris = [f"https://[2001:db8::1]/a,b/{number}.jwt" for number in range(MAX_LISTS)]
    document = compact_json({"status_lists": uris, "farseal": {"lists": dict.fromkeys(uris, b64(bytes(32)))}})
    assert parse_index(document, ISSUER) == dict.fromkeys(uris, bytes(32))
