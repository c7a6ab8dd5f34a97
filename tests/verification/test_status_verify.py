"""The status of a token in the request: what each policy lets through, and when nobody can tell."""

import builtins
import os
import socket
import threading
from dataclasses import replace

import pytest

from farseal.errors import StatusUnavailableError, TrustUnavailableError, VerificationError
from farseal.jwks import parse_jwks
from farseal.status_list import StatusPolicy, StatusReference, read_status_list
from farseal.trust import IssuerTrust, StatusLimits, TrustSnapshot
from farseal.verify import Expectations, IssuerExpectations, Verifier
from tests.support.tokens import ISSUER, NOTES, Issuer, compact_json, packed, sign

NOW = 1_800_000_000
OURS = Issuer(NOW)
OTHER = Issuer(NOW, issuer="https://other.example", kid="second")
TWO_BITS = f"{ISSUER}/.well-known/status/two.jwt"
EXPIRED = f"{ISSUER}/.well-known/status/expired.jwt"

REQUIRE, IF_PRESENT, OFF = StatusPolicy.REQUIRE, StatusPolicy.IF_PRESENT, StatusPolicy.OFF


def trust(issuer: Issuer = OURS, limits: StatusLimits | None = None, **documents: bytes) -> IssuerTrust:
    """An issuer with its lists, each judged as a source judges it."""
    keys = parse_jwks(issuer.jwks()).keys
    uris = {"one": issuer.list_uri, "two": TWO_BITS, "expired": EXPIRED}
    lists = {
        uris[name]: read_status_list(document, uris[name], issuer=issuer.issuer, keys=keys, now=NOW - 9_000)
        for name, document in documents.items()
    }
    return IssuerTrust(issuer.issuer, keys, NOW, lists=lists, status_limits=limits or StatusLimits())


def old(issuer: Issuer = OURS, **claims) -> bytes:
    return replace(issuer, now=NOW - 9_000).status_list(**claims)


def in_force(revoked: tuple[int, ...] = (1,)) -> TrustSnapshot:
    """Lists of this moment. In two bits 01 is INVALID and 10 SUSPENDED, from the right."""
    held = trust(
        one=old(revoked=revoked),
        two=old(sub=TWO_BITS, status_list={"bits": 2, "lst": packed(bytes([0b100100]))}),
        expired=old(sub=EXPIRED, exp=NOW),
    )
    lists = {uri: replace(one, issued_at=NOW) for uri, one in held.lists.items()}
    return TrustSnapshot().with_issuer(replace(held, lists=lists))


def outcome(policy: StatusPolicy, *, snapshot: TrustSnapshot | None = None, now: int = NOW, **claims) -> str:
    """A code, or that the token was honoured."""
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=policy))
    try:
        verifier.verify(OURS.mint(**claims), in_force() if snapshot is None else snapshot, now=now)
    except (VerificationError, TrustUnavailableError) as error:
        assert error.status == (503 if isinstance(error, TrustUnavailableError) else 401)
        return error.code
    return "honoured"


UNKNOWN = f"{ISSUER}/.well-known/status/unknown.jwt"
CASES = [
    # name, status, require, if_present; off honours every one
    ("missing", None, "status_missing", "honoured"),
    ("good", OURS.status(0), "honoured", "honoured"),
    ("last", OURS.status(63), "honoured", "honoured"),
    ("good-in-two-bits", OURS.status(0, TWO_BITS), "honoured", "honoured"),
    ("another-mechanism-beside", OURS.status(0) | {"other": 1}, "honoured", "honoured"),
    ("another-mechanism-alone", {"other": {"idx": 1}}, "status_missing", "honoured"),
    ("revoked", OURS.status(1), "token_revoked", "token_revoked"),
    ("revoked-in-two-bits", OURS.status(1, TWO_BITS), "token_revoked", "token_revoked"),
    ("suspended", OURS.status(2, TWO_BITS), "token_revoked", "token_revoked"),
    ("out-of-range", OURS.status(64), "status_index_invalid", "status_index_invalid"),
    ("out-of-range-in-two-bits", OURS.status(4, TWO_BITS), "status_index_invalid", "status_index_invalid"),
    ("index-2^63", OURS.status(2**63), "status_index_invalid", "status_index_invalid"),
    ("index-2^64", OURS.status(2**64), "status_index_invalid", "status_index_invalid"),
    ("unknown-list", OURS.status(0, UNKNOWN), "status_unavailable", "status_unavailable"),
    ("uri-in-another-spelling", OURS.status(0, ISSUER + "/.well-known//status/one.jwt"), *["status_unavailable"] * 2),
    ("list-past-its-exp", OURS.status(0, EXPIRED), "status_unavailable", "status_unavailable"),
    ("revoked-by-a-list-past-its-exp", OURS.status(1, EXPIRED), "status_unavailable", "status_unavailable"),
    *[
        (f"malformed-{name}", value, "claims_malformed", "claims_malformed")
        for name, value in {
            "text": "active",
            "list": [],
            "number": 1,
            "list-in-it": {"status_list": []},
            "text-in-it": {"status_list": "x"},
            "null-in-it": {"status_list": None},
            "empty": {"status_list": {}},
            "no-index": {"status_list": {"uri": OURS.list_uri}},
            "no-uri": {"status_list": {"idx": 0}},
            "index-negative": OURS.status(-1),
            "index-float": OURS.status(1.0),
            "index-bool": OURS.status(False),
            "index-text": OURS.status("0"),
            "index-list": OURS.status([0]),
            "uri-huge": OURS.status(0, "https://a.example/" + "x" * 1024),
            "uri-empty": OURS.status(0, ""),
            "uri-number": OURS.status(0, 7),
            "uri-blank": OURS.status(0, "https://a.example/ x"),
            "uri-control": OURS.status(0, "https://a.example/\n"),
            "uri-beyond-ascii": OURS.status(0, "https://é.example/x"),
        }.items()
    ],
]


