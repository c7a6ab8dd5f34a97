"""RFC 6750 as text: which header holds a token, and what a challenge may say."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.bearer import CredentialsMalformedError, bearer_token, challenge


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        pytest.param([], None, id="none"),
        pytest.param(["Bearer abc.def.ghi"], "abc.def.ghi", id="one-token"),
        pytest.param(["bearer abc"], "abc", id="scheme-without-case"),
        pytest.param(["BEARER abc"], "abc", id="scheme-in-capitals"),
        pytest.param(["Bearer   abc"], "abc", id="several-spaces"),
        pytest.param(["Bearer a-._~+/b=="], "a-._~+/b==", id="every-character-of-b64token"),
        pytest.param(["Basic dTpw"], None, id="another-scheme"),
        pytest.param(["Bearerabc"], None, id="scheme-is-a-whole-word"),
        pytest.param(["Bearer-Token abc"], None, id="not-a-prefix"),
        pytest.param(["DPoP abc"], None, id="dpop"),
        pytest.param([""], None, id="empty"),
        pytest.param([" "], None, id="blank"),
        pytest.param(["\u212aearer abc"], None, id="not-ascii"),
    ],
)
def test_only_a_bearer_header_holds_a_token(headers, token) -> None:
    """No bearer token at all is no credentials, and no error (RFC 6750 section 3.1)."""
    assert bearer_token(headers) == token


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["Bearer abc", "Bearer abc"], id="two-headers"),
        pytest.param(["Basic dTpw", "Bearer abc"], id="two-schemes"),
        pytest.param(["Bearer"], id="no-token"),
        pytest.param(["Bearer "], id="no-token-but-a-space"),
        pytest.param(["Bearer a b"], id="two-tokens"),
        pytest.param(["Bearer a, Bearer b"], id="two-headers-joined-on-the-way"),
        pytest.param(["Bearer\tabc"], id="tab"),
        pytest.param(["Bearer abc "], id="space-after"),
        pytest.param(["Bearer a=b"], id="padding-inside"),
        pytest.param(['Bearer "abc"'], id="quoted"),
        pytest.param(["Bearer abc\u00e9"], id="not-ascii"),
        pytest.param(["Bearer ab\x00c"], id="nul"),
        pytest.param(["Bearer abc\r\nX: y"], id="line-break"),
        pytest.param(["Bearer abc\n"], id="line-feed-at-the-end"),
    ],
)
def test_credentials_that_can_be_read_two_ways_are_invalid_requests(headers) -> None:
    """400 invalid_request (RFC 6750 section 3.1), with a message that quotes none of it."""
    with pytest.raises(CredentialsMalformedError) as refused:
        bearer_token(headers)
    assert (refused.value.status, refused.value.error) == (400, "invalid_request")
    assert "abc" not in str(refused.value)


@given(st.lists(st.text(), max_size=3))
def test_no_header_brings_any_other_error(headers) -> None:
    """Whatever is sent, the answer is a token of its characters, nothing, or the one error."""
    try:
        token = bearer_token(headers)
    except CredentialsMalformedError:
        return
    assert token is None or re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token)


def test_a_challenge_without_credentials_has_no_error() -> None:
    """Realm and metadata are all that is told (RFC 6750 section 3, RFC 9728 section 5.1)."""
    assert challenge("notes", description="ignored", resource_metadata="https://n.example/m") == (
        'Bearer realm="notes", resource_metadata="https://n.example/m"'
    )
    assert challenge("notes") == 'Bearer realm="notes"'


def test_a_challenge_names_error_and_scopes() -> None:
    """Scopes are sorted, with single spaces."""
    assert challenge("n", error="insufficient_scope", description="No", scopes=("b", "a")) == (
        'Bearer realm="n", error="insufficient_scope", error_description="No", scope="a b"'
    )
    assert challenge("n", error="invalid_token") == 'Bearer realm="n", error="invalid_token"'


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param('x", error="none', id="quote"),
        pytest.param("x\\", id="backslash"),
        pytest.param("x\r\nSet-Cookie: a=b", id="header-injection"),
        pytest.param("x\x00", id="nul"),
        pytest.param("x\u20ac", id="not-ascii"),
        pytest.param("x\x7f", id="delete"),
    ],
)
@pytest.mark.parametrize("place", ["realm", "error", "description", "scopes", "resource_metadata"])
def test_no_value_ends_its_quotes_or_its_header(place, hostile) -> None:
    """Only %x20-21 %x23-5B %x5D-7E stand in an attribute (RFC 6750 section 3)."""
    given_values: dict[str, Any] = {
        "realm": "n",
        "error": "e",
        "description": "d",
        "scopes": ("s",),
        "resource_metadata": "m",
    }
    given_values[place] = (hostile,) if place == "scopes" else hostile
    header = challenge(**given_values)
    assert re.fullmatch(r'Bearer (?:[a-z_]+="[\x20-\x21\x23-\x5b\x5d-\x7e]*"(?:, |$)){5}', header)
