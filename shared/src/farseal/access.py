"""Ordered access rules over methods and paths: the first match decides, and no match denies.

One rule a line, `#` begins a comment::

    GET,POST  /notes/**                 scope:notes:read
    DELETE    /notes/*                  scope:notes:write role:org_admin
    GET       /.well-known/**           public
    *         /me                       authenticated

A pattern is literal segments, `*` for one segment that is not empty, and `**`, only at its end, for the rest of the
path or nothing. Literals are written decoded (``/café``, not ``/caf%C3%A9``). A rule for GET answers HEAD as well; a
rule that names HEAD before it may say otherwise. OPTIONS is a method like any other: browsers send preflights without
credentials, so an application that answers them itself needs a `public` rule for them.

Everything here is pure: text, methods and paths in, values out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from farseal.claims import is_scope_text
from farseal.errors import FarsealError

ONE: Final = "*"
"""Stands for one segment that is not empty."""

REST: Final = "**"
"""Stands for any number of further segments, none included."""

_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")
_ENCODED: Final = re.compile(r"%(?!25)")
_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\ud800-\udfff\\\\]")


class AccessRulesError(FarsealError):
    """The rules cannot be used. ``faults`` names every fault, each with its line."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("access rules: " + "; ".join(self.faults))


class UnreachableRuleError(AccessRulesError):
    """A rule can never answer, because earlier rules take every request it names. Somebody believes otherwise."""


@dataclass(frozen=True, slots=True)
class Public:
    """Nothing is asked: credentials are not even looked at, and an outage of trust does not matter."""

    def __str__(self) -> str:
        return "public"


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A good token with all of these scopes and all of these roles."""

    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    def __and__(self, other: "Authenticated") -> "Authenticated":
        """Both must hold: the stricter wins."""
        return Authenticated(self.scopes | other.scopes, self.roles | other.roles)

    def __str__(self) -> str:
        words = [f"scope:{scope}" for scope in sorted(self.scopes)] + [f"role:{role}" for role in sorted(self.roles)]
        return " ".join(words) or "authenticated"


Needs = Public | Authenticated


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: which requests it answers, and what it asks of them.

    ``methods`` of None means every method; GET brings HEAD along. ``pattern`` is segments, as `parse_pattern` gives.
    """

    methods: frozenset[str] | None
    pattern: tuple[str, ...]
    needs: Needs
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.pattern:
            raise ValueError("a pattern has at least one segment")
        if self.methods is not None and "GET" in self.methods:
            object.__setattr__(self, "methods", self.methods | {"HEAD"})

    def __str__(self) -> str:
        return f"{self.methods_text} {self.pattern_text} {self.needs}"

    @property
    def methods_text(self) -> str:
        """As it is written: HEAD is left out where GET implies it."""
        if self.methods is None:
            return "*"
        return ",".join(sorted(self.methods - {"HEAD"} if "GET" in self.methods else self.methods))

    @property
    def pattern_text(self) -> str:
        return "/" + "/".join(self.pattern)

    @property
    def place(self) -> str:
        """How a person finds it: its line, or its text where it has none."""
        return f"line {self.line} ({self})" if self.line else f"({self})"

    def answers(self, method: str, segments: tuple[str, ...]) -> bool:
        """Whether this rule is about a request."""
        return (self.methods is None or method in self.methods) and _matches(self.pattern, segments)

    def why_not(self, method: str, segments: tuple[str, ...]) -> str | None:
        """In words, why it is not about a request; None when it is."""
        if self.methods is not None and method not in self.methods:
            return f"{method} is not {self.methods_text.replace(',', ' or ')}"
        return _mismatch(self.pattern, segments)


