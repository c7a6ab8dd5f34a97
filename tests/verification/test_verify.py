"""The verifier: which trust it uses, what it decides first, and that nothing but its two families comes out."""

import dataclasses
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.claims import AccessClaims
from farseal.compact import take_apart
from farseal.errors import (
    AudienceMismatchError,
    KeyRevokedError,
    KeyUnknownError,
    SignatureInvalidError,
    TrustUnavailableError,
    VerificationError,
)
from farseal.jwks import parse_jwks
from farseal.status_list import StatusPolicy
from farseal.trust import AgeLimits, IssuerTrust, TrustSnapshot
from farseal.verify import Expectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, b64, compact_json, private_key, sign

NOW = 1_800_000_000
OTHER = "https://other.example"
LIMITS = AgeLimits(warn_after=60, refuse_after=600)


def trust_in(issuer: Issuer, published_at: int = NOW) -> IssuerTrust:
    return IssuerTrust(issuer.issuer, parse_jwks(issuer.jwks()).keys, published_at, LIMITS)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(now=NOW)


@pytest.fixture
def snapshot(issuer) -> TrustSnapshot:
    return TrustSnapshot().with_issuer(trust_in(issuer))


@pytest.fixture
def verifier() -> Verifier:
    return Verifier(Expectations(NOTES, frozenset({ISSUER, OTHER}), status=StatusPolicy.OFF))


def test_a_good_token_gives_its_claims(issuer, snapshot, verifier) -> None:
    """Every typed claim has its field; everything else is in `extra`, read-only."""
    token = issuer.mint(
        nbf=NOW - 5, auth_time=NOW - 9, sid="s-1", roles=["b", "a"], groups=["g"], entitlements=["e"], plan={"tier": 1}
    )
    claims = verifier.verify(token, snapshot, now=NOW)
    assert claims == AccessClaims(
        issuer=ISSUER,
        subject="6b1f0d5e-3c1f-4b8a-9f0e-1d2c3b4a5968",
        client_id="login",
        audience=("http://127.0.0.1:9001", "http://127.0.0.1:9002"),
        expires_at=NOW + 300,
        issued_at=NOW,
        not_before=NOW - 5,
        token_id="q2Zx0mBv1nK8Jc5Rt7Yw",
        scopes=frozenset({"notes:read", "notes:write", "reports:read"}),
        roles=frozenset({"a", "b"}),
        groups=frozenset({"g"}),
        entitlements=frozenset({"e"}),
        auth_time=NOW - 9,
        session_id="s-1",
        extra={"org_id": "acme", "plan": {"tier": 1}},
    )
    with pytest.raises(AttributeError):
        claims.subject = "admin"
    with pytest.raises(TypeError):
        claims.extra["org_id"] = "globex"


def test_what_is_done_to_a_claim_is_forgotten_with_it(issuer, snapshot, verifier) -> None:
    """An object in `extra` is not protected, but it is of one verification: the next has the token's word."""
    token = issuer.mint(plan={"tier": 1})
    verifier.verify(token, snapshot, now=NOW).extra["plan"]["tier"] = 9
    assert verifier.verify(token, snapshot, now=NOW).extra["plan"] == {"tier": 1}


@pytest.mark.parametrize(
    ("age", "outcome"),
    [
        pytest.param(-3600, None, id="publisher-ahead-of-us"),
        pytest.param(59, None, id="fresh"),
        pytest.param(60, None, id="warned-and-used"),
        pytest.param(599, None, id="last-second"),
        pytest.param(600, TrustUnavailableError, id="boundary-is-refused"),
    ],
)
def test_keys_past_their_limit_are_cannot_tell_not_a_bad_token(issuer, verifier, age, outcome) -> None:
    """An outage answered with 401 logs people out: it is 503, and only from the hard limit on."""
    snapshot = TrustSnapshot().with_issuer(trust_in(issuer, published_at=NOW - age))
    if outcome is None:
        assert verifier.verify(issuer.mint(), snapshot, now=NOW)
    else:
        with pytest.raises(outcome) as caught:
            verifier.verify(issuer.mint(), snapshot, now=NOW)
        assert (caught.value.code, caught.value.status) == ("trust_unavailable", 503)
        assert caught.value.retry_after > 0


