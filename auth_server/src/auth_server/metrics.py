"""What the auth server counts beside its requests."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from farseal.service.metrics import ServiceMetrics


@dataclass(frozen=True, slots=True)
class AuthMetrics:
    """One set for each registry."""

    token_requests: Counter
    refresh_failures: Counter
    publication_failures: Counter
    published_at: Gauge

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
                "When the published documents were last written to their directory",
                registry=registry,
            ),
        )
