"""Whose notes a token opens, from its claims alone."""

import pytest

from farseal_testing.issuer import Issuer
from resource_a.callers import Caller, UnusableClaims, caller_of
from tests.resources.people import principal_of, token_of


@pytest.mark.parametrize(
    ("claims", "readable_org"),
    [
        pytest.param({"roles": []}, None, id="no-role"),
        pytest.param({"roles": None}, None, id="no-roles-claim"),
        pytest.param({"roles": ["analyst"]}, None, id="another-role"),
        pytest.param({"roles": ["org_admin"]}, "acme", id="org-admin"),
        pytest.param({"roles": ["ORG_ADMIN"]}, None, id="roles-are-compared-with-case"),
        pytest.param({"roles": ["org_admin"], "org_id": None}, None, id="org-admin-of-nothing"),
        pytest.param({"roles": ["org_admin"], "scope": "notes:write"}, None, id="org-admin-that-may-not-read"),
    ],
)
def test_who_reads_an_organisations_notes(issuer: Issuer, claims: dict[str, object], readable_org: str | None) -> None:
    """The role, the claim and the scope are needed together."""
    caller = caller_of(principal_of(token_of(issuer, **claims)))
    assert isinstance(caller, Caller)
    assert caller.readable_org == readable_org


@pytest.mark.parametrize(
    ("claims", "claim"),
    [
        pytest.param({"org_id": ""}, "org_id", id="empty"),
        pytest.param({"org_id": 7}, "org_id", id="number"),
        pytest.param({"org_id": False}, "org_id", id="false-is-not-absent"),
        pytest.param({"org_id": ["acme"]}, "org_id", id="list"),
        pytest.param({"org_id": "ac\0me"}, "org_id", id="nul"),
        pytest.param({"org_id": "x" * 256}, "org_id", id="longer-than-the-index-takes"),
        pytest.param({"sub": "x" * 256}, "sub", id="subject-longer-than-the-index-takes"),
    ],
)
def test_claims_that_cannot_own_a_note(issuer: Issuer, claims: dict[str, object], claim: str) -> None:
    """A claim that is present and unfit is told, not taken for absent."""
    refused = caller_of(principal_of(token_of(issuer, **claims)))
    assert isinstance(refused, UnusableClaims)
    assert refused.claim == claim


@pytest.mark.parametrize("length", [1, 255])
def test_the_shortest_and_the_longest_identifiers_are_fit(issuer: Issuer, length: int) -> None:
    """Both boundaries are inside."""
    caller = caller_of(principal_of(token_of(issuer, sub="s" * length, org_id="o" * length)))
    assert isinstance(caller, Caller)
    assert (caller.subject, caller.org_id) == ("s" * length, "o" * length)
