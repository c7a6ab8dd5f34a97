"""Rules as people write them: one a line."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from farseal.access.patterns import parse_pattern
from farseal.access.rules import (
    AccessRules,
    AccessRulesError,
    Authenticated,
    Needs,
    Public,
    Rule,
    UnreachableRuleError,
)
from farseal.identifiers import is_scope

_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")


def parse_rules(text: str) -> AccessRules:
    """Read the text form. Lines end at a line feed, words at blanks and tabs, and nowhere else.

    Python's own splitting also knows separators that no editor shows, behind which a comment could hide a rule.

    Raises:
        AccessRulesError: with every fault of the text at once, each with its line.
        UnreachableRuleError: the text is well formed, and some rules can never answer.
    """
    rules: list[Rule] = []
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        seen = line.removesuffix("\r").replace("\t", " ")
        if not seen.isprintable():
            faults.append((number, "there is a character that cannot be seen"))
            continue
        words = re.sub(r"(^| )#.*", "", seen).split()
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
        elif not name or (kind == "scope" and not is_scope(name)):
            faults.append(f"{word!r} does not name a {kind}")
        else:
            names[kind].add(name)
    return Authenticated(frozenset(names["scope"]), frozenset(names["role"])), faults