def test_no_keys_yet_is_cannot_tell(issuer, verifier) -> None:
    with pytest.raises(TrustUnavailableError):
        verifier.verify(issuer.mint(), TrustSnapshot(), now=NOW)
    nothing = IssuerTrust(ISSUER, {}, NOW)
    with pytest.raises(TrustUnavailableError):
        verifier.verify(issuer.mint(), TrustSnapshot().with_issuer(nothing), now=NOW)


@pytest.mark.parametrize(
    ("header", "claims", "code"),
    [
        pytest.param({"alg": "none"}, {}, "algorithm_refused", id="alg"),
        pytest.param({"typ": "JWT"}, {}, "type_refused", id="typ"),
        pytest.param({}, {"iss": "https://nobody.example"}, "issuer_unknown", id="issuer"),
    ],
)
def test_what_is_bad_without_trust_is_bad_while_trust_is_missing(issuer, verifier, header, claims, code) -> None:
    """A malformed or foreign token is 401 even during an outage: more keys would not make it better."""
    with pytest.raises(VerificationError) as caught:
        verifier.verify(issuer.mint(header=header, **claims), TrustSnapshot(), now=NOW)
    assert caught.value.code == code


def test_a_key_is_found_by_issuer_and_kid(snapshot, verifier) -> None:
    """Two issuers use the same kid: neither can sign for the other (get-jwks CVE-2025-59936)."""
    impostor = Issuer(now=NOW, issuer=OTHER, kid="second")
    keys = parse_jwks(impostor.jwks()).keys
    other = IssuerTrust(OTHER, {"first": dataclasses.replace(keys["second"], kid="first")}, NOW)
    both = snapshot.with_issuer(other)
    assert verifier.verify(impostor.mint(header={"kid": "first"}), both, now=NOW).issuer == OTHER
    with pytest.raises(SignatureInvalidError):
        verifier.verify(impostor.mint(header={"kid": "first"}, iss=ISSUER), both, now=NOW)


def test_a_removed_key_is_forgotten_at_once(issuer, snapshot, verifier) -> None:
    """The set is replaced whole: no key outlives the publication that dropped it."""
    token = issuer.mint()
    assert verifier.verify(token, snapshot, now=NOW)
    successor = Issuer(now=NOW, kid="second")
    after = snapshot.with_issuer(trust_in(successor))
    assert after.generation == snapshot.generation + 1
    with pytest.raises(KeyUnknownError):
        verifier.verify(token, after, now=NOW)
    assert verifier.verify(token, snapshot, now=NOW), "a snapshot that somebody still holds does not change"


def test_one_issuers_trouble_is_its_own(issuer, snapshot, verifier) -> None:
    other = Issuer(now=NOW, issuer=OTHER, kid="second")
    both = snapshot.with_issuer(trust_in(other, published_at=NOW - 601))
    with pytest.raises(TrustUnavailableError):
        verifier.verify(other.mint(), both, now=NOW)
    assert verifier.verify(issuer.mint(), both, now=NOW)


def test_the_signature_is_judged_before_what_it_covers(issuer, snapshot, verifier) -> None:
    """Whoever cannot sign learns nothing of the audience or the lifetime."""
    forged = sign(
        compact_json(issuer.header()), compact_json(issuer.claims(exp=1, aud="x", sub=None)), private_key("evil")
    )
    with pytest.raises(SignatureInvalidError):
        verifier.verify(forged, snapshot, now=NOW)