class AccessRules:
    """Rules in their order. Immutable.

    Raises:
        UnreachableRuleError: at construction, naming each rule that can never answer and the rules that hide it.
    """

    __slots__ = ("rules", "scopes")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.scopes = frozenset(
            scope for rule in self.rules if isinstance(rule.needs, Authenticated) for scope in rule.needs.scopes
        )
        if faults := tuple(_unreachable(self.rules)):
            raise UnreachableRuleError(faults)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def match(self, method: str, path: str) -> Rule | None:
        """The first rule about this request, or None: then it is denied.

        Args:
            method: as sent, in capitals.
            path: what aiohttp routes by, ``request.rel_url.path_safe``, for which `path_fault` found nothing.
        """
        segments = tuple(path.split("/")[1:])
        for rule in self.rules:
            if rule.answers(method, segments):
                return rule
        return None

    def first_covering(self, method: str, pattern: tuple[str, ...]) -> Rule | None:
        """The first rule that is about every request of this method under this pattern."""
        for rule in self.rules:
            if (rule.methods is None or method in rule.methods) and subsumes(rule.pattern, pattern):
                return rule
        return None

    def may_answer(self, method: str, pattern: tuple[str, ...]) -> bool:
        """Whether any rule is about some request of this method under this pattern."""
        return any(
            (rule.methods is None or method in rule.methods) and overlaps(rule.pattern, pattern) for rule in self.rules
        )


def decide(rule: Rule | None, own: Authenticated | None) -> Needs | None:
    """What a request must bring, or None: nobody may do this.

    Args:
        rule: the first rule about the request, if any.
        own: what the handler itself requires, if anything. It holds beside a rule, whatever the rule says.
    """
    if rule is None:
        return own
    if own is None:
        return rule.needs
    return own if isinstance(rule.needs, Public) else rule.needs & own


def parse_rules(text: str) -> AccessRules:
    """Read the text form.

    Raises:
        AccessRulesError: with every fault of the text at once, each with its line.
        UnreachableRuleError: the text is well formed, and some rules can never answer.
    """
    rules: list[Rule] = []
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.sub(r"(^|\s)#.*", "", line).split()
        if not words:
            continue
        rule, found = _parse_line(words, number)
        faults += [(number, fault) for fault in found]
        if rule is not None:
            rules.append(rule)
    try:
        parsed = AccessRules(rules)
    except UnreachableRuleError as error:
        if not faults:
            raise
        raise AccessRulesError([*(f"line {n}: {fault}" for n, fault in faults), *error.faults]) from None
    if faults:
        raise AccessRulesError(f"line {number}: {fault}" for number, fault in faults)
    return parsed


def parse_pattern(text: str) -> tuple[str, ...]:
    """The segments of a pattern.

    Raises:
        ValueError: it could match nothing, or not what its writer thinks.
    """
    if not text.startswith("/"):
        raise ValueError("the path does not start with /")
    segments = tuple(text.split("/")[1:])
    if "" in segments[:-1]:
        raise ValueError("the path has an empty segment")
    if REST in segments[:-1]:
        raise ValueError("** stands only at the end of a path")
    for segment in segments:
        if "*" in segment and segment not in {ONE, REST}:
            raise ValueError("* and ** stand for whole segments")
        if segment in {".", ".."}:
            raise ValueError("the path has a dot segment, which no request may have")
    if "%" in text:
        raise ValueError("paths are written decoded, without %")
    if "{" in text or "}" in text:
        raise ValueError("a variable segment is written *, without braces")
    if "?" in text or ";" in text:
        raise ValueError("rules know paths only, no query and no parameters")
    if _CONTROL.search(text):
        raise ValueError("the path has a character that no request may have")
    return segments


def path_fault(path: str) -> str | None:
    """Why a request path is refused with 400 before any rule is asked, or None.

    These spellings are read differently by different software along the way, which is how access rules are walked
    around. ``path`` is ``request.rel_url.path_safe``: decoded, but for %2F, %25 and what is not UTF-8.
    """
    if not path.startswith("/"):
        return "The request target is not a path"
    if _CONTROL.search(path):
        return "The path has a backslash, a control character or bytes that are not UTF-8"
    if "%" in path and _ENCODED.search(path):
        return "The path has an encoded slash, a stray percent sign or bytes that are not UTF-8"
    if "." in path and not {".", ".."}.isdisjoint(path.split("/")):
        return "The path has a dot segment"
    return None


