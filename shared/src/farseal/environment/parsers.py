"""Text of a variable to a typed value. A parser raises `ValueError` saying what the value must be, never quoting it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
Parser = Callable[[str], T]

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def text(value: str) -> str:
    """Any text."""
    return value


def integer(least: int | None = None, most: int | None = None) -> Parser[int]:
    """A whole number in decimal ASCII digits, both bounds included."""
    wanted = f"must be a whole number{_between(least, most)}"

    def parse(value: str) -> int:
        if not _WHOLE.fullmatch(value):
            raise ValueError(wanted)
        number = int(value)
        if (least is not None and number < least) or (most is not None and number > most):
            raise ValueError(wanted)
        return number

    return parse


def seconds(least: int = 0, most: int | None = None) -> Parser[int]:
    """Whole seconds, both bounds included."""
    whole = integer(least, most)
    wanted = f"must be whole seconds{_between(least, most)}"

    def parse(value: str) -> int:
        try:
            return whole(value)
        except ValueError:
            raise ValueError(wanted) from None

    return parse


def duration(least: float = 0.0, most: float | None = None) -> Parser[float]:
    """Seconds with an optional fraction, both bounds included."""
    wanted = f"must be seconds{_between(least, most)}"

    def parse(value: str) -> float:
        if not _DECIMAL.fullmatch(value):
            raise ValueError(wanted)
        number = float(value)
        if number < least or (most is not None and number > most):
            raise ValueError(wanted)
        return number

    return parse


def port(value: str) -> int:
    """A TCP port, 0 to 65535; 0 lets the system choose."""
    try:
        return integer(0, 65535)(value)
    except ValueError:
        raise ValueError("must be a TCP port, 0 to 65535") from None


def boolean(value: str) -> bool:
    """1, true, yes, on or 0, false, no, off, in any case."""
    lowered = value.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("must be true or false")


def path(value: str) -> Path:
    """A path of the file system; nothing is checked to exist, ``~`` is not expanded."""
    return Path(value)


def url(*schemes: str) -> Parser[str]:
    """An absolute URL of one of ``schemes`` (http and https unless told), without fragment, kept as it was written."""
    allowed = schemes or ("http", "https")
    wanted = f"must be an absolute URL ({', '.join(f'{scheme}://' for scheme in allowed)}) without a fragment"

    def parse(value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ValueError(wanted) from None
        if parts.scheme not in allowed or "#" in value or not value.isascii() or " " in value:
            raise ValueError(wanted)
        # A DSN may name its server in the query alone (`postgresql:///name?host=/run/postgresql`).
        if not parts.netloc and not (parts.scheme.startswith("postgres") and value.count("/") > 2):
            raise ValueError(wanted)
        return value

    return parse


def csv(value: str) -> tuple[str, ...]:
    """Comma-separated items, blanks around them dropped; an empty or repeated item is a fault."""
    items = tuple(item.strip() for item in value.split(","))
    if "" in items:
        raise ValueError("must be comma-separated, without an empty item")
    if len(set(items)) != len(items):
        raise ValueError("must be comma-separated, without a repeated item")
    return items


def choice(*options: str) -> Parser[str]:
    """One of ``options``, exactly as written."""
    wanted = f"must be one of {', '.join(options)}"

    def parse(value: str) -> str:
        if value not in options:
            raise ValueError(wanted)
        return value

    return parse


def _between(least: float | None, most: float | None) -> str:
    match least, most:
        case None, None:
            return ""
        case _, None:
            return f", {least:g} or more"
        case None, _:
            return f", {most:g} or less"
        case _:
            return f", {least} to {most}"
