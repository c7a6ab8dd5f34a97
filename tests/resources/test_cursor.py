"""The list's cursor: opaque, canonical, and refused when anything in it was changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.encoding import b64url_encode
from resource_a.cursor import MAX_POSITION, CursorError, _checksum, decode_cursor, encode_cursor

positions = st.integers(min_value=1, max_value=MAX_POSITION)


@given(positions)
def test_a_cursor_is_read_back(position: int) -> None:
    """Every position of a bigint survives, in the 22 characters that openapi.yaml promises."""
    cursor = encode_cursor(position)
    assert decode_cursor(cursor) == position
    assert len(cursor) == 22


def test_the_first_and_the_last_position_have_cursors() -> None:
    """One, and the largest number that the database can hold."""
    assert MAX_POSITION == 9_223_372_036_854_775_807
    assert [decode_cursor(encode_cursor(position)) for position in (1, MAX_POSITION)] == [1, MAX_POSITION]
    with pytest.raises(CursorError):
        decode_cursor(encode_cursor(MAX_POSITION + 1))


@given(positions, st.integers(min_value=0, max_value=21), st.characters())
def test_an_edited_cursor_is_refused(position: int, place: int, other: str) -> None:
    """One changed character, whichever, is an error and not another page."""
    cursor = encode_cursor(position)
    edited = cursor[:place] + other + cursor[place + 1 :]
    if edited != cursor:
        with pytest.raises(CursorError):
            decode_cursor(edited)


@given(st.text())
def test_no_text_breaks_the_decoder(text: str) -> None:
    """Whatever the text, the answer is a position or a CursorError."""
    try:
        position = decode_cursor(text)
    except CursorError:
        return
    assert encode_cursor(position) == text


def _with_checksum(raw: bytes) -> str:
    return b64url_encode(raw + _checksum(raw))


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("", id="empty"),
        pytest.param(encode_cursor(7)[:-1], id="truncated"),
        pytest.param(encode_cursor(7) + "A", id="extended"),
        pytest.param(encode_cursor(7) + "==", id="padded"),
        pytest.param(" " + encode_cursor(7), id="with-a-space"),
        pytest.param(_with_checksum(bytes(8)), id="position-zero"),
        pytest.param(_with_checksum(b"\xff" * 8), id="beyond-a-bigint"),
        pytest.param(_with_checksum(b"\x01" * 7), id="too-short-with-a-good-checksum"),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    """A position that the database could not hold never reaches it."""
    with pytest.raises(CursorError):
        decode_cursor(cursor)
