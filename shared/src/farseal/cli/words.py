"""What a terminal may be shown: hostile text escaped, moments and spans in words."""

import json
import re
from typing import Final

from farseal.clock import at

# A header begins with `{"`, which is eyJ; a signature of RSA has 342 characters or more.
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*|[A-Za-z0-9_-]{80,}")

_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def shown(text: str) -> str:
    """Text from a token or a file, with everything escaped that a terminal might obey or hide."""
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def shown_lines(text: str) -> str:
    """A message of our own over several lines, each escaped as `shown` does: its line ends are meant."""
    return "\n".join(shown(line) for line in text.split("\n"))


def shown_json(value: object) -> str:
    """A JSON value over several lines, escaped as `shown` does; what is printed is still JSON."""
    return shown_lines(json.dumps(value, indent=2, ensure_ascii=False))


def without_tokens(text: str) -> str:
    """A message in which whatever looks like a token, and so may hold a signature, is left out."""
    return _JWT.sub("[token]", text)


def span(seconds: int) -> str:
    """A length of time, to its larger unit: 45 s, 3 min, 2 h, 12 d."""
    for size, unit in _SPANS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def relative(moment: int, now: int) -> str:
    """A moment as seen from now: ``in 3 min``, ``2 h ago``, ``now``."""
    if moment == now:
        return "now"
    return f"in {span(moment - now)}" if moment > now else f"{span(now - moment)} ago"


def utc(moment: int) -> str:
    """A moment as a date and a time of day, or as the bare number where it is no date."""
    try:
        return at(moment).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{moment} s after 1970"


def _escape(char: str) -> str:
    point = ord(char)
    if point < 0x10000:
        return f"\\u{point:04x}"
    point -= 0x10000
    return f"\\u{0xD800 + (point >> 10):04x}\\u{0xDC00 + (point & 0x3FF):04x}"
