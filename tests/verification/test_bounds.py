"""Where each bound of a token lies: the last value that is taken, and the first that is not."""

from typing import Any

import pytest

from farseal.claims import MAX_IDENTIFIER_CHARS, MAX_LIST_ITEMS, MAX_TIME, AccessClaims
from farseal.compact import MAX_TOKEN_BYTES, MAX_TOKEN_DEPTH, take_apart
from farseal.errors import TokenTooLargeError, VerificationError
from farseal.jwks import MAX_KEYS, KeySetError, parse_jwks
from farseal.settings import TrustSettings
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, IssuerTrust, Judgement, TrustSnapshot
from farseal.verify import Expectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, b64, compact_json, jwk, private_key

NOW = 1_800_000_000
SCOPE_CHARACTERS = "".join(chr(point) for point in range(0x21, 0x7F) if chr(point) not in '"\\')


def judged(leeway: int | None = None, header: dict[str, Any] | None = None, **claims: Any) -> AccessClaims | str:
    """The claims of a good token changed in this way, or the code of its refusal."""
    issuer = Issuer(NOW)
    snapshot = TrustSnapshot().with_issuer(IssuerTrust(ISSUER, parse_jwks(issuer.jwks()).keys, NOW))
    expected = {} if leeway is None else {"leeway": leeway}
    try:
        verifier = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF, **expected))
        return verifier.verify(issuer.mint(header=header, **claims), snapshot, now=NOW)
    except VerificationError as error:
        return error.code


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


MALFORMED = "claims_malformed"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        pytest.param({"sub": "s" * MAX_IDENTIFIER_CHARS}, None, id="identifier-longest"),
        pytest.param({"sub": "s" * (MAX_IDENTIFIER_CHARS + 1)}, MALFORMED, id="identifier-too-long"),
        pytest.param({"aud": [NOTES] * MAX_LIST_ITEMS}, None, id="aud-most"),
        pytest.param({"aud": [NOTES] * (MAX_LIST_ITEMS + 1)}, MALFORMED, id="aud-too-many"),
        pytest.param({"aud": []}, MALFORMED, id="aud-none"),
        pytest.param({"aud": [NOTES, "x" * (MAX_IDENTIFIER_CHARS + 1)]}, MALFORMED, id="aud-one-too-long"),
        pytest.param({"scope": " ".join(f"s{n}" for n in range(MAX_LIST_ITEMS))}, None, id="scope-most"),
        pytest.param({"scope": " ".join(f"s{n}" for n in range(MAX_LIST_ITEMS + 1))}, MALFORMED, id="scope-too-many"),
        pytest.param({"scope": SCOPE_CHARACTERS}, None, id="every-character-of-a-scope"),
        pytest.param({"scope": 'a"'}, MALFORMED, id="scope-with-a-quote"),
        pytest.param({"scope": "a\\"}, MALFORMED, id="scope-with-a-backslash"),
        pytest.param({"scope": "a\x7f"}, MALFORMED, id="scope-with-delete"),
        pytest.param({"scope": "a\x1f"}, MALFORMED, id="scope-with-a-control"),
        pytest.param({"roles": ["r"] * MAX_LIST_ITEMS}, None, id="roles-most"),
        pytest.param({"roles": ["r"] * (MAX_LIST_ITEMS + 1)}, MALFORMED, id="roles-too-many"),
        pytest.param({"exp": MAX_TIME}, None, id="last-second-of-9999"),
        pytest.param({"exp": MAX_TIME + 1}, MALFORMED, id="year-10000"),
        pytest.param({"iat": 0}, None, id="1970"),
        pytest.param({"iat": -1}, MALFORMED, id="1969"),
        pytest.param({"deep": nested(MAX_TOKEN_DEPTH - 1)}, None, id="deepest"),
        pytest.param({"deep": nested(MAX_TOKEN_DEPTH)}, "token_malformed", id="too-deep"),
    ],
)
def test_each_claim_ends_where_it_says(claims, code) -> None:
    """A bound that moves by one is a bound that nobody holds."""
    outcome = judged(**claims)
    assert outcome == code if code else isinstance(outcome, AccessClaims)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        pytest.param({"b64": True}, None, id="b64-as-it-is-anyway"),
        pytest.param({"b64": False}, "critical_refused", id="b64-unencoded"),
        pytest.param({"b64": 1}, "critical_refused", id="b64-no-boolean"),
        pytest.param({"deep": nested(MAX_TOKEN_DEPTH - 1)}, None, id="deepest"),
        pytest.param({"deep": nested(MAX_TOKEN_DEPTH)}, "token_malformed", id="too-deep"),
    ],
)
def test_each_header_member_ends_where_it_says(header, code) -> None:
    """What asks for nothing is let be (RFC 7515 section 4): only what changes the reading is refused."""
    outcome = judged(header=header)
    assert outcome == code if code else isinstance(outcome, AccessClaims)


