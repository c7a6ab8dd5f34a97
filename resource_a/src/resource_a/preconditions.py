"""Conditional requests over entity tags (RFC 9110 section 13.1), the tag of a note being its version."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_HEADER_CHARACTERS: Final = 1024
"""Room for dozens of our tags; who sends more wants something else."""

MAX_VERSION_DIGITS: Final = 9
"""The version is a 32-bit integer; a longer number is no tag of ours, and must not reach the database."""

_ENTITY_TAG: Final = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_SEPARATOR: Final = re.compile(r"[ \t]*(?:,[ \t]*)+")
_VERSION: Final = re.compile(rf"[1-9][0-9]{{0,{MAX_VERSION_DIGITS - 1}}}", re.ASCII)


class PreconditionSyntaxError(ValueError):
    """The header is neither ``*`` nor a list of entity tags."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The versions that a header names.

    Tags that are not of our making are left out: they match nothing, which is what they would do anyway.
    """

    anything: bool
    """The header was ``*``: any current representation matches."""
    strong: frozenset[int]
    weak: frozenset[int]
    """Named as ``W/"..."``: equal under weak comparison only (section 8.8.3.2)."""

    def match_strongly(self, version: int) -> bool:
        """Strong comparison, as If-Match asks for (section 13.1.1)."""
        return self.anything or version in self.strong

    def match_weakly(self, version: int) -> bool:
        """Weak comparison, as If-None-Match asks for (section 13.1.2)."""
        return self.anything or version in self.strong or version in self.weak


def entity_tag(version: int) -> str:
    """The strong tag of one version of a note; one URL, one note, so the version alone tells them apart."""
    return f'"{version}"'


def parse_tags(lines: Iterable[str]) -> Tags | None:
    """Read If-Match or If-None-Match, which may come in several lines; ``None`` when there is none.

    Raises:
        PreconditionSyntaxError: the syntax of RFC 9110 section 13.1.1 is not kept. Guessing here could overwrite a
            note that the caller meant to protect.
    """
    parts = [line.strip(" \t") for line in lines]
    if not parts:
        return None
    value = ",".join(parts)
    if len(value) > MAX_HEADER_CHARACTERS:
        raise PreconditionSyntaxError(f"more than {MAX_HEADER_CHARACTERS} characters")
    if value == "*":
        return Tags(anything=True, strong=frozenset(), weak=frozenset())
    strong: set[int] = set()
    weak: set[int] = set()
    place = 0
    while True:
        tag = _ENTITY_TAG.match(value, place)
        if tag is None:
            raise PreconditionSyntaxError('neither * nor a list of entity tags such as "1", "2"')
        if _VERSION.fullmatch(tag["opaque"]):
            (weak if tag["weak"] else strong).add(int(tag["opaque"]))
        place = tag.end()
        if place == len(value):
            return Tags(anything=False, strong=frozenset(strong), weak=frozenset(weak))
        separator = _SEPARATOR.match(value, place)
        if separator is None or separator.end() == len(value):
            raise PreconditionSyntaxError('neither * nor a list of entity tags such as "1", "2"')
        place = separator.end()