@pytest.mark.parametrize(("status", "require", "if_present"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_policy_decides_over_each_status(status, require, if_present) -> None:
    """What is there is always judged, unless the policy is off: a claim of that name is then any other claim."""
    assert outcome(REQUIRE, status=status) == require
    assert outcome(IF_PRESENT, status=status) == if_present
    assert outcome(OFF, status=status) == "honoured"


def test_null_is_no_missing_status() -> None:
    """The claim is there."""
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=IF_PRESENT))
    token = sign(compact_json(OURS.header()), compact_json(OURS.claims() | {"status": None}), OURS.key)
    with pytest.raises(VerificationError) as refused:
        verifier.verify(token, in_force(), now=NOW)
    assert refused.value.code == "claims_malformed"


def test_the_claims_say_where_the_status_is() -> None:
    """And under a policy that asks for none they have what was there before."""
    token = OURS.mint(status=OURS.status(5), sid="s-1")
    claims = Verifier(Expectations(NOTES, frozenset({ISSUER}))).verify(token, in_force(), now=NOW)
    assert (claims.status, claims.session_id) == (StatusReference(OURS.list_uri, 5), "s-1")
    assert "status" not in claims.extra
    claims = Verifier(Expectations(NOTES, frozenset({ISSUER}), status=OFF)).verify(token, in_force(), now=NOW)
    assert (claims.status, claims.extra["status"]) == (None, OURS.status(5))


WARN, REFUSE = 60, 600


@pytest.mark.parametrize(
    ("age", "exp", "taken", "judgement"),
    [
        (-20, 9_000, True, "use"),
        (0, 9_000, True, "use"),
        (WARN - 1, 9_000, True, "use"),
        (WARN, 9_000, True, "warn"),
        (REFUSE - 1, 9_000, True, "warn"),
        (REFUSE, 9_000, False, "refuse"),
        (REFUSE + 1, 9_000, False, "refuse"),
        (199, 200, True, "warn"),
        (200, 200, False, "refuse"),
        (29, 30, True, "use"),
        (30, 30, False, "refuse"),
        (REFUSE - 1, None, True, "warn"),
        (REFUSE, None, False, "refuse"),
    ],
    ids=str,
)
def test_a_list_is_refused_at_its_limit_or_its_exp_whichever_is_first(age, exp, taken, judgement) -> None:
    """Seconds since iat. At the limit it is past; a token is then neither good nor bad: 503, with a time to return."""
    limits = StatusLimits(WARN, REFUSE)
    keys = parse_jwks(OURS.jwks()).keys
    document = OURS.status_list([1], exp=None if exp is None else NOW + exp)
    found = read_status_list(document, OURS.list_uri, issuer=ISSUER, keys=keys, now=NOW)
    held = IssuerTrust(ISSUER, keys, NOW, lists={found.uri: found}, status_limits=limits)
    snapshot = TrustSnapshot().with_issuer(held)
    assert limits.judge(found, NOW + age).value == judgement
    assert held.judge_lists(NOW + age).value == judgement
    life = {"exp": NOW + 9_000}
    assert outcome(REQUIRE, snapshot=snapshot, now=NOW + age, status=OURS.status(0), **life) == (
        "honoured" if taken else "status_unavailable"
    )
    assert outcome(REQUIRE, snapshot=snapshot, now=NOW + age, status=OURS.status(1), **life) == (
        "token_revoked" if taken else "status_unavailable"
    )


