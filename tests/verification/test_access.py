"""Access rules: what they match, what they refuse to be, and the paths that never reach them."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farseal.access import (
    AccessRules,
    AccessRulesError,
    Authenticated,
    Public,
    Rule,
    UnreachableRuleError,
    decide,
    overlaps,
    parse_pattern,
    parse_rules,
    path_fault,
    subsumes,
)

SCOPED = Authenticated(frozenset({"notes:read"}))


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        pytest.param("/notes", "/notes", True, id="literal"),
        pytest.param("/notes", "/notes/", False, id="a-slash-at-the-end-is-another-path"),
        pytest.param("/notes/", "/notes/", True, id="unless-it-is-written"),
        pytest.param("/notes", "/Notes", False, id="case-counts"),
        pytest.param("/", "/", True, id="root"),
        pytest.param("/", "/notes", False, id="root-alone"),
        pytest.param("/notes/*", "/notes/1", True, id="star-is-one-segment"),
        pytest.param("/notes/*", "/notes/1/2", False, id="star-is-not-two"),
        pytest.param("/notes/*", "/notes/", False, id="star-is-not-empty"),
        pytest.param("/notes/*", "/notes", False, id="star-is-not-nothing"),
        pytest.param("/*/tags", "/a/tags", True, id="star-in-the-middle"),
        pytest.param("/notes/**", "/notes", True, id="rest-is-nothing-too"),
        pytest.param("/notes/**", "/notes/", True, id="rest-is-an-empty-segment-too"),
        pytest.param("/notes/**", "/notes/1/2/3", True, id="rest-is-many"),
        pytest.param("/notes/**", "/notes2", False, id="rest-begins-at-a-slash"),
        pytest.param("/**", "/", True, id="everything"),
        pytest.param("/**", "/a//b", True, id="everything-with-empty-segments"),
        pytest.param("/*/**", "/", False, id="star-then-rest-wants-one"),
        pytest.param("/*/**", "/a", True, id="star-then-rest"),
        pytest.param("/a/b/**", "/a", False, id="rest-begins-after-all-before-it"),
        pytest.param("/a/b/**", "/a/b", True, id="rest-after-two"),
        pytest.param("/a/b", "/a//b", False, id="an-empty-segment-is-a-segment"),
        pytest.param("/café", "/café", True, id="literals-are-decoded"),
        pytest.param("/a/*", "/a/*", True, id="a-star-in-a-path-is-a-name"),
        pytest.param("/a/b", "/a/*", False, id="and-matches-no-other-name"),
    ],
)
def test_a_pattern_matches_whole_segments(pattern, path, matches) -> None:
    """A pattern is about exactly the paths its segments spell, and says why it is not about others."""
    rules = parse_rules(f"GET {pattern} public")
    assert (rules.match("GET", path) is not None) is matches
    assert (rules.rules[0].why_not("GET", tuple(path.split("/")[1:])) is None) is matches


@pytest.mark.parametrize(
    ("methods", "method", "matches"),
    [
        pytest.param("GET", "GET", True, id="named"),
        pytest.param("GET", "POST", False, id="not-named"),
        pytest.param("GET", "HEAD", True, id="head-is-get"),
        pytest.param("POST", "HEAD", False, id="head-is-not-post"),
        pytest.param("GET,POST", "POST", True, id="second-of-a-list"),
        pytest.param("*", "OPTIONS", True, id="star-is-options-too"),
        pytest.param("GET", "OPTIONS", False, id="options-has-no-magic"),
        pytest.param("*", "BREW", True, id="star-is-any-word"),
        pytest.param("GET", "get", False, id="methods-have-case"),
    ],
)
def test_methods_are_matched_as_sent(methods, method, matches) -> None:
    """HEAD goes with GET (RFC 9110 section 9.3.2); every other method only with its own name or with *."""
    assert (parse_rules(f"{methods} /x public").match(method, "/x") is not None) is matches


def test_the_first_match_wins_and_no_match_is_none() -> None:
    """Order decides; a request that no rule is about has no rule."""
    rules = parse_rules("GET /notes/open public\nGET /notes/* scope:notes:read\n")
    assert rules.match("GET", "/notes/open") == Rule(frozenset({"GET"}), ("notes", "open"), Public())
    found = rules.match("GET", "/notes/1")
    assert found is not None
    assert found.needs == SCOPED
    assert found.line == 2
    assert rules.match("DELETE", "/notes/1") is None
    assert rules.scopes == {"notes:read"}
    assert len(rules) == len(list(rules)) == 2


def test_head_may_differ_from_get_in_an_earlier_rule() -> None:
    """A rule that names HEAD before the one for GET has its way."""
    rules = parse_rules("HEAD /x public\nGET /x authenticated")
    assert [rule.needs for method in ("HEAD", "GET") if (rule := rules.match(method, "/x"))] == [
        Public(),
        Authenticated(),
    ]


def test_a_rules_text_has_comments_blank_lines_and_any_spacing() -> None:
    """What people write in a file is understood, and printed back in one form."""
    text = "# the notes\n\n  GET,POST\t/notes/**   scope:notes:read  role:a  # both\r\n* /me authenticated\n"
    assert [str(rule) for rule in parse_rules(text)] == [
        "GET,POST /notes/** scope:notes:read role:a",
        "* /me authenticated",
    ]
    assert len(parse_rules("")) == 0


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param("GET", "a rule is METHODS", id="too-short"),
        pytest.param("GET /x", "a rule is METHODS", id="no-needs"),
        pytest.param("get /x public", "'get' is not a method", id="lower-case-method"),
        pytest.param("GET,,POST /x public", "'' is not a method", id="empty-method"),
        pytest.param("GET,GET /x public", "a method is named twice", id="method-twice"),
        pytest.param("GET,* /x public", "'*' is not a method", id="star-in-a-list"),
        pytest.param("GET x public", "does not start with /", id="relative"),
        pytest.param("GET /a//b public", "empty segment", id="empty-segment"),
        pytest.param("GET /**/a public", "only at the end", id="rest-in-the-middle"),
        pytest.param("GET /a* public", "whole segments", id="half-a-star"),
        pytest.param("GET /a/../b public", "dot segment", id="dot-segment"),
        pytest.param("GET /a%20b public", "written decoded", id="encoded"),
        pytest.param("GET /{id} public", "without braces", id="aiohttp-variable"),
        pytest.param("GET /{id public", "without braces", id="opening-brace"),
        pytest.param("GET /id} public", "without braces", id="closing-brace"),
        pytest.param("GET /a?b public", "no query", id="query"),
        pytest.param("GET /a;b public", "no query", id="parameters"),
        pytest.param("GET /a\\b public", "no request may have", id="backslash"),
        pytest.param("GET /x public scope:a", "public stands alone", id="public-and-more"),
        pytest.param("GET /x authenticated role:a", "authenticated stands alone", id="authenticated-and-more"),
        pytest.param("GET /x role:", "does not name a role", id="role-without-name"),
        pytest.param('GET /x scope:a"b', "does not name a scope", id="scope-with-a-quote"),
        pytest.param("GET /x scope:a scope:a", "named twice", id="scope-twice"),
        pytest.param("GET /x Public", "'Public' is none of", id="needs-have-case"),
        pytest.param("GET /x admin", "'admin' is none of", id="unknown-need"),
        pytest.param("GET /x group:a", "'group:a' is none of", id="unknown-kind"),
    ],
)
def test_a_faulty_line_is_refused_with_its_number(line, fault) -> None:
    """Each way to write a line wrong is named."""
    with pytest.raises(AccessRulesError, match=r"line 2: ") as refused:
        parse_rules(f"# first\n{line}\n")
    assert len(refused.value.faults) == 1
    assert fault in refused.value.faults[0]


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param("# a comment\u2028* /** public", id="line-separator-in-a-comment"),
        pytest.param("# a comment\x85* /** public", id="next-line-in-a-comment"),
        pytest.param("# a comment\x0b* /** public", id="vertical-tab-in-a-comment"),
        pytest.param("# a comment\x1c* /** public", id="file-separator-in-a-comment"),
        pytest.param("# a comment\r* /** public", id="carriage-return-in-a-comment"),
        pytest.param("# a comment \u202e", id="right-to-left-override"),
        pytest.param("GET\u00a0/x public", id="no-break-space"),
        pytest.param("GET /x\u200b public", id="zero-width-space"),
        pytest.param("GET /x\x00 public", id="nul"),
        pytest.param("\ufeffGET /x public", id="byte-order-mark"),
    ],
)
def test_what_no_editor_shows_is_a_fault(hidden) -> None:
    """A rule that hides in a comment, or a path that is not what it looks like, would answer all the same."""
    with pytest.raises(AccessRulesError) as refused:
        parse_rules(f"GET /a authenticated\n{hidden}\nGET /b authenticated\n")
    assert refused.value.faults == ("line 2: there is a character that cannot be seen",)


def test_all_faults_of_a_text_are_told_at_once() -> None:
    """Somebody who repairs a file does it once: faulty lines and unreachable ones together."""
    text = "get /x public nobody\nGET /a/** public\nGET /a/b authenticated\nPOST x role:\n"
    with pytest.raises(AccessRulesError) as refused:
        parse_rules(text)
    assert not isinstance(refused.value, UnreachableRuleError)
    assert [fault.split(":")[0].split(" (")[0] for fault in refused.value.faults] == [
        "line 1",
        "line 1",
        "line 1",
        "line 4",
        "line 4",
        "line 3",
    ]


@pytest.mark.parametrize(
    ("text", "hidden_by"),
    [
        pytest.param("GET /a public\nGET /a authenticated", ["line 1"], id="same"),
        pytest.param("* /** authenticated\nGET /a public", ["line 1"], id="everything-first"),
        pytest.param("GET /a/* public\nGET /a/b authenticated", ["line 1"], id="star-before-literal"),
        pytest.param("GET /a/** public\nGET /a authenticated", ["line 1"], id="rest-takes-nothing-too"),
        pytest.param("GET /a/** public\nGET /a/*/** authenticated", ["line 1"], id="rest-before-narrower-rest"),
        pytest.param("GET /a public\nHEAD /a authenticated", ["line 1"], id="get-takes-head"),
        pytest.param(
            "GET /a public\nPOST /a public\nGET,POST /a authenticated", ["line 1", "line 2"], id="two-hide-one"
        ),
        pytest.param("GET /a public\n* /a/** public\nGET,PUT /a public", ["line 2"], id="any-method-hides-alone"),
    ],
)
def test_a_rule_that_can_never_answer_is_refused(text, hidden_by) -> None:
    """Both rules are named, with their lines: the hidden one first."""
    with pytest.raises(UnreachableRuleError) as refused:
        parse_rules(text)
    (fault,) = refused.value.faults
    assert fault.startswith(f"line {text.count(chr(10)) + 1} (")
    assert [word for word in ("line 1", "line 2") if word in fault.split("hidden by")[1]] == hidden_by


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("GET /a/b authenticated\nGET /a/* public", id="narrow-first"),
        pytest.param("GET /a/* public\nGET /a/** authenticated", id="rest-is-wider"),
        pytest.param("GET /a public\nGET,POST /a authenticated", id="one-method-left"),
        pytest.param("GET,POST,PUT,DELETE /a public\n* /a authenticated", id="any-method-is-never-used-up"),
        pytest.param("HEAD /a public\nGET /a authenticated", id="head-first"),
        pytest.param("GET /a/* public\nGET /a/ authenticated", id="star-leaves-the-empty-segment"),
        pytest.param("GET /*/b public\nGET /a/* public", id="crossing"),
    ],
)
def test_a_rule_that_may_answer_stays(text) -> None:
    """Overlap is not unreachability."""
    assert len(parse_rules(text)) == 2


def test_rules_made_in_code_are_held_to_the_same() -> None:
    """Without a text there are no lines: the rules are named by what they say."""
    twice = [Rule(None, ("a",), Public()), Rule(frozenset({"GET"}), ("a",), SCOPED)]
    with pytest.raises(UnreachableRuleError, match=r"\(GET /a scope:notes:read\) .* hidden by \(\* /a public\)"):
        AccessRules(twice)
    with pytest.raises(ValueError, match="at least one segment"):
        Rule(None, (), Public())


HEADS = [head for length in range(3) for head in itertools.product("ab*", repeat=length)]
PATTERNS = [(*head, last) for head in HEADS for last in ("a", "b", "*", "**", "")]
PATHS = [
    "/" + "/".join(path) for length in range(1, 6) for path in itertools.product(("a", "b", "c", ""), repeat=length)
]


def paths_of(pattern: tuple[str, ...]) -> frozenset[str]:
    """What a pattern is about, told by a regular expression instead of the code under test."""
    words = {"*": "/[^/]+", "**": "(/.*)?"}
    expression = re.compile("".join(words.get(segment, f"/{segment}") for segment in pattern))
    return frozenset(path for path in PATHS if expression.fullmatch(path))


def test_every_small_pattern_is_about_its_paths_and_compared_by_them() -> None:
    """All patterns of up to three segments, over all paths of up to five: matched, subsumed and overlapping as sets."""
    about = {pattern: paths_of(pattern) for pattern in PATTERNS}
    for pattern, paths in about.items():
        rule = Rule(None, pattern, Public())
        assert {path for path in PATHS if rule.answers("GET", tuple(path.split("/")[1:]))} == paths, pattern
    for one, other in itertools.product(PATTERNS, repeat=2):
        assert subsumes(one, other) is (about[other] <= about[one]), (one, other)
        assert overlaps(one, other) is bool(about[one] & about[other]), (one, other)


SEGMENT = st.sampled_from(["a", "b", "*", ""])
PATTERN = st.builds(
    lambda head, last, rest: tuple(s for s in head if s) + (("**",) if rest else (last,)),
    st.lists(st.sampled_from(["a", "b", "*"]), max_size=3),
    SEGMENT,
    st.booleans(),
)
PATH = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@given(PATTERN, PATTERN, PATH)
def test_subsumption_and_overlap_agree_with_matching(wide, narrow, path) -> None:
    """What a subsumed pattern matches, the wider one matches; what both match shows that they overlap."""
    one, other = (AccessRules([Rule(None, pattern, Public())]).match("GET", path) for pattern in (wide, narrow))
    if other is not None and subsumes(wide, narrow):
        assert one is not None
    if one is not None and other is not None:
        assert overlaps(wide, narrow)
        assert overlaps(narrow, wide)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("/a", "/b", id="literals"),
        pytest.param("/a/*", "/b/c", id="a-literal-before-a-star"),
        pytest.param("/a/**", "/b/**", id="literals-before-rests"),
        pytest.param("/a", "/a/*", id="lengths"),
        pytest.param("/a/*", "/a/", id="star-is-not-empty"),
        pytest.param("/a/b/**", "/a", id="rest-of-something-longer"),
    ],
)
def test_patterns_without_a_path_in_common_do_not_overlap(one, other) -> None:
    """Otherwise a route that nobody may call would be thought to have its rule."""
    assert not overlaps(parse_pattern(one), parse_pattern(other))
    assert not overlaps(parse_pattern(other), parse_pattern(one))


@given(st.text(), st.text(max_size=3))
def test_no_text_brings_any_other_error(text, path) -> None:
    """Whatever the file holds, the answer is rules or AccessRulesError."""
    try:
        rules = parse_rules(text)
    except AccessRulesError as error:
        assert error.faults
    else:
        rules.match("GET", "/" + path)
    assert path_fault(text) is None or path_fault(text)


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        pytest.param("/notes/1", False, id="plain"),
        pytest.param("/caf\u00e9/\u65e5", False, id="letters-of-the-world"),
        pytest.param("/a b/~x;v=1/(y)", False, id="odd-but-harmless"),
        pytest.param("/100%25", False, id="an-encoded-percent-sign"),
        pytest.param("/%252e%252e", False, id="encoded-twice-is-a-name"),
        pytest.param("/..a/...", False, id="dots-in-a-name"),
        pytest.param("/a%2Fb", True, id="encoded-slash"),
        pytest.param("/a%2fb", True, id="encoded-slash-small"),
        pytest.param("/a%zz", True, id="stray-percent-sign"),
        pytest.param("/a%", True, id="percent-sign-at-the-end"),
        pytest.param("/%FF", True, id="not-utf-8"),
        pytest.param("/\udcff", True, id="raw-byte-that-is-not-utf-8"),
        pytest.param("/a/../b", True, id="dot-dot"),
        pytest.param("/a/./b", True, id="dot"),
        pytest.param("/..", True, id="dot-dot-at-the-end"),
        pytest.param("/a\\b", True, id="backslash"),
        pytest.param("/a\x00", True, id="nul"),
        pytest.param("/a\r\nb", True, id="line-break"),
        pytest.param("/a\x7f", True, id="delete"),
        pytest.param("/a\x85", True, id="c1-control"),
        pytest.param("*", True, id="asterisk-form"),
        pytest.param("", True, id="authority-form"),
        pytest.param("a", True, id="no-slash"),
    ],
)
def test_paths_that_can_be_read_two_ways_are_refused(path, refused) -> None:
    """Such spellings are how access rules are walked around."""
    assert (path_fault(path) is not None) is refused


@pytest.mark.parametrize(
    ("rule", "own", "needs"),
    [
        pytest.param(None, None, None, id="neither-denies"),
        pytest.param(None, SCOPED, SCOPED, id="handler-alone"),
        pytest.param(Public(), None, Public(), id="public-rule"),
        pytest.param(Public(), SCOPED, SCOPED, id="handler-holds-against-a-public-rule"),
        pytest.param(
            Authenticated(roles=frozenset({"a"})),
            SCOPED,
            Authenticated(frozenset({"notes:read"}), frozenset({"a"})),
            id="both-must-hold",
        ),
    ],
)
def test_the_stricter_of_rule_and_handler_wins(rule, own, needs) -> None:
    """A rule never weakens what a handler requires, nor the other way."""
    assert decide(None if rule is None else Rule(None, ("a",), rule), own) == needs


@pytest.mark.parametrize(
    ("path", "why"),
    [
        pytest.param("/notes", "the path ends after 1 segment, the rule wants 2", id="short"),
        pytest.param("/notes/1/2", "the path goes on after 2 segments", id="long"),
        pytest.param("/notes/", "segment 2 is empty, * wants one that is not", id="empty"),
        pytest.param("/other/1", "segment 1 is 'other', not 'notes'", id="literal"),
    ],
)
def test_a_rule_says_why_it_is_not_about_a_path(path, why) -> None:
    """In words that point at the place."""
    rule = Rule(frozenset({"GET", "POST"}), parse_pattern("/notes/*"), Public())
    assert rule.why_not("GET", tuple(path.split("/")[1:])) == why
    assert rule.why_not("PUT", ()) == "PUT is not GET or POST"