def test_a_token_of_the_most_bytes_is_looked_at_and_one_more_is_not() -> None:
    """Nothing of a larger one is decoded, as text or as bytes."""
    header, payload = compact_json({"a": 1}), compact_json({"b": 2})
    head = f"{b64(header)}.{b64(payload)}."
    for limit in (200, MAX_TOKEN_BYTES):
        fits = head + "A" * (limit - len(head))
        fits = fits if (limit - len(head)) % 4 != 1 else fits[:-1]
        assert take_apart(fits, max_bytes=limit).payload == {"b": 2}
        for token in ("." * (limit + 1), b"." * (limit + 1)):
            with pytest.raises(TokenTooLargeError):
                take_apart(token, max_bytes=limit)
    with pytest.raises(TokenTooLargeError):
        take_apart("." * (MAX_TOKEN_BYTES + 1))
    assert MAX_TOKEN_BYTES == 16_384, "what the service kit lets through in one header"


@pytest.mark.parametrize(
    ("leeway", "claims", "code"),
    [
        pytest.param(None, {"exp": NOW - 29}, None, id="thirty-seconds-unless-told"),
        pytest.param(None, {"exp": NOW - 30}, "token_expired", id="and-no-more"),
        pytest.param(0, {"exp": NOW + 1}, None, id="none-at-all"),
        pytest.param(0, {"exp": NOW}, "token_expired", id="none-at-all-at-the-boundary"),
    ],
)
def test_the_leeway_is_what_it_says(leeway, claims, code) -> None:
    """Of the library alone and of its settings the same."""
    outcome = judged(leeway, **claims)
    assert outcome == code if code else isinstance(outcome, AccessClaims)


def test_the_settings_forgive_as_much_as_the_library(tmp_path) -> None:
    """One default, in two places."""
    settings = TrustSettings(issuer=ISSUER, audience=NOTES, trust_directory=tmp_path)
    assert settings.expectations == Expectations(NOTES, frozenset({ISSUER}))


def test_a_set_of_the_most_keys_is_read_and_one_more_is_not() -> None:
    """A document of thousands is a mistake or an attack; its size alone says so."""
    one = jwk(private_key(), "first")
    assert set(parse_jwks(compact_json({"keys": [one] + [{}] * (MAX_KEYS - 1)})).keys) == {"first"}
    with pytest.raises(KeySetError, match=f"more than {MAX_KEYS}"):
        parse_jwks(compact_json({"keys": [one] + [{}] * MAX_KEYS}))


@pytest.mark.parametrize(
    ("bits", "octets"),
    [
        pytest.param(2047, None, id="one-bit-short"),
        pytest.param(2048, 256, id="shortest"),
        pytest.param(2049, 257, id="one-bit-in-an-octet-of-its-own"),
        pytest.param(2056, 257, id="eight-bits-in-it"),
        pytest.param(8192, 1024, id="longest"),
        pytest.param(8193, None, id="one-bit-long"),
    ],
)
def test_a_modulus_ends_where_it_says_and_tells_the_length_of_its_signatures(bits, octets) -> None:
    """A signature has as many octets as the modulus (RFC 8017 section 8.2.2), a full one or not."""
    modulus = (1 << (bits - 1)) + 1
    member = jwk(private_key(), "k", n=b64(modulus.to_bytes((bits + 7) // 8, "big")))
    found = parse_jwks(compact_json({"keys": [member]}))
    assert [key.signature_bytes for key in found.keys.values()] == ([] if octets is None else [octets])
    assert [entry.reason for entry in found.skipped] == (
        ["its modulus is not of 2048 to 8192 bits"] if octets is None else []
    )


@pytest.mark.parametrize(
    ("age", "judgement"),
    [
        pytest.param(-9, Judgement.USE, id="from-the-future"),
        pytest.param(899, Judgement.USE, id="last-second-without-a-warning"),
        pytest.param(900, Judgement.WARN, id="warned-about"),
        pytest.param(86_399, Judgement.WARN, id="last-second-of-use"),
        pytest.param(86_400, Judgement.REFUSE, id="refused"),
    ],
)
def test_the_age_of_keys_ends_where_it_says(age, judgement) -> None:
    """A quarter of an hour and a day, unless told otherwise; without any key it makes no difference."""
    keys = parse_jwks(Issuer(NOW).jwks()).keys
    assert IssuerTrust(ISSUER, keys, NOW - age).judge(NOW) is judgement
    assert IssuerTrust(ISSUER, {}, NOW - age).judge(NOW) is Judgement.REFUSE
    assert AgeLimits(5, 5).refuse_after == 5


def test_what_a_token_leaves_out_is_empty() -> None:
    """No scope, no role, nothing more: not one of them None, and nothing shared that could be written to."""
    claims = judged(scope=None, roles=None, org_id=None)
    assert isinstance(claims, AccessClaims)
    assert (claims.scopes, claims.roles, claims.groups, claims.entitlements) == (frozenset(),) * 4
    assert dict(claims.extra) == {}
    with pytest.raises(TypeError):
        claims.extra["org_id"] = "globex"  # type: ignore[index]
