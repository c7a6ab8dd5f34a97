"""What a protected application did with its tokens, and how its trust is, for Prometheus (``farseal[service]``)."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from farseal.sources.report import REFUSED, TrustReport
from farseal.web import trust_report, trust_source, verification_counts


def register(app: web.Application, registry: CollectorRegistry) -> None:
    """Show an application that `farseal.web.setup` protects in a registry. Call it once, after ``setup``.

    Nothing is counted a second time: the figures are read where verification keeps them when somebody scrapes. Every
    label takes its values from the library's own codes and the configured issuers, never from a token.
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
        yield from _by_issuer(trust_report(self._app))


def _by_issuer(report: TrustReport) -> Iterator[Metric]:
    """One sample for each issuer, also for those of which nothing was ever read."""
    usable = GaugeMetricFamily(
        "farseal_trust_usable", "1 while tokens of the issuer can be judged, else 0", labels=("issuer",)
    )
    keys = GaugeMetricFamily("farseal_trust_keys", "Keys whose signatures are taken", labels=("issuer",))
    revoked = GaugeMetricFamily("farseal_trust_revoked_keys", "Keys that are withdrawn", labels=("issuer",))
    rollbacks = CounterMetricFamily(
        "farseal_trust_rollbacks",
        "Times that a set older than the one in force, or another under its number, was not taken",
        labels=("issuer",),
    )
    looks = CounterMetricFamily("farseal_trust_looks", "Looks at what is published", labels=("issuer",))
    failures = CounterMetricFamily(
        "farseal_trust_look_failures", "Looks at what is published that came to no end", labels=("issuer",)
    )
    lists_looks = CounterMetricFamily(
        "farseal_status_list_looks",
        "Looks for status lists, where those are not the looks for the keys",
        labels=("issuer",),
    )
    lists_failures = CounterMetricFamily(
        "farseal_status_list_look_failures", "Looks for status lists in which something failed", labels=("issuer",)
    )
    lists = GaugeMetricFamily("farseal_status_lists", "Status lists in force", labels=("issuer",))
    ages = GaugeMetricFamily(
        "farseal_status_list_age_seconds", "Since the oldest status list in force was issued", labels=("issuer",)
    )
    lists_refused = CounterMetricFamily(
        "farseal_status_lists_refused", "Times that a status list was not taken", labels=("issuer",)
    )
    lists_rollbacks = CounterMetricFamily(
        "farseal_status_list_rollbacks",
        "Times that a status list older than the latest, or another under its version, was not taken",
        labels=("issuer",),
    )
    for one in report.issuers:
        label = (one.issuer,)
        usable.add_metric(label, one.judgement != REFUSED)
        keys.add_metric(label, len(one.kids))
        revoked.add_metric(label, len(one.revoked))
        rollbacks.add_metric(label, one.rollbacks)
        looks.add_metric(label, one.attempts)
        failures.add_metric(label, one.failures)
        lists.add_metric(label, one.lists_in_force)
        if one.lists:
            ages.add_metric(label, one.lists[0].age)
        lists_refused.add_metric(label, one.lists_refused)
        lists_rollbacks.add_metric(label, one.lists_rollbacks)
        lists_looks.add_metric(label, one.lists_attempts)
        lists_failures.add_metric(label, one.lists_failures)
    yield from (usable, keys, revoked, rollbacks, looks, failures)
    yield from (lists, ages, lists_refused, lists_rollbacks, lists_looks, lists_failures)
