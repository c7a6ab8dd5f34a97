"""Paths and patterns of paths, both as segments; and the paths that are refused before any pattern sees them."""

import re
from typing import Final

ONE: Final = "*"
"""Stands for one segment that is not empty."""

REST: Final = "**"
"""Stands for any number of further segments, none included."""

_ENCODED: Final = re.compile(r"%(?!25)")
_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\ud800-\udfff\\\\]")


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


def matches(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Whether a path is one of the pattern's."""
    if pattern[-1] == REST:
        fixed = len(pattern) - 1
        if len(segments) < fixed:
            return False
    elif len(pattern) != len(segments):
        return False
    return all(
        want in {have, REST} or (want == ONE and have != "") for want, have in zip(pattern, segments, strict=False)
    )


def mismatch(pattern: tuple[str, ...], segments: tuple[str, ...]) -> str | None:
    """In words, why a path is not one of the pattern's; None when it is."""
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
