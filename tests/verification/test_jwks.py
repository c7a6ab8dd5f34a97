"""Key sets as documents; the keys one by one are in the vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.jwks import MAX_KEYS, KeySetError, is_kid, parse_jwks
from tests.support.tokens import compact_json, jwk, private_key


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"keys":[', id="cut-off"),
        pytest.param(b"<html>502 Bad Gateway</html>", id="html"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b"{}", id="no-keys"),
        pytest.param(b'{"keys":{}}', id="keys-an-object"),
        pytest.param(b'{"keys":[],"keys":[]}', id="keys-twice"),
        pytest.param(b'{"keys":null}', id="keys-null"),
        pytest.param(b'{"keys":[' + b"{}," * MAX_KEYS + b"{}]}", id="too-many"),
        pytest.param(b" " * ((1 << 20) + 1), id="too-long"),
    ],
)
def test_a_document_that_is_no_key_set_is_refused_whole(data) -> None:
    with pytest.raises(KeySetError):
        parse_jwks(data)


def test_as_many_keys_as_the_bound_are_read() -> None:
    members = [jwk(private_key(), f"key-{number}") for number in range(MAX_KEYS)]
    assert len(parse_jwks(compact_json({"keys": members})).keys) == MAX_KEYS


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: compact_json({"keys": v}))
)
def test_any_bytes_give_a_key_set_or_its_error(data) -> None:
    try:
        keys = parse_jwks(data)
    except KeySetError as error:
        assert str(error).isascii()
    else:
        assert not keys.keys


@given(st.dictionaries(st.sampled_from(["kid", "kty", "n", "e", "use", "alg", "key_ops"]), st.text() | st.integers()))
def test_any_member_is_used_or_skipped(changes) -> None:
    """A key set of which one member is arbitrary still gives its good key."""
    member = jwk(private_key("other"), "other") | changes
    try:
        data = compact_json({"keys": [member, jwk(private_key(), "good")]})
    except UnicodeEncodeError:
        return
    keys = parse_jwks(data)
    assert "good" in keys.keys or any(entry.kid == "good" for entry in keys.skipped)
    assert len(keys.keys) + len(keys.skipped) == 2


def test_the_reported_kid_is_never_hostile() -> None:
    """What goes to a log is printable, short ASCII or nothing."""
    for kid in ("a\nb", "\x1b[31m", "k" * 300, "\u202e", 7, None):
        [entry] = parse_jwks(compact_json({"keys": [{"kty": "EC", "kid": kid}]})).skipped
        assert entry.kid is None


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        pytest.param("k", True, id="one"),
        pytest.param("k" * 256, True, id="longest"),
        pytest.param("k" * 257, False, id="too-long"),
        pytest.param("", False, id="empty"),
        pytest.param("k\x7f", False, id="delete"),
        pytest.param("ķ", False, id="not-ascii"),
        pytest.param(b"k", False, id="bytes"),
    ],
)
def test_a_kid_is_short_printable_ascii(value, verdict) -> None:
    assert is_kid(value) is verdict
