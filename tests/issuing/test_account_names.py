"""Names of people, clients, resources, scopes, roles, attributes, claims."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_server.accounts import names
from auth_server.accounts.names import NameRefusedError
from farseal.vocabulary import REGISTERED_CLAIMS

UUID_TEXT = str(uuid.UUID(int=1))


@pytest.mark.parametrize(
    ("rule", "text", "stored"),
    [
        pytest.param(names.username, "Alice", "alice", id="username-lower-case"),
        pytest.param(names.username, "zoe\u0308@Example.org", "zo\u00eb@example.org", id="username-composed"),
        pytest.param(names.username, "x" * 128, "x" * 128, id="username-longest"),
        pytest.param(names.client_id, "nightly.report-2_b", "nightly.report-2_b", id="client-id"),
        pytest.param(names.client_id, "x" * 64, "x" * 64, id="client-id-longest"),
        pytest.param(names.audience, "http://127.0.0.1:9001", "http://127.0.0.1:9001", id="audience-http"),
        pytest.param(names.audience, "urn:example:a", "urn:example:a", id="audience-urn"),
        pytest.param(names.audience, "https://[::1]/a?b=%20", "https://[::1]/a?b=%20", id="audience-with-all-parts"),
        pytest.param(names.scope, "notes:read", "notes:read", id="scope"),
        pytest.param(names.scope, "~!#[]^", "~!#[]^", id="scope-odd-characters"),
        pytest.param(names.role, "org_admin", "org_admin", id="role"),
        pytest.param(names.attribute, "org_id", "org_id", id="attribute"),
        pytest.param(names.claim, "https://example.org/org", "https://example.org/org", id="claim-uri"),
        pytest.param(names.display_name, "Zoë's notes", "Zoë's notes", id="name-for-people"),
    ],
)  # fmt: skip
def test_a_good_name_is_stored_in_its_one_spelling(rule, text, stored) -> None:
    """A name of its kind is taken; usernames in lower case and NFC, all others as they are."""
    assert rule(text) == stored


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        pytest.param(names.username, "", id="username-empty"),
        pytest.param(names.username, "x" * 129, id="username-too-long"),
        pytest.param(names.username, "a:b", id="username-colon"),
        pytest.param(names.username, "a b", id="username-space"),
        pytest.param(names.username, "a\u00a0b", id="username-no-break-space"),
        pytest.param(names.username, "a\0", id="username-nul"),
        pytest.param(names.username, "a\u202eb", id="username-right-to-left-override"),
        pytest.param(names.username, "\ud800", id="username-lone-surrogate"),
        pytest.param(names.username, UUID_TEXT, id="username-like-a-sub"),
        pytest.param(names.client_id, "", id="client-id-empty"),
        pytest.param(names.client_id, "Nightly", id="client-id-upper-case"),
        pytest.param(names.client_id, "-a", id="client-id-begins-with-a-dash"),
        pytest.param(names.client_id, "x" * 65, id="client-id-too-long"),
        pytest.param(names.client_id, "a\n", id="client-id-newline"),
        pytest.param(names.client_id, UUID_TEXT, id="client-id-like-a-sub"),
        pytest.param(names.client_id, UUID_TEXT.replace("-", ""), id="client-id-like-a-sub-without-dashes"),
        pytest.param(names.audience, "notes", id="audience-relative"),
        pytest.param(names.audience, "http://a#", id="audience-fragment"),
        pytest.param(names.audience, "http://a b", id="audience-space"),
        pytest.param(names.audience, "http://é", id="audience-not-ascii"),
        pytest.param(names.audience, 'http://a"', id="audience-quote"),
        pytest.param(names.audience, "http://" + "a" * 506, id="audience-too-long"),
        pytest.param(names.scope, "", id="scope-empty"),
        pytest.param(names.scope, "a b", id="scope-space"),
        pytest.param(names.scope, 'a"', id="scope-quote"),
        pytest.param(names.scope, "a\\", id="scope-backslash"),
        pytest.param(names.scope, "x" * 129, id="scope-too-long"),
        pytest.param(names.role, "a b", id="role-space"),
        pytest.param(names.attribute, "1a", id="attribute-digit-first"),
        pytest.param(names.claim, "a b", id="claim-space"),
        pytest.param(names.display_name, " a", id="name-space-before"),
        pytest.param(names.display_name, "a\x1b[31m", id="name-with-terminal-escape"),
        pytest.param(names.display_name, "", id="name-empty"),
        pytest.param(names.display_name, "x" * 201, id="name-too-long"),
    ],
)
def test_a_bad_name_is_refused_without_being_quoted(rule, text) -> None:
    """The refusal says the rule; it never repeats what may be a password typed into the wrong field."""
    with pytest.raises(NameRefusedError) as refused:
        rule(text)
    assert len(text) < 4 or text not in str(refused.value)


@pytest.mark.parametrize("claim", sorted(REGISTERED_CLAIMS))
def test_an_attribute_never_speaks_as_the_issuer(claim) -> None:
    """No registered claim can be mapped from an attribute."""
    with pytest.raises(NameRefusedError):
        names.claim(claim)


@given(st.text())
def test_normalising_twice_changes_nothing(text) -> None:
    """The stored spelling of a username is its own normal form, whatever was typed."""
    once = names.normalise_username(text)
    assert names.normalise_username(once) == once
