"""If-Match and If-None-Match (RFC 9110 section 13.1) over the version of a note."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resource_a.preconditions import MAX_HEADER_CHARACTERS, PreconditionSyntaxError, entity_tag, parse_tags


@pytest.mark.parametrize(
    ("lines", "strongly", "weakly"),
    [
        pytest.param(['"3"'], True, True, id="the-tag"),
        pytest.param(['W/"3"'], False, True, id="weak-tags-match-weakly-only"),
        pytest.param(['"2"'], False, False, id="another-version"),
        pytest.param(['"1", "3"'], True, True, id="one-of-a-list"),
        pytest.param(['"1","3"'], True, True, id="list-without-blanks"),
        pytest.param(['"1" ,\t "3"'], True, True, id="list-with-blanks"),
        pytest.param(['"1",, "3"'], True, True, id="an-empty-element-is-tolerated-within"),
        pytest.param(['"1"', '"3"'], True, True, id="two-lines-are-one-list"),
        pytest.param(["*"], True, True, id="anything"),
        pytest.param(['"*"'], False, False, id="a-quoted-star-is-a-tag"),
        pytest.param(['"03"'], False, False, id="another-spelling-is-another-tag"),
        pytest.param(['"abc"', 'W/"x"'], False, False, id="tags-not-of-ours-match-nothing"),
        pytest.param(['""'], False, False, id="the-empty-tag"),
        pytest.param(['"9999999999999999999"'], False, False, id="too-large-for-the-database"),
    ],
)
def test_version_3_matches(lines: list[str], strongly: bool, weakly: bool) -> None:
    """Strong comparison for If-Match, weak for If-None-Match (section 8.8.3.2)."""
    tags = parse_tags(lines)
    assert tags is not None
    assert (tags.match_strongly(3), tags.match_weakly(3)) == (strongly, weakly)


def test_a_tag_that_fits_a_version_is_one_and_a_longer_one_is_none() -> None:
    """Every number of nine digits fits into the database's 32 bits; not every one of ten does."""
    longest, longer = parse_tags(['"999999999"', 'W/"999999998"']), parse_tags(['"1000000000"', '"9999999999"'])
    assert longest is not None
    assert longer is not None
    assert (longest.strong, longest.weak) == ({999_999_999}, {999_999_998})
    assert (longer.strong, longer.weak) == (set(), set())


def test_a_header_of_the_most_characters_is_read_and_one_more_is_not() -> None:
    """The bound is on all lines together."""
    fits = '"' + "x" * (MAX_HEADER_CHARACTERS - 2) + '"'
    assert parse_tags([fits]) == parse_tags(['"x"'])
    for lines in ([fits[:-1] + 'x"'], ['"1"', fits[4:-1] + '"'], [fits[3:], '"1"']):
        with pytest.raises(PreconditionSyntaxError):
            parse_tags(lines)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([""], id="empty"),
        pytest.param(["3"], id="unquoted"),
        pytest.param(['"3'], id="unended"),
        pytest.param(['"3" "4"'], id="without-a-comma"),
        pytest.param(['"3",'], id="trailing-comma"),
        pytest.param(['w/"3"'], id="weakness-is-case-sensitive"),
        pytest.param(['*, "3"'], id="star-is-no-list-element"),
        pytest.param(["*", "*"], id="two-stars"),
        pytest.param(['"a b"'], id="a-blank-in-a-tag"),
        pytest.param(['"1", ' * 300 + '"3"'], id="too-long"),
    ],
)
def test_a_malformed_header_is_refused(lines: list[str]) -> None:
    """A header that is not understood is an error: ignoring it could overwrite what it was to protect."""
    with pytest.raises(PreconditionSyntaxError):
        parse_tags(lines)


def test_no_header_is_no_precondition() -> None:
    """Absence is told apart from a list that matches nothing."""
    assert parse_tags([]) is None


@given(st.lists(st.text(), max_size=3))
def test_no_text_breaks_the_parser(lines: list[str]) -> None:
    """Whatever the header, the answer is tags, None or a PreconditionSyntaxError."""
    try:
        parse_tags(lines)
    except PreconditionSyntaxError:
        return


@given(st.integers(min_value=1, max_value=999_999_999))
def test_a_tag_of_ours_matches_its_version_alone(version: int) -> None:
    """The tag that was sent out is the tag that comes back."""
    tags = parse_tags([entity_tag(version)])
    assert tags is not None
    assert tags.match_strongly(version)
    assert not tags.match_weakly(version + 1)