def subsumes(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    """Whether every path of ``narrow`` is one of ``wide``."""
    open_end = wide[-1:] == (REST,)
    head = wide[:-1] if open_end else wide
    fixed = narrow[:-1] if narrow[-1:] == (REST,) else narrow
    if len(fixed) < len(head) or not all(_covers(w, n) for w, n in zip(head, fixed, strict=False)):
        return False
    return open_end or (len(fixed) == len(head) and fixed == narrow)


def overlaps(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether some path is one of both."""
    open_one, open_other = one[-1:] == (REST,), other[-1:] == (REST,)
    head_one, head_other = one[:-1] if open_one else one, other[:-1] if open_other else other
    if not all(_covers(a, b) or _covers(b, a) for a, b in zip(head_one, head_other, strict=False)):
        return False
    return (
        len(head_one) == len(head_other)
        or (open_one and len(head_one) < len(head_other))
        or (open_other and len(head_other) < len(head_one))
    )


def _covers(wide: str, narrow: str) -> bool:
    return wide == narrow or (wide == ONE and narrow != "")


def _matches(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if pattern[-1] == REST:
        fixed = len(pattern) - 1
        if len(segments) < fixed:
            return False
    elif len(pattern) != len(segments):
        return False
    return all(
        want in {have, REST} or (want == ONE and have != "") for want, have in zip(pattern, segments, strict=False)
    )


def _mismatch(pattern: tuple[str, ...], segments: tuple[str, ...]) -> str | None:
    for position, (want, have) in enumerate(zip(pattern, segments, strict=False), start=1):
        if want == REST:
            return None
        if want == ONE and have == "":
            return f"segment {position} is empty, * wants one that is not"
        if want not in (ONE, have):
            return f"segment {position} is {have!r}, not {want!r}"
    fixed = len(pattern) - (pattern[-1] == REST)
    if len(segments) < fixed:
        return f"the path ends after {_count(len(segments))}, the rule wants {fixed}"
    if len(segments) > len(pattern):
        return f"the path goes on after {_count(len(pattern))}"
    return None


def _count(segments: int) -> str:
    return "1 segment" if segments == 1 else f"{segments} segments"


def _unreachable(rules: tuple[Rule, ...]) -> Iterator[str]:
    for position, rule in enumerate(rules):
        left = rule.methods
        hiding: list[Rule] = []
        for earlier in rules[:position]:
            if not subsumes(earlier.pattern, rule.pattern):
                continue
            if earlier.methods is None:
                hiding, left = [earlier], frozenset()
                break
            if left is not None and left & earlier.methods:
                hiding.append(earlier)
                left -= earlier.methods
        if left is not None and not left:
            yield f"{rule.place} can never answer, hidden by " + " and ".join(hide.place for hide in hiding)


def _parse_line(words: list[str], number: int) -> tuple[Rule | None, list[str]]:
    if len(words) < 3:
        return None, ["a rule is METHODS /path and what it needs: public, authenticated, scope:NAME or role:NAME"]
    faults: list[str] = []
    methods: frozenset[str] | None = None
    if words[0] != "*":
        methods = frozenset(words[0].split(","))
        faults += [f"{name!r} is not a method in capitals" for name in sorted(methods) if not _METHOD.fullmatch(name)]
        if len(methods) != words[0].count(",") + 1:
            faults.append("a method is named twice")
    pattern: tuple[str, ...] = ()
    try:
        pattern = parse_pattern(words[1])
    except ValueError as error:
        faults.append(str(error))
    needs, found = _parse_needs(words[2:])
    faults += found
    return (None, faults) if faults else (Rule(methods, pattern, needs, number), [])


_ALONE: Final[Mapping[str, Needs]] = {"public": Public(), "authenticated": Authenticated()}


def _parse_needs(words: list[str]) -> tuple[Needs, list[str]]:
    faults = [f"{after!r} is named twice" for before, after in pairwise(sorted(words)) if before == after]
    if len(words) == 1 and words[0] in _ALONE:
        return _ALONE[words[0]], faults
    names: dict[str, set[str]] = {"scope": set(), "role": set()}
    for word in words:
        kind, colon, name = word.partition(":")
        if word in _ALONE:
            faults.append(f"{word} stands alone")
        elif not colon or kind not in names:
            faults.append(f"{word!r} is none of public, authenticated, scope:NAME, role:NAME")
        elif not name or (kind == "scope" and not is_scope_text(name)):
            faults.append(f"{word!r} does not name a {kind}")
        else:
            names[kind].add(name)
    return Authenticated(frozenset(names["scope"]), frozenset(names["role"])), faults
