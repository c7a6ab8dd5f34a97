"""The strict readers, for any bytes: a value or `EncodingError`, nothing else."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.encoding import EncodingError, b64url_decode, b64url_encode, parse_json, parse_json_object

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.binary())
def test_base64url_comes_back_as_it_went(data) -> None:
    assert b64url_decode(b64url_encode(data)) == data


@given(st.text(alphabet="ABw8-_=+/. \n\0é", max_size=12) | st.text())
def test_a_decoded_text_is_the_only_spelling_of_its_bytes(text) -> None:
    """No second spelling is accepted: what decodes must encode to the very same text."""
    try:
        data = b64url_decode(text)
    except EncodingError as error:
        assert len(text) < 3 or text not in str(error)
    else:
        assert b64url_encode(data) == text


@given(st.binary(max_size=64))
def test_base64url_gives_bytes_or_its_own_error_for_any_bytes(data) -> None:
    try:
        decoded = b64url_decode(data)
    except EncodingError:
        return
    assert b64url_encode(decoded).encode() == data


@given(json_values)
def test_a_written_value_is_read_back(value) -> None:
    """Both writers' spellings are read: ours takes the short way, the standard library's is scanned for duplicates."""
    for separators in ((",", ":"), (", ", ": ")):
        try:
            data = json.dumps(value, separators=separators, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return
        try:
            assert parse_json(data, max_depth=100) == value
        except EncodingError as error:
            # Integers beyond a parser's bounds are refused, not rounded.
            assert "nested" not in str(error)


@given(st.binary() | st.text(alphabet='{}[]":,\\ud80019eE+-.nulltrue \n\0', max_size=40).map(str.encode))
def test_strict_json_never_reads_what_the_standard_library_refuses(data) -> None:
    """Ours is a subset, and whatever the bytes only `EncodingError` comes out."""
    try:
        value = parse_json(data)
    except EncodingError as error:
        assert str(error).isascii()
    else:
        assert json.loads(data) == value


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 9), min_size=1, max_size=5), st.data())
def test_a_member_named_twice_is_refused_wherever_it_stands(members, data) -> None:
    name = data.draw(st.sampled_from(sorted(members)))
    pairs = [*members.items(), (name, data.draw(st.integers(0, 9)))]
    pairs = data.draw(st.permutations(pairs))
    ascii_only = data.draw(st.booleans())
    text = "{" + ",".join(f"{json.dumps(key, ensure_ascii=ascii_only)}:{value}" for key, value in pairs) + "}"
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return
    with pytest.raises(EncodingError):
        parse_json(encoded)


@pytest.mark.parametrize(
    ("data", "limit", "refused"),
    [
        pytest.param(b'"abc"', 5, False, id="at-the-bound"),
        pytest.param(b'"abc"', 4, True, id="one-over"),
    ],
)
def test_the_size_is_bounded_before_anything_is_parsed(data, limit, refused) -> None:
    if refused:
        with pytest.raises(EncodingError, match="longer than 4 bytes"):
            parse_json(data, max_bytes=limit)
    else:
        assert parse_json(data, max_bytes=limit) == "abc"


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_an_object_is_an_object(data) -> None:
    with pytest.raises(EncodingError, match="not an object"):
        parse_json_object(data)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(b'"' + b"\\" * (1 << 19) + b'["' * 1000, id="backslashes"),
        pytest.param(b'"' + b'\\"' * (1 << 18), id="quotes-escaped-in-a-string-without-end"),
        pytest.param(b'"' + b'\\"' * (1 << 18) + b"\\", id="and-half-an-escape-at-the-end"),
        pytest.param(b'"' * ((1 << 19) + 1), id="quotes"),
    ],
)
@pytest.mark.parametrize("brackets", [b"[" * 17, b"[]" * 17], ids=["too-deep", "flat"])
def test_the_depth_scan_is_linear_in_the_bytes(brackets, run) -> None:
    """Whoever may send a body or a token, signed or not, must not buy a minute of the event loop with half a MiB."""
    began = time.process_time()
    with pytest.raises(EncodingError):
        parse_json(brackets + run)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"secret-member":1e999}', id="number"),
        pytest.param(b'{"secret-member":"secret\\ud800"}', id="surrogate"),
        pytest.param(b'{"secret-member":secret}', id="bare-word"),
        pytest.param(b'{"secret-member":1,"secret-member":2}', id="duplicate"),
        pytest.param(b'{"secret-member":"\xff"}', id="utf-8"),
    ],
)
def test_a_message_never_quotes_the_data(data) -> None:
    with pytest.raises(EncodingError) as caught:
        parse_json(data)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_integer_beyond_the_interpreters_bound_is_our_error() -> None:
    """Python refuses to read integers of more than 4,300 digits; that is no ValueError of ours to leak."""
    with pytest.raises(EncodingError):
        parse_json(b"[ " + b"9" * 5000 + b"]")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b'{"a":1,}', "JSON is malformed: trailing comma in object (byte 7)", id="trailing-comma"),
        pytest.param(b'{"a":', "JSON is malformed: it ends too early (byte 5)", id="cut-off"),
        pytest.param(b'{"a":"\\ud800"}', "JSON has half a surrogate pair", id="surrogate"),
        pytest.param(b'{"a":1,"a":2}', "JSON has duplicate members", id="duplicate"),
        pytest.param(b'{"a":\xff}', "JSON is malformed: invalid character (byte 5)", id="byte"),
    ],
)
def test_a_message_names_the_fault_and_where_it_can_the_byte(data, message) -> None:
    with pytest.raises(EncodingError) as caught:
        parse_json(data)
    assert str(caught.value) == message


def test_awkward_numbers_cost_little_more_than_easy_ones() -> None:
    """One parser needs a hundred times as long for them, and holds up every other thread meanwhile."""

    def cost(number: bytes) -> float:
        data = b"[" + b",".join([number] * 20_000) + b"]"
        began = time.thread_time()
        assert len(parse_json(data)) == 20_000
        return time.thread_time() - began

    easy = min(cost(b"1.25") for _ in range(3))
    assert min(cost(b"1.7976931348623157e-300") for _ in range(3)) < 10 * easy
