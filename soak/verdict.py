"""What a soak proves: figures out of what was seen, and the verdict over them (pure)."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from demo.traffic import GOOD
from soak.ledger import Ledger
from soak.published import Change, windows
from soak.slots import SLOT_SECONDS, Slot, merged, percentile_milliseconds, within

LEAST_REQUESTS: Final = 1000
MANY_REFRESHES: Final = 100
"""From which on some were made in two tabs, and some once more for a lost answer, unless something is wrong."""
CONTROL_KIND: Final = "401 key_unknown"
"""What the naive way makes of a request; another failure proves nothing about rotation."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of the soak."""

    seconds: float
    requests: int
    failures: Counter[tuple[str, str]]
    """By server and kind."""

    @property
    def failed(self) -> int:
        """All of them."""
        return self.failures.total()


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is printed, and kept as JSON."""

    main: Phase
    control: Phase | None
    """The naive rotations; None when they were left out."""
    naive: int
    """How many of those."""
    rotations: int
    """Keys that began to sign in the main phase, the first one not counted: as the tokens say."""
    tokens: int
    kills: int
    retries: Counter[str]
    """Token requests that another replica had to answer, by reason; no failures."""
    changes: int
    """Of the published document, in the main phase."""
    announced: int
    retired: int
    p99_rest_ms: float | None
    p99_rotation_ms: float | None
    sessions: Ledger | None
    """Of people, to the end of the main phase; None when there were none."""

    @property
    def ratio(self) -> float | None:
        """p99 around the changes to p99 at rest; None when there was no rest, or no change."""
        if self.p99_rest_ms is None or self.p99_rotation_ms is None:
            return None
        return self.p99_rotation_ms / self.p99_rest_ms

    def encoded(self) -> dict[str, Any]:
        """Give them as JSON has them, the verdict included."""
        return {
            "holds": not faults(self),
            "faults": list(faults(self)),
            "main": encoded_phase(self.main),
            "control": None if self.control is None else encoded_phase(self.control) | {"naive_rotations": self.naive},
            "rotations": self.rotations,
            "tokens": self.tokens,
            "kills": self.kills,
            "token_retries": dict(self.retries),
            "changes": {"all": self.changes, "keys_announced": self.announced, "keys_retired": self.retired},
            "p99_ms": {"at_rest": self.p99_rest_ms, "during_rotation": self.p99_rotation_ms, "ratio": self.ratio},
            "sessions": None if self.sessions is None else self.sessions.encoded(),
        }


def encoded_phase(phase: Phase) -> dict[str, Any]:
    """Give one phase as JSON has it."""
    by_server: dict[str, dict[str, int]] = {}
    for (server, kind), count in phase.failures.items():
        by_server.setdefault(server, {})[kind] = count
    return {
        "seconds": round(phase.seconds, 1),
        "requests": phase.requests,
        "failed": phase.failed,
        "failures": by_server,
    }


def phase_of(slots: Mapping[int, Slot], since: float, until: float) -> Phase:
    """Add up what ended between two moments."""
    total = merged(slot for number, slot in slots.items() if since <= number * SLOT_SECONDS < until)
    failures = Counter({where: count for where, count in total.answers.items() if where[1] != GOOD})
    return Phase(until - since, total.answers.total(), failures)


def p99s(
    slots: Mapping[int, Slot], changes: Collection[Change], since: float, until: float
) -> tuple[float | None, float | None]:
    """Give p99 in milliseconds at rest and around changes, between two moments."""
    spans = windows(changes)
    rest: list[Slot] = []
    rotation: list[Slot] = []
    for number, slot in slots.items():
        if since <= number * SLOT_SECONDS < until:
            (rotation if within(spans, number) else rest).append(slot)
    return (
        percentile_milliseconds(merged(rest).took, 0.99),
        percentile_milliseconds(merged(rotation).took, 0.99),
    )


def faults(figures: Figures) -> tuple[str, ...]:
    """Give what speaks against it, in words; nothing when it holds. A soak in which nothing happened proves nothing."""
    main, control = figures.main, figures.control
    claims = {
        f"{main.failed} requests failed": main.failed > 0,
        f"only {main.requests} requests were sent": main.requests < LEAST_REQUESTS,
        "no key rotated": figures.rotations == 0,
    }
    if control is not None:
        foretold = sum(count for (_, kind), count in control.failures.items() if kind == CONTROL_KIND)
        claims |= {
            "the naive rotations failed nobody, so the counter proves nothing": foretold == 0,
            f"the control failed in other ways too: {control.failed - foretold}": control.failed != foretold,
        }
    if figures.sessions is not None:
        claims |= session_claims(figures.sessions)
    return tuple(sentence for sentence, contradicts in claims.items() if contradicts)


def session_claims(ledger: Ledger) -> dict[str, bool]:
    """Give the sentences about sessions that must all be false."""
    counts = ledger.counts
    many = counts["refresh"] >= MANY_REFRESHES
    failures = {f"{server}: {kind}": count for (server, kind), count in ledger.failures.items()}
    claims = {
        f"sessions that live, and those who ended them, were refused: {failures}": bool(failures),
        "nobody refreshed": counts["refresh"] == 0,
        "nobody refreshed once more with a token that was used": many and counts["lost answers"] == 0,
        "nobody refreshed in two tabs at once": many and counts["tabs"] == 0,
        "nobody logged out": counts["logout"] == 0,
    }
    for server, bound in ledger.bounds.items():
        claims |= {
            f"{server} let {ledger.late[server]} requests of ended sessions in after {bound:.0f} s": (
                ledger.late[server] > 0
            ),
            f"{server} never refused {ledger.never[server]} ended sessions": ledger.never[server] > 0,
            f"{server} refused no ended session": ledger.refused[server] == 0,
            f"{server} was not asked about a living session": ledger.asked[server] == 0,
        }
    return claims


def report(figures: Figures) -> str:
    """Give the lines for people."""
    main, control = figures.main, figures.control
    rate = main.requests / max(main.seconds, 0.1)
    ratio = "-" if figures.ratio is None else f"{figures.ratio:.2f}"
    told = {
        "requests": f"{main.requests:,} in {main.seconds:.0f} s ({rate:,.0f}/s), failures {main.failed}",
        "rotations": f"{figures.rotations}; keys announced {figures.announced}, retired {figures.retired}; changes of "
        f"the published document {figures.changes}; tokens {figures.tokens:,}",
        "kills": f"{figures.kills}, with SIGKILL; token requests that another replica had to answer "
        f"{figures.retries.total():,}",
        "p99": f"{shown(figures.p99_rest_ms)} at rest, {shown(figures.p99_rotation_ms)} during rotation, ratio {ratio}",
    }
    if figures.sessions is not None:
        told |= session_lines(figures.sessions)
    if control is not None:
        told["control"] = f"{figures.naive} naive rotations: {control.failed:,} of {control.requests:,} requests failed"
    lines = [f"{name:13} {text}" for name, text in told.items()]
    lines += [f"{'':13} {where}" for phase in (main, control) if phase for where in failure_lines(phase)]
    held = "every request was answered" if figures.sessions is None else "every request was answered as it had to be"
    lines += [f"{'BROKEN':13} {fault}" for fault in faults(figures)] or [f"{'held':13} {held}"]
    return "\n".join(lines)


def session_lines(ledger: Ledger) -> dict[str, str]:
    """Give the lines about sessions."""
    counts = ledger.counts
    lost = counts["lost answers"] + counts["refresh after a lost answer"]
    return {
        "sessions": f"logins {counts['login']:,}, refreshes {counts['refresh']:,} (by two tabs at once "
        f"{counts['tabs']:,}, once more for an answer that was lost {lost:,}), logouts "
        f"{counts['logout']:,}; asked about living ones {ledger.asked.total():,} times, refused "
        f"{sum(count for (server, _), count in ledger.failures.items() if server in ledger.bounds):,}",
        "ended": "; ".join(
            f"{server} refused {ledger.refused[server]:,}, the last one let in "
            f"{ledger.latest.get(server, 0.0):.2f} s after its 204 (bound {bound:.0f} s)"
            for server, bound in ledger.bounds.items()
        ),
    }


def failure_lines(phase: Phase) -> list[str]:
    """Give a line for each server and kind, the most frequent first."""
    return [f"{server}: {kind}: {count:,}" for (server, kind), count in phase.failures.most_common()]


def shown(milliseconds: float | None) -> str:
    """Spell a latency."""
    return "-" if milliseconds is None else f"{milliseconds:.1f} ms"