@pytest.mark.parametrize("limits", [(0, 10), (-1, 10), (11, 10)], ids=str)
def test_limits_that_make_no_sense_are_refused(limits) -> None:
    with pytest.raises(ValueError, match="must hold"):
        StatusLimits(*limits)


def test_nobody_can_tell_names_the_issuer() -> None:
    """So that its source may look sooner; and says when to come again."""
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER})))
    with pytest.raises(StatusUnavailableError) as refused:
        verifier.verify(OURS.mint(status=OURS.status(0, UNKNOWN)), in_force(), now=NOW)
    assert (refused.value.issuer, refused.value.status) == (ISSUER, 503)
    assert refused.value.retry_after > 0


def test_a_list_of_another_issuer_says_nothing_of_a_token() -> None:
    """Whatever URI the token names: one that could choose its list would choose one that revokes nothing."""
    both = in_force().with_issuer(trust(OTHER, one=old(OTHER)))
    token = OURS.mint(status=OURS.status(0, OTHER.list_uri))
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER, OTHER.issuer})))
    with pytest.raises(StatusUnavailableError):
        verifier.verify(token, both, now=NOW)


def test_each_issuer_has_a_policy_of_its_own() -> None:
    """The one of all, unless an issuer has another."""
    both = in_force().with_issuer(trust(OTHER))
    lax = {OTHER.issuer: IssuerExpectations(NOTES, status=IF_PRESENT)}
    issuers = frozenset({ISSUER, OTHER.issuer})
    verifier = Verifier(Expectations(NOTES, issuers, of_issuers=lax))
    assert verifier.verify(OTHER.mint(), both, now=NOW)
    with pytest.raises(VerificationError, match="does not say"):
        verifier.verify(OURS.mint(), both, now=NOW)
    strict = {OTHER.issuer: IssuerExpectations(NOTES)}
    assert Verifier(Expectations(NOTES, issuers, of_issuers=strict, status=OFF)).verify(OURS.mint(), both, now=NOW)
    with pytest.raises(VerificationError, match="does not say"):
        Verifier(Expectations(NOTES, issuers, of_issuers=strict, status=OFF)).verify(OTHER.mint(), both, now=NOW)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": NOW - 31}, "token_expired"),
        ({"iat": NOW + 31}, "token_not_yet_valid"),
        ({"aud": "https://x.example"}, "audience_mismatch"),
    ],
)
def test_the_status_is_asked_last(claims, code) -> None:
    """A token that is bad anyway is 401, and not 503 for want of a list."""
    assert outcome(REQUIRE, status=OURS.status(0, UNKNOWN), **claims) == code


def test_the_request_touches_nothing_but_memory(monkeypatch) -> None:
    """No file, no socket, no thread: not for a good token, and not for one whose list is unknown."""
    snapshot, tokens = in_force(), [OURS.mint(status=OURS.status(n)) for n in (0, 1)]
    tokens.append(OURS.mint(status=OURS.status(0, UNKNOWN)))
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER})))

    def forbidden(*_arguments: object, **_more: object) -> None:
        raise AssertionError("on the way of a request")

    for module, name in (
        (builtins, "open"),
        (os, "open"),
        (os, "stat"),
        (socket, "socket"),
        (socket, "getaddrinfo"),
        (threading.Thread, "start"),
    ):
        monkeypatch.setattr(module, name, forbidden)
    codes = []
    for token in tokens:
        try:
            codes.append(bool(verifier.verify(token, snapshot, now=NOW)))
        except (VerificationError, TrustUnavailableError) as error:
            codes.append(error.code)
    assert codes == [True, "token_revoked", "status_unavailable"]


def test_a_snapshot_is_swapped_while_tokens_are_judged() -> None:
    """Each verdict is that of one snapshot or the other; nothing in between, whatever the threads do."""
    revoked, good = in_force(), in_force(revoked=())
    verifier = Verifier(Expectations(NOTES, frozenset({ISSUER})))
    token, current, done = OURS.mint(status=OURS.status(1)), [good], threading.Event()
    wrong: list[BaseException] = []
    seen: set[str] = set()

    def judge() -> None:
        while not done.is_set():
            try:
                verifier.verify(token, current[0], now=NOW)
                seen.add("honoured")
            except VerificationError as error:
                seen.add(error.code)
            except BaseException as error:  # noqa: BLE001 - told below
                wrong.append(error)

    threads = [threading.Thread(target=judge) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(2_000):
        current[0] = revoked if turn % 2 else good
        if turn % 19 == 0:
            done.wait(0.001)
    done.set()
    for thread in threads:
        thread.join()
    assert (wrong, seen) == ([], {"honoured", "token_revoked"})
