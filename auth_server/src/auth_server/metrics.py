"""What the auth server counts beside its requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from prometheus_client import Counter, Gauge, Histogram

from auth_server.keys.lifecycle import KeyState

if TYPE_CHECKING:
    from farseal.service.metrics import ServiceMetrics


@dataclass(frozen=True, slots=True)
class AuthMetrics:
    """One set for each registry."""

    token_requests: Counter
    session_requests: Counter
    refresh_failures: Counter
    publication_failures: Counter
    published_at: Gauge
    keys: Gauge
    sequence: Gauge
    rotation_steps: Counter
    leader_ticks: Counter
    clock_difference: Gauge
    status_lists: Gauge
    status_revocations: Gauge
    status_entries_left: Gauge
    status_failures: Counter
    status_seconds: Histogram

    @classmethod
    def registered(cls, metrics: "ServiceMetrics") -> Self:
        """Make the metrics in the registry of a service, once for each registry."""
        registry = metrics.registry
        return cls(
            token_requests=Counter(
                "auth_token_requests_total",
                "Requests for tokens by grant and by outcome: issued, or the code of the refusal",
                ("grant", "outcome"),
                registry=registry,
            ),
            session_requests=Counter(
                "auth_session_requests_total",
                "Requests about tokens and sessions that exist, by kind and by outcome, or the code of the refusal",
                ("kind", "outcome"),
                registry=registry,
            ),
            refresh_failures=Counter(
                "auth_key_refresh_failures_total",
                "Times that keys and scopes could not be read again from the database",
                registry=registry,
            ),
            publication_failures=Counter(
                "auth_publication_failures_total",
                "Times that the published documents could not be written to their directory",
                registry=registry,
            ),
            published_at=Gauge(
                "auth_published_timestamp_seconds",
                "When the database confirmed what is published, by the clock of this replica",
                registry=registry,
            ),
            keys=Gauge(
                "auth_signing_keys",
                "Signing keys by state, those that are gone left out",
                ("state",),
                registry=registry,
            ),
            sequence=Gauge(
                "auth_published_sequence",
                "Number of the state of the keys that this replica holds; falls only when a backup is restored",
                registry=registry,
            ),
            rotation_steps=Counter(
                "auth_rotation_steps_total",
                "Steps of the rotation that this replica took while it led, by action",
                ("action",),
                registry=registry,
            ),
            leader_ticks=Counter(
                "auth_rotation_leader_ticks_total",
                "Ticks of the rotation that this replica led",
                registry=registry,
            ),
            clock_difference=Gauge(
                "auth_clock_difference_seconds",
                "By how much the clock of this replica is ahead of the database's",
                registry=registry,
            ),
            status_lists=Gauge("auth_status_lists", "Status lists that this replica publishes", registry=registry),
            status_revocations=Gauge(
                "auth_status_revocations", "Sessions that the published status lists say have ended", registry=registry
            ),
            status_entries_left=Gauge(
                "auth_status_entries_left",
                "Entries of published status lists that are still to be given out to sessions",
                registry=registry,
            ),
            status_failures=Counter(
                "auth_status_failures_total",
                "Times that the status lists could not be read, signed or written to their directory",
                registry=registry,
            ),
            status_seconds=Histogram(
                "auth_status_publication_seconds",
                "From the notice of a change of the status lists to its publication",
                buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 1, 5),
                registry=registry,
            ),
        )

    def show_keys(self, states: Mapping[str, int], sequence: int) -> None:
        """How many keys there are by state, and the number of the whole."""
        for state in KeyState:
            if state is not KeyState.GONE:
                self.keys.labels(state).set(states.get(state, 0))
        self.sequence.set(sequence)