@pytest.mark.parametrize("bits", [3072, 4096])
def test_longer_keys_verify(verifier, bits) -> None:
    key = private_key(f"bits-{bits}", bits)
    issuer = Issuer(now=NOW, kid=f"bits-{bits}")
    assert issuer.key is not key
    token = sign(compact_json(issuer.header()), compact_json(issuer.claims()), key)
    numbers = key.public_key().public_numbers()
    member = {"kty": "RSA", "kid": issuer.kid, "n": b64(numbers.n.to_bytes(bits // 8, "big")), "e": "AQAB"}
    snapshot = TrustSnapshot().with_issuer(IssuerTrust(ISSUER, parse_jwks(compact_json({"keys": [member]})).keys, NOW))
    assert verifier.verify(token, snapshot, now=NOW)


@given(st.binary(max_size=400) | st.text(max_size=400) | st.text("eyJ.-_=", max_size=40))
def test_nothing_but_a_verification_error_comes_out_of_any_bytes(token) -> None:
    """401 for every text that is not a token, whatever the trust."""
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF))
    with pytest.raises(VerificationError):
        verifier.verify(token, TrustSnapshot(), now=NOW)


@given(st.data())
def test_a_token_changed_in_one_place_is_never_honoured(data) -> None:
    """Flip, drop or double one character of a good token: only our two families come out, and never claims."""
    issuer = Issuer(now=NOW)
    good = issuer.mint()
    at = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(
        st.sampled_from([good[:at] + good[at + 1 :], good[:at] + good[at] + good[at:], good[:at]])
        | st.characters(max_codepoint=0x2FF).map(lambda char: good[:at] + char + good[at + 1 :])
    )
    if changed == good:
        return
    snapshot = TrustSnapshot().with_issuer(trust_in(issuer))
    with pytest.raises(VerificationError):
        Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF)).verify(changed, snapshot, now=NOW)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_names = st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "roles", "sid", "x"])


@given(st.dictionaries(_names, _json), st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), _json))
def test_signed_nonsense_gives_claims_or_one_of_two_errors(claims, header) -> None:
    """Even a trusted key that signs anything at all makes no other exception."""
    issuer = Issuer(now=NOW)
    snapshot = TrustSnapshot().with_issuer(trust_in(issuer))
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=StatusPolicy.OFF))
    try:
        payload = compact_json(issuer.claims() | claims)
        token = sign(compact_json(issuer.header() | header), payload, issuer.key)
    except UnicodeEncodeError:
        return
    try:
        assert isinstance(verifier.verify(token, snapshot, now=NOW), AccessClaims)
    except (VerificationError, TrustUnavailableError):
        pass


def test_verifying_touches_no_socket(issuer, snapshot, verifier, monkeypatch) -> None:
    """Nothing on the way of a request can reach out: not for an unknown kid, not for an embedded key's address."""

    def forbidden(*_args, **_kwargs):
        pytest.fail("a socket was made")

    monkeypatch.setattr(socket, "socket", forbidden)
    verifier.verify(issuer.mint(), snapshot, now=NOW)
    for header in ({"kid": "unknown"}, {"kid": "unknown", "jku": "https://evil.example/jwks"}):
        with pytest.raises(KeyUnknownError):
            verifier.verify(issuer.mint(header=header), snapshot, now=NOW)


def test_the_audience_is_one_of_several_and_no_other(issuer, snapshot) -> None:
    """One token serves every service it names, and none that it does not."""
    for audience in ("http://127.0.0.1:9001", "http://127.0.0.1:9002"):
        assert Verifier(Expectations(audience, frozenset({ISSUER}), status=StatusPolicy.OFF)).verify(
            issuer.mint(), snapshot, now=NOW
        )
    with pytest.raises(AudienceMismatchError):
        Verifier(Expectations("http://127.0.0.1:9003", frozenset({ISSUER}), status=StatusPolicy.OFF)).verify(
            issuer.mint(), snapshot, now=NOW
        )


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"audience": "", "issuers": frozenset({ISSUER})}, id="no-audience"),
        pytest.param({"audience": NOTES, "issuers": frozenset()}, id="no-issuer"),
        pytest.param({"audience": NOTES, "issuers": frozenset({""})}, id="empty-issuer"),
        pytest.param({"audience": NOTES, "issuers": frozenset({ISSUER}), "leeway": -1}, id="negative-leeway"),
        pytest.param({"audience": NOTES, "issuers": frozenset({ISSUER}), "max_token_bytes": 0}, id="no-room"),
    ],
)
def test_expectations_that_cannot_be_meant_are_refused_at_start(arguments) -> None:
    with pytest.raises(ValueError):
        Expectations(**arguments)


