"""Issuer and verifier read issuers, resources and scopes the same way."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_server.accounts import names
from auth_server.settings import AuthServerSettings
from farseal.environment import SettingsError, load
from farseal.identifiers import is_scope, issuer_identifier, quotable, resource_identifier, split_scope
from farseal.settings import TrustSettings

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "identifiers.json").read_text())
HERE = Path("/nowhere")


def accepts(read, *errors: type[Exception]) -> bool:
    try:
        read()
    except errors:
        return False
    return True


def rows(kind: str) -> list:
    return [
        pytest.param(row["text"], row["outcome"] == "accepted", id=ascii(row["text"])[:60]) for row in VECTORS[kind]
    ]


@pytest.mark.parametrize(("text", "accepted"), rows("issuers"))
def test_both_sides_take_the_same_issuers(text, accepted) -> None:
    """An issuer that the auth server signs for is one that a resource server can be set up with, and no other is."""
    environ = {"AUTH_SERVER_ISSUER": text, "AUTH_SERVER_DATABASE_URL": "postgresql:///x", "AUTH_SERVER_KEK_FILE": "/k"}
    signs = accepts(lambda: load(AuthServerSettings, environ, "AUTH_SERVER_"), SettingsError)
    trusts = accepts(lambda: TrustSettings(issuer=text, audience="urn:x", trust_directory=HERE), SettingsError)
    assert (accepts(lambda: issuer_identifier(text), ValueError), signs, trusts) == (accepted,) * 3


@pytest.mark.parametrize(("text", "accepted"), rows("resources"))
def test_both_sides_take_the_same_resources(text, accepted) -> None:
    """A resource that an operator can make is one that a service can be set up as, and no other is."""
    made = accepts(lambda: names.audience(text), names.NameRefusedError)
    served = accepts(
        lambda: TrustSettings(issuer="https://a.example", audience=text, trust_directory=HERE), SettingsError
    )
    assert (accepts(lambda: resource_identifier(text), ValueError), made, served) == (accepted,) * 3


@given(st.text(max_size=20) | st.text("ab:/?#[]@%.{} \u00e9\n", max_size=20))
def test_a_message_says_the_rule_and_not_the_value(text) -> None:
    for read in (issuer_identifier, resource_identifier):
        with pytest.raises(ValueError, match=r"^must be ") as refused:
            read("")
        try:
            assert read(text) == text
        except ValueError as error:
            assert str(error) == str(refused.value)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("a", ["a"], id="one"),
        pytest.param("b a b", ["b", "a", "b"], id="as-they-stand"),
        pytest.param("", None, id="none"),
        pytest.param("a  b", None, id="two-spaces"),
        pytest.param(" a", None, id="leading"),
        pytest.param("a\tb", None, id="tab"),
        pytest.param("a\u00a0b", None, id="no-break-space"),
        pytest.param('a"b', None, id="quote"),
        pytest.param("a\\b", None, id="backslash"),
        pytest.param("a\n", None, id="newline"),
    ],
)
def test_scopes_are_split_on_one_space_only(text, tokens) -> None:
    """RFC 6749 section 3.3; Python's own split takes more than spaces."""
    if tokens is None:
        with pytest.raises(ValueError, match="single spaces"):
            split_scope(text)
    else:
        assert split_scope(text) == tokens


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("notes:read", True), ("", False), ("a b", False), ("a\u00e9", False), ("a\n", False)],
    ids=["usual", "empty", "two", "beyond-ascii", "newline"],
)
def test_one_scope(text, verdict) -> None:
    assert is_scope(text) is verdict


@given(st.text())
def test_a_quoted_text_cannot_leave_its_quotes(text) -> None:
    said = quotable(text)
    assert len(said) == len(text)
    assert said.isascii()
    assert not set(said) & set('"\\\r\n\0')
