"""What was measured of logouts: the table, and whether the stated bounds were met (pure)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from demo.asking import Ending
from demo.traffic import GOOD

WAYS: Final[Mapping[str, str]] = {"resource_a": "folder", "resource_b": "polled host, ttl {ttl} s"}
"""How each server is told."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    endings: dict[str, list[Ending]]
    """By server, one for each logout."""
    load: Counter[str]
    """Answers to the client's further requests, by kind."""
    shown: int
    """Requests with the tokens of the sessions."""
    seconds: float
    ttl: int

    @property
    def per_second(self) -> float:
        """Requests of all kinds."""
        return (self.load.total() + self.shown) / self.seconds if self.seconds else 0.0

    @property
    def holds(self) -> bool:
        """Whether every session was refused by every server within its bound, for its reason, and nobody else was."""
        wrong = [seen for seen in self.all if seen.late or seen.turned or seen.others or not seen.let_in_before]
        return bool(self.all) and not wrong and set(self.load) == {GOOD}

    @property
    def all(self) -> list[Ending]:
        """Of all servers."""
        return [seen for endings in self.endings.values() for seen in endings]


def percentile(values: Sequence[float], share: float) -> float:
    """Give what this share of the values does not exceed: one of them (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(1, math.ceil(share * len(ranked))) - 1]


def report(figures: Figures) -> str:
    """The table, and whether the bounds were met."""
    logouts = max((len(endings) for endings in figures.endings.values()), default=0)
    circumstances = f"{logouts} logouts, {figures.per_second:,.0f} requests/s, {figures.seconds:.0f} s"
    lines = [
        f"From the 204 of a logout to the first refusal ({circumstances})",
        "",
        f"{'':32}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}{'bound ms':>10}{'let in late':>13}",
    ]
    for name, endings in figures.endings.items():
        lines.append(f"{f'{name} ({WAYS[name].format(ttl=figures.ttl)})':32}{row(endings)}")
    failed = {kind: count for kind, count in figures.load.items() if kind != GOOD}
    lines.append("")
    lines.append(f"meanwhile {figures.load.total():,} requests of others, failures {failed or 0}")
    odd: Counter[str] = Counter()
    for seen in figures.all:
        odd.update(seen.others)
        odd["let in again"] += seen.turned
    lines += [f"answers that nobody should get: {dict(+odd)}"] if +odd else []
    lines.append(f"bounds {'met' if figures.holds else 'NOT met'}")
    return "\n".join(lines)


def row(endings: Sequence[Ending]) -> str:
    """Spell one server's figures."""
    times = [seen.refused_after * 1000 for seen in endings if seen.refused_after is not None]
    late = sum(seen.late for seen in endings)
    bound = endings[0].bound * 1000 if endings else 0.0
    figures = [percentile(times, share) for share in (0.5, 0.99, 1.0)] if times else [math.nan] * 3
    return "".join(f"{figure:10.0f}" for figure in (*figures, bound)) + f"{late:13}"
