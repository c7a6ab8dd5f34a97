"""What the head of an answer says of time: how long it is fresh, how old it is, when to come again. Pure.

A field that cannot be read counts as absent. None of them is trusted for more than the next moment to look: what is
made of them stays between bounds that the answer has no say in (`schedule`).
"""

import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MAX_DELTA_SECONDS: Final = 2**31
"""Larger delta-seconds mean this (RFC 9111 section 1.2.2)."""

_DELTA: Final = re.compile(r"[0-9]{1,64}")
# One directive (RFC 9111 section 5.2): a comma inside of a quoted argument separates nothing. Nothing that was matched
# is given back: two runs of blanks side by side would share them out in every way there is, on the event loop.
_DIRECTIVE: Final = re.compile(r'\s*+([^\s=,;"]++)\s*+(?:=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s,;"]*+)))?+\s*+(?:,|$)')
# Only the form that RFC 9110 section 5.6.7 lets anybody send; the parser alone would read far more.
_HTTP_DATE: Final = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)


def max_age(cache_control: Sequence[str]) -> int | None:
    """Seconds of ``max-age`` in the ``Cache-Control`` fields; None where they do not tell.

    Of several the shortest counts (RFC 9111 section 4.2.1). ``no-cache`` and ``no-store`` do not tell: a verifier that
    obeyed them would have to ask at each request.
    """
    ages: list[int] = []
    for field in cache_control:
        position = 0
        while position < len(field) and (directive := _DIRECTIVE.match(field, position)):
            position = directive.end()
            if directive[1].lower() == "max-age":
                seconds = delta_seconds(directive[2] if directive[2] is not None else directive[3])
                ages += [] if seconds is None else [seconds]
    return min(ages, default=None)


def delta_seconds(text: str | None) -> int | None:
    """A whole number of seconds (RFC 9111 section 1.2.2), as in ``Age``."""
    if text is None or not _DELTA.fullmatch(text.strip()):
        return None
    return min(int(text), MAX_DELTA_SECONDS)


def http_date(text: str | None) -> int | None:
    """An IMF-fixdate in seconds since the epoch (RFC 9110 section 5.6.7), as in ``Last-Modified``."""
    if text is None or not _HTTP_DATE.fullmatch(text):
        return None
    try:
        return int(parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def retry_after(text: str | None, now: int) -> int | None:
    """Seconds from ``now`` that ``Retry-After`` asks for, given either way (RFC 9110 section 10.2.3); 0 or more."""
    seconds = delta_seconds(text)
    if seconds is not None:
        return seconds
    date = http_date(text)
    return None if date is None else min(max(0, date - now), MAX_DELTA_SECONDS)
