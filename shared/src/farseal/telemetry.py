"""What a protected application did with its tokens, and how its trust is, for Prometheus (``farseal[service]``)."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from farseal.web import trust_source, verification_counts


def register(app: web.Application, registry: CollectorRegistry) -> None:
    """Show an application that `farseal.web.setup` protects in a registry. Call it once, after ``setup``.

    Nothing is counted a second time: the figures are read where verification keeps them when somebody scrapes. Every
    label takes its values from the library's own codes and the configured issuer, never from a token.
    """
    registry.register(_Trust(app))


class _Trust(Collector):
    def __init__(self, app: web.Application) -> None:
        self._app = app

    def describe(self) -> Iterator[Metric]:
        """No metric before the first scrape: the application may not have started yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment."""
        outcomes = CounterMetricFamily(
            "farseal_verifications", "Requests by what became of their token: accepted, or a code", labels=("outcome",)
        )
        for outcome, count in sorted(verification_counts(self._app).items()):
            outcomes.add_metric((outcome,), count)
        yield outcomes
        status = trust_source(self._app).status()
        ages = GaugeMetricFamily("farseal_trust_age_seconds", "Since the keys were published", labels=("issuer",))
        for issuer, age in sorted(status.ages.items()):
            ages.add_metric((issuer,), age)
        yield ages
        yield GaugeMetricFamily("farseal_trust_generation", "Number of the snapshot in force", status.generation)
        yield CounterMetricFamily("farseal_trust_loads", "Sets of keys taken into force", status.loads)
        yield CounterMetricFamily(
            "farseal_trust_refused",
            "Times that what was published was not taken, and the last good set kept",
            status.refused,
        )
