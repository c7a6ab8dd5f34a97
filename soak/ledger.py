"""What servers owe to sessions, and whether they paid: living ones are never refused, ended ones are after the bound.

Pure: whoever asks says when a request was sent and when its answer was there (``time.monotonic``).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from demo.asking import LET_IN, REVOKED
from demo.traffic import GOOD

LET_IN_AGAIN: Final = "let in again"
"""A failure: a server honoured a token that it had refused because its session has ended."""
AUTH_SERVER: Final = "auth_server"


@dataclass(slots=True, eq=False)
class Session:
    """One login, from the moment at which it was answered."""

    leaving: bool = False
    """Its logout has been sent: from now on a refusal is right, whether or not its answer came back."""
    ended: float | None = None
    """When the 204 of its logout was there: the bounds begin here."""
    refused: dict[str, float] = field(default_factory=dict)
    """When each server's first refusal was there."""


@dataclass(slots=True)
class Ledger:
    """Over all sessions.

    Args:
        bounds: of each server, in seconds.
    """

    bounds: dict[str, float]
    counts: Counter[str] = field(default_factory=Counter)
    """Logins, refreshes and so on, by their names."""
    asked: Counter[str] = field(default_factory=Counter)
    """Requests with tokens of living sessions, by server."""
    refused: Counter[str] = field(default_factory=Counter)
    """Ended sessions that were refused, by server."""
    latest: dict[str, float] = field(default_factory=dict)
    """Seconds from a 204 to the last request that was let in after it, by server."""
    late: Counter[str] = field(default_factory=Counter)
    """Requests that were let in after the bound."""
    never: Counter[str] = field(default_factory=Counter)
    """Ended sessions that were never refused although they were asked about to the end of their token."""
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Answers that no session should get, by server and kind."""

    def note(self, session: Session, server: str, kind: str, sent: float, came: float) -> None:
        """Take note of an answer of a resource server."""
        if not session.leaving:
            self.asked[server] += 1
        if kind == REVOKED and session.leaving:
            if server not in session.refused:
                session.refused[server] = came
                self.refused[server] += 1
        elif kind == GOOD or (kind in LET_IN and session.leaving):
            if sent > session.refused.get(server, sent):
                self.failures[server, LET_IN_AGAIN] += 1
            if session.ended is not None and sent > session.ended:
                after = sent - session.ended
                self.latest[server] = max(after, self.latest.get(server, 0.0))
                self.late[server] += after > self.bounds[server]
        else:
            self.failures[server, kind] += 1

    def fail(self, doing: str, kind: str) -> None:
        """Take note of an answer of the auth server that no honest client should get."""
        self.failures[AUTH_SERVER, f"{doing}: {kind}"] += 1

    def close(self, session: Session) -> None:
        """Take note that a session which ended is asked about no more."""
        for server in self.bounds:
            self.never[server] += server not in session.refused

    def encoded(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "bounds": self.bounds,
            "counts": dict(self.counts),
            "asked": dict(self.asked),
            "refused": dict(self.refused),
            "latest": self.latest,
            "late": {server: count for server, count in self.late.items() if count},
            "never": {server: count for server, count in self.never.items() if count},
            "failures": [[server, kind, count] for (server, kind), count in self.failures.items()],
        }

    @classmethod
    def decoded(cls, value: Mapping[str, Any]) -> "Ledger":
        """Read it again."""
        counters = {name: Counter(value[name]) for name in ("counts", "asked", "refused", "late", "never")}
        failures = Counter({(server, kind): count for server, kind, count in value["failures"]})
        return cls(dict(value["bounds"]), latest=dict(value["latest"]), failures=failures, **counters)
