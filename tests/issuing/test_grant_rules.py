"""Which scopes and audiences a token gets."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_server.grants.rules import (
    SCOPE_CHARACTERS,
    Decision,
    GrantRefused,
    Holding,
    decide,
    split_scope,
    within,
)

A, B, C = "http://a", "http://b", "http://c"


def holding(audience, defined, permitted, *, claims=None, default=False) -> Holding:
    return Holding(audience, frozenset(defined.split()), frozenset(permitted.split()), claims or {}, default)


NOTES = holding(A, "notes:read notes:write", "notes:read notes:write")
NOTES_READER = holding(A, "notes:read notes:write", "notes:read")
REPORTS = holding(B, "reports:read", "reports:read")
REPORTS_NOTHING = holding(B, "reports:read", "")


@pytest.mark.parametrize(
    ("scope", "resources", "held", "audience", "scopes"),
    [
        pytest.param("notes:read", [A], [NOTES, REPORTS], (A,), ("notes:read",), id="one-scope-of-one-resource"),
        pytest.param(
            "reports:read notes:read", [B, A], [NOTES, REPORTS], (B, A), ("notes:read", "reports:read"),
            id="audiences-keep-the-order-asked-and-scopes-are-sorted",
        ),
        pytest.param(None, [A], [NOTES_READER], (A,), ("notes:read",), id="no-scope-asked-is-all-that-is-permitted"),
        pytest.param(None, [B], [REPORTS_NOTHING], (B,), (), id="a-resource-without-any-scope-is-fine"),
        pytest.param(None, [], [REPORTS, NOTES], (A, B), ("notes:read", "notes:write", "reports:read"),
                     id="nothing-asked-is-everything-held"),
        pytest.param(
            None, [], [NOTES, holding(B, "x", "x", default=True)], (B,), ("x",),
            id="nothing-asked-is-the-default-where-there-is-one",
        ),
        pytest.param("reports:read", [], [NOTES, REPORTS], (B,), ("reports:read",), id="a-scope-tells-its-audience"),
        pytest.param(
            "read", [], [holding(A, "read", "read"), holding(B, "read", "read"), holding(C, "write", "write")],
            (A, B), ("read",), id="a-scope-of-two-resources-tells-both",
        ),
        pytest.param(
            None, [A, B], [holding(A, "read a", "read a"), holding(B, "read", "")], (A, B), ("a",),
            id="an-ambiguous-scope-is-left-out-when-none-was-asked",
        ),
        pytest.param("notes:read notes:read", [A, A], [NOTES], (A,), ("notes:read",), id="repetitions-count-once"),
    ],
)  # fmt: skip
def test_a_token_says_what_was_asked_and_is_held(scope, resources, held, audience, scopes) -> None:
    """A grant is what was asked, or all that is unambiguous, of what the subject holds (RFC 9068 section 3)."""
    decision = decide(scope, resources, held)
    assert isinstance(decision, Decision)
    assert (decision.audience, decision.scopes) == (audience, scopes)


@pytest.mark.parametrize(
    ("scope", "resources", "held", "error"),
    [
        pytest.param("notes:write", [A], [NOTES_READER], "invalid_scope", id="not-permitted"),
        pytest.param("notes:delete", [A], [NOTES], "invalid_scope", id="unknown-scope"),
        pytest.param("reports:read", [A], [NOTES, REPORTS], "invalid_scope", id="scope-of-a-resource-not-asked-for"),
        pytest.param("notes:read nothing", [], [NOTES, REPORTS], "invalid_scope", id="one-unknown-scope-refuses-all"),
        pytest.param("nothing", [], [NOTES, REPORTS], "invalid_scope", id="unknown-scope-without-resource"),
        pytest.param(
            "read", [A, B], [holding(A, "read", "read"), holding(B, "read", "")], "invalid_scope",
            id="ambiguous-permitted-at-one-owner-only",
        ),
        pytest.param(
            "read", [], [holding(A, "read", "read"), holding(B, "read", "")], "invalid_scope",
            id="ambiguous-among-what-is-held",
        ),
        pytest.param(
            "notes:read", [], [NOTES, holding(B, "x", "x", default=True)], "invalid_scope",
            id="without-a-resource-only-the-defaults-are-looked-at",
        ),
        pytest.param(None, [A, C], [NOTES], "invalid_target", id="resource-unknown-or-not-permitted"),
        pytest.param(None, [], [], "invalid_target", id="nothing-held"),
        pytest.param("x", [], [], "invalid_target", id="nothing-held-and-a-scope-asked"),
        pytest.param(None, ["a"], [NOTES], "invalid_target", id="resource-is-relative"),
        pytest.param(None, [f"{A}#x"], [NOTES], "invalid_target", id="resource-has-a-fragment"),
        pytest.param(None, [f"{A}\n"], [NOTES], "invalid_target", id="resource-ends-in-a-newline"),
        pytest.param(None, [""], [NOTES], "invalid_target", id="resource-is-empty"),
        pytest.param(None, [f"{A}/"], [NOTES], "invalid_target", id="resource-compared-byte-for-byte"),
        pytest.param("", [A], [NOTES], "invalid_scope", id="empty-scope-is-not-everything"),
        pytest.param("notes:read  notes:write", [A], [NOTES], "invalid_scope", id="two-spaces"),
        pytest.param(" notes:read", [A], [NOTES], "invalid_scope", id="space-before"),
        pytest.param("notes:read ", [A], [NOTES], "invalid_scope", id="space-after"),
        pytest.param("notes:read\tnotes:write", [A], [NOTES], "invalid_scope", id="tab"),
        pytest.param("notes:read\u00a0notes:write", [A], [NOTES], "invalid_scope", id="no-break-space"),
        pytest.param('no"tes', [A], [NOTES], "invalid_scope", id="quote"),
        pytest.param("no\\tes", [A], [NOTES], "invalid_scope", id="backslash"),
        pytest.param("notes:read\0", [A], [NOTES], "invalid_scope", id="nul"),
    ],
)  # fmt: skip
def test_what_is_not_held_or_not_clear_is_refused(scope, resources, held, error) -> None:
    """A scope needs an owner in the audience and permission at every owner; a resource needs to be held."""
    refused = decide(scope, resources, held)
    assert isinstance(refused, GrantRefused)
    assert refused.error == error


@pytest.mark.parametrize(
    ("length", "refused"),
    [
        pytest.param(SCOPE_CHARACTERS, False, id="at-the-bound"),
        pytest.param(SCOPE_CHARACTERS + 1, True, id="one-more"),
    ],
)
def test_the_scope_parameter_is_bounded(length, refused) -> None:
    """A scope parameter has at most SCOPE_CHARACTERS characters."""
    assert isinstance(split_scope("x" * length), GrantRefused) is refused


def test_resources_that_agree_share_a_claim() -> None:
    """Two audiences may show the same attribute under the same name; each adds its own."""
    held = [
        holding(A, "", "", claims={"org_id": "org_id", "team": "team"}),
        holding(B, "", "", claims={"org_id": "org_id"}),
    ]
    decision = decide(None, [A, B], held)
    assert isinstance(decision, Decision)
    assert decision.claims == {"org_id": "org_id", "team": "team"}


def test_resources_that_disagree_about_a_claim_need_two_tokens() -> None:
    """One claim cannot show two attributes (invalid_target); each resource alone is fine."""
    held = [holding(A, "", "", claims={"org": "org_id"}), holding(B, "", "", claims={"org": "org_name"})]
    refused = decide(None, [A, B], held)
    assert isinstance(refused, GrantRefused)
    assert refused.error == "invalid_target"
    assert isinstance(decide(None, [A], held), Decision)
    assert isinstance(decide(None, [B], held), Decision)


WORDS = st.sampled_from(["read", "write", "a:x", "b:x", "~"])
AUDIENCES = [A, B, C]


@st.composite
def holdings(draw) -> list[Holding]:
    held = []
    for audience in draw(st.sets(st.sampled_from(AUDIENCES))):
        defined = draw(st.frozensets(WORDS))
        permitted = draw(st.frozensets(st.sampled_from(sorted(defined)))) if defined else frozenset()
        held.append(Holding(audience, defined, permitted, {}, draw(st.booleans())))
    return held


ASKED_SCOPES = st.none() | st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
ASKED_RESOURCES = st.lists(st.sampled_from(AUDIENCES), max_size=4)


@given(scope=ASKED_SCOPES, resources=ASKED_RESOURCES, held=holdings())
def test_no_grant_is_wider_than_what_is_asked_and_held(scope, resources, held) -> None:
    """Every granted scope was asked for, means something, and is permitted wherever the audience defines it."""
    decision = decide(scope, resources, held)
    if isinstance(decision, GrantRefused):
        return
    by_audience = {one.audience: one for one in held}
    assert len(decision.audience) == len(set(decision.audience)) > 0
    assert set(decision.audience) <= by_audience.keys()
    if resources:
        assert set(decision.audience) == set(resources)
    for granted in decision.scopes:
        owners = [by_audience[a] for a in decision.audience if granted in by_audience[a].defined]
        assert owners
        assert all(granted in owner.permitted for owner in owners)
    if scope is not None:
        assert set(decision.scopes) == set(scope.split(" "))


@given(resources=ASKED_RESOURCES, held=holdings())
def test_asking_for_what_one_would_get_anyway_gives_it(resources, held) -> None:
    """The scopes granted to a request without scope can be asked for by name at the same audiences."""
    open_handed = decide(None, resources, held)
    if isinstance(open_handed, Decision) and open_handed.scopes:
        assert decide(" ".join(open_handed.scopes), open_handed.audience, held) == open_handed


@given(scope=st.none() | st.text(max_size=40), resources=st.lists(st.text(max_size=20), max_size=3), held=holdings())
def test_whatever_is_asked_the_answer_is_a_decision_or_a_clean_refusal(scope, resources, held) -> None:
    """No text raises, and a description keeps to the characters of RFC 6749 section 5.2."""
    answer = decide(scope, resources, held)
    if isinstance(answer, GrantRefused):
        assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", answer.description)


def test_what_is_given_only_when_asked_for_by_name_is_meant_by_nothing_else() -> None:
    """Not by default, not by its scope, not when it is all that there is; named, it is like any other."""
    account = replace(holding(C, "sessions", "sessions"), only_when_asked=True)
    assert decide(None, [], [NOTES, account]) == decide(None, [], [NOTES])
    for scope in (None, "sessions"):
        assert isinstance(decide(scope, [], [account]), GrantRefused)
    assert isinstance(decide("sessions", [], [NOTES, account]), GrantRefused)
    assert decide(None, [C], [NOTES, account]) == Decision((C,), ("sessions",), {})
    assert decide("sessions notes:read", [C, A], [NOTES, account]) == Decision((C, A), ("notes:read", "sessions"), {})


def test_a_session_keeps_what_it_has_and_its_subject_still_holds() -> None:
    """Neither audiences nor scopes come in addition, and the client's defaults narrow nothing."""
    default = replace(REPORTS, is_default=True)
    left = within([NOTES, default], (A, B, C), ("notes:read", "reports:read", "gone:read"))
    assert decide(None, [], left) == Decision((A, B), ("notes:read", "reports:read"), {})
    assert within([NOTES, REPORTS], (C,), ("notes:read",)) == ()
    assert isinstance(decide("notes:write", [], within([NOTES], (A,), ("notes:read",))), GrantRefused)
