"""What a service counts. A registry of its own, so that two applications live in one process (and in one test)."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_BUCKETS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a token verified in memory to the longest that a caller would wait."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ServiceMetrics:
    """The metrics every service has. Labels take values from bounded sets only: a route template, never a path.

    More metrics are registered at ``registry``.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info("service", "Which service this is", registry=self.registry).info({"name": service})
        self._requests = Counter(
            "http_requests_total",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "From the parsed head of a request to its response",
            ("method", "route"),
            buckets=_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.connections_crowded_out = Counter(
            "http_connections_crowded_out_total",
            "Idle connections closed because there were too many, or new ones when none was idle",
            registry=self.registry,
        )
        self.in_flight = Gauge("http_requests_in_flight", "Requests being served", registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. ``route`` is a template; a method that HTTP does not define is ``other``."""
        method = bounded_method(method)
        self._requests.labels(method, route, str(status)).inc()
        self._duration.labels(method, route).observe(seconds)


def bounded_method(method: str) -> str:
    """The method, or ``other``: a client may invent methods, a label and a log field may not grow with them."""
    return method if method in _METHODS else "other"
