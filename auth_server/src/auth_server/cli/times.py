"""Moments and durations in words (pure). Moments are seconds since the epoch, shown in UTC."""

from farseal.clock import at


def duration_words(seconds: int) -> str:
    """A duration in its two largest units."""
    if seconds < 0:
        return f"{seconds} s"
    left, words = seconds, list[str]()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or (unit == "s" and not words):
            words.append(f"{left // size} {unit}")
            left %= size
    return " ".join(words[:2])


def from_now(moment: int, now: int) -> str:
    """How far away a moment is; at ``now`` itself it is "now"."""
    if moment == now:
        return "now"
    return f"in {duration_words(moment - now)}" if moment > now else f"{duration_words(now - moment)} ago"


def moment_words(moment: int, now: int) -> str:
    """A moment twice: in UTC, and as seen from ``now``."""
    return f"{at(moment):%Y-%m-%d %H:%M:%SZ}, {from_now(moment, now)}"