@pytest.mark.parametrize(
    ("warn_after", "refuse_after"), [(0, 1), (2, 1), (-1, -1)], ids=["zero", "crossed", "negative"]
)
def test_age_limits_that_cannot_be_meant_are_refused_at_start(warn_after, refuse_after) -> None:
    with pytest.raises(ValueError):
        AgeLimits(warn_after, refuse_after)


def test_an_unverified_token_does_not_print_itself(issuer) -> None:
    """Nobody finds a token in a log because somebody printed an object."""
    assert "acme" not in repr(take_apart(issuer.mint()))


@pytest.mark.parametrize("published", [True, False], ids=["published-still", "published-no-more"])
def test_a_withdrawn_key_is_refused_even_where_it_is_published(issuer, verifier, published) -> None:
    """Decided before the key is looked up, and before the claims: an expired token of a stolen key is told so, too."""
    keys = parse_jwks(issuer.jwks()).keys if published else parse_jwks(Issuer(NOW, kid="second").jwks()).keys
    snapshot = TrustSnapshot().with_issuer(
        IssuerTrust(ISSUER, keys, NOW, LIMITS, revoked=frozenset({issuer.kid}), sequence=2)
    )
    for token in (issuer.mint(), issuer.mint(exp=NOW - 900), issuer.mint()[:-4] + "AAAA"):
        with pytest.raises(KeyRevokedError) as caught:
            verifier.verify(token, snapshot, now=NOW)
        assert (caught.value.code, caught.value.status, caught.value.error) == ("key_revoked", 401, "invalid_token")


@pytest.mark.parametrize("age", [0, LIMITS.refuse_after, 10 * LIMITS.refuse_after], ids=["fresh", "limit", "long-ago"])
def test_a_withdrawn_key_is_refused_at_any_age_and_the_last_one_leaves_nobody_to_tell(issuer, verifier, age) -> None:
    """Withdrawn is for ever, so nobody need come back later. Whether a token of another key is good nobody can say."""
    snapshot = TrustSnapshot().with_issuer(dataclasses.replace(trust_in(issuer), revoked=frozenset({issuer.kid})))
    with pytest.raises(KeyRevokedError):
        verifier.verify(issuer.mint(), snapshot, now=NOW + age)
    with pytest.raises(TrustUnavailableError):
        verifier.verify(issuer.mint(header={"kid": "second"}), snapshot, now=NOW + age)


def test_a_key_withdrawn_by_one_issuer_is_good_at_another(issuer, verifier) -> None:
    """Trust is by issuer and kid, and so is its end."""
    other = Issuer(NOW, issuer=OTHER)
    snapshot = (
        TrustSnapshot()
        .with_issuer(dataclasses.replace(trust_in(issuer), revoked=frozenset({issuer.kid})))
        .with_issuer(trust_in(other))
    )
    assert verifier.verify(other.mint(), snapshot, now=NOW).issuer == OTHER
    with pytest.raises(KeyRevokedError):
        verifier.verify(issuer.mint(), snapshot, now=NOW)


@pytest.mark.parametrize(("kid", "named"), [("unknown", ISSUER), ("a\nb", None)], ids=["unknown", "no-kid-at-all"])
def test_an_unknown_key_names_the_issuer_that_may_have_published_it(issuer, verifier, snapshot, kid, named) -> None:
    """So that somebody looks; what is no kid can never be published, and is worth no look."""
    with pytest.raises(KeyUnknownError) as caught:
        verifier.verify(issuer.mint(header={"kid": kid}), snapshot, now=NOW)
    assert caught.value.issuer == named
