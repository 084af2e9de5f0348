"""`/metrics`: the migration in Prometheus' text format, read from the store when asked.

Counters begin with this process, as Prometheus expects: what the store knew before is not counted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from changeover import clock
from changeover.analysis.histogram import Histogram, bounds_of, merge
from changeover.analysis.window import GATEWAY
from changeover.console.context import Fresh
from changeover.domain.rollbacks import Stands
from changeover.domain.routing import Mode, RoutingState, System
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import OnFail
from changeover.site import status, trigger_status
from changeover.store import (
    claims,
    comparisons,
    cutovers,
    divergences,
    firings,
    heartbeats,
    routing,
    samples,
)

if TYPE_CHECKING:
    from changeover.console.context import Console

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SETTLED_SECONDS = 5
"""Seconds are counted when they are this old: the observer has completed them."""
# upper bounds in seconds: fine where most answers are, up to the longest that users wait for
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES_OVER = timedelta(minutes=5)

_UNUSUAL = {
    "client_errors": ("client_errors", "Requests meant for a system that were answered 4xx."),
    "redirects": ("redirects", "Requests that were answered 3xx, without 304."),
    "answers": ("answers", "Successful answers to GET."),
    "empty_answers": ("empty_answers", "Successful answers to GET without a body."),
    "answer_bytes": ("answer_bytes", "Bytes of the bodies of successful answers to GET."),
}

# numbers, so that an alert can say `> 1`; a trigger that is over is as good as armed
_TRIGGER_STANDS = {Stands.ARMED: 0, Stands.CLEARED: 0, Stands.HOLDING: 1, Stands.FIRING: 2}
_OF_TRIGGERS = {
    "standing": "How it stands: 0 armed, 1 its condition is true but not long enough, 2 firing.",
    "value": "What a trigger measures, in base units.",
    "burn": "How many times as fast as allowed an error budget burns, in the worst long window.",
    "log_worse": "Logarithm of the evidence that harm is beyond the margin.",
    "log_bar": "What that must reach to fire.",
}
_STANDS = {Verdict.PASS: 1.0, Verdict.INCONCLUSIVE: 0.0, Verdict.FAIL: -1.0}
_LABELS = ("stage", "gate", "check", "metric", "subset", "on_fail")
_OF_CHECKS = {
    "value": "What a check of the present stage measures, in base units.",
    "standing": "What it would say now: 1 would pass, 0 undecided, -1 would fail.",
    "log_worse": "Logarithm of the evidence that harm is beyond the margin.",
    "log_better": "Logarithm of the evidence that harm beyond the margin is excluded.",
    "low": "Lower end of the interval (95 %) of the value, or of the ratio to the baseline.",
    "high": "Upper end of that interval.",
    "seconds_left": "Seconds within which it is decided, 80 % of the time, at this traffic.",
}


class Meter(Collector):
    """Collects everything about one migration."""

    def __init__(self, console: Console) -> None:
        self._console, self._fresh = console, Fresh()
        self._lock = threading.Lock()
        self._from = int(console.began.timestamp())
        self._requests: Counter[str] = Counter()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._unusual: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self._latency: dict[str, Histogram] = {str(name): Histogram() for name in System}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return the text of one scrape.

        Raises:
            StoreError: The store cannot be read.
        """
        # two scrapes at once would count the same seconds twice
        with self._lock:
            self._count()
            return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not ask the store before the first scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return every metric."""
        yield from self._routing()
        yield from self._traffic()
        yield from self._comparing()
        yield from self._checks()
        yield from self._applications()
        yield from self._events()

    def _count(self) -> None:
        """Add the seconds that are complete since the last scrape."""
        site = self._console.site
        before = int(clock.now().timestamp()) - SETTLED_SECONDS
        if before <= self._from:
            return
        since = clock.from_timestamp(self._from)
        for sample in samples.recent(site.store, site.migration, since=since):
            # not complete yet: the next scrape counts it
            if sample.at >= before:
                continue
            system = sample.system
            if system == GATEWAY:
                self._refused.update(sample.errors)
            # rows of comparisons and of the gateway have no durations
            if system not in self._latency:
                continue
            self._requests[system] += sample.requests
            for name in _UNUSUAL:
                self._unusual[system, name] += getattr(sample, name)
            for kind, number in sample.errors.items():
                self._errors[system, kind] += number
            both = self._latency[system], sample.latency
            self._latency[system] = merge(both)
        self._from = before

    def _routing(self) -> Iterator[Metric]:
        site = self._console.site
        state = routing.read(site.store, site.migration)
        mode = GaugeMetricFamily(
            "changeover_mode", "1 for the present mode.", labels=["mode"])
        # all of them: a mode that is over must fall to 0, not stay as it was
        for each in Mode:
            mode.add_metric([str(each)], float(each is state.mode))
        yield mode
        segments = GaugeMetricFamily(
            "changeover_segment_on_candidate",
            "1 when a segment is moved.", labels=["segment"])
        for name in site.plan.routing.segments:
            segments.add_metric([name], float(name in state.segments))
        yield segments
        users, copied = state.weight / 100, self._copied(state) / 100
        is_in_sync = site.gateway.serving(state).is_current
        for name, value, text in (
            ("candidate_percent", users, "Share of users on the candidate."),
            ("shadow_percent", copied, "Share of requests that are copied."),
            ("maintenance", state.maintenance,
             "1 while users get the maintenance answer."),
            ("routing_version", state.version, "Version of the routing state."),
            ("routing_epoch", state.epoch, "Epoch: how many rollbacks there were."),
            ("gateway_in_sync", is_in_sync,
             "1 when the gateway serves the present routing state."),
        ):
            yield GaugeMetricFamily(f"changeover_{name}", text, value=float(value))

    def _copied(self, state: RoutingState) -> int:
        # a mode may copy, but a plan without shadow has nothing to copy to
        if self._console.site.plan.shadow is None:
            return 0
        return state.copied

    def _traffic(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "changeover_requests", "Requests meant for a system.", labels=["system"])
        errors = CounterMetricFamily(
            "changeover_request_errors", "Requests that a system failed.",
            labels=["system", "kind"])
        unusual = {}
        for kind, (name, text) in _UNUSUAL.items():
            unusual[kind] = CounterMetricFamily(
                f"changeover_{name}", text, labels=["system"])
        latency = HistogramMetricFamily(
            "changeover_request_duration_seconds",
            "Durations as users felt them; the sum is within 5 %.",
            labels=["system"])
        for name in map(str, System):
            requests.add_metric([name], self._requests[name])
            buckets, total = _buckets(self._latency[name])
            latency.add_metric([name], buckets, total)
            for kind, family in unusual.items():
                family.add_metric([name], self._unusual[name, kind])
        for (system, kind), number in sorted(self._errors.items()):
            errors.add_metric([system, kind], number)
        refused = CounterMetricFamily(
            "changeover_gateway_refused",
            "Requests that the gateway refused itself, "
            "by Envoy's word for the reason.", labels=["reason"])
        for reason, number in sorted(self._refused.items()):
            refused.add_metric([reason], number)
        yield from (requests, errors, *unusual.values(), refused, latency)

    def _comparing(self) -> Iterator[Metric]:
        coverage = GaugeMetricFamily(
            "changeover_shadow_requests",
            "What became of tapped requests since the rules were last changed.",
            labels=["outcome"])
        site = self._console.site

        def covered() -> dict[str, int]:
            return comparisons.coverage(site.store, site.migration)

        for outcome, number in sorted(self._fresh.get("coverage", 5, covered).items()):
            coverage.add_metric([outcome], number)
        yield coverage

        def diverged() -> list[int]:
            found = divergences.places(site.store, site.migration)
            return [place.diverged for place in found]

        # thousands of rows: read for several scrapes at once
        places = self._fresh.get("places", 15, diverged)
        yield GaugeMetricFamily(
            "changeover_divergences",
            "Divergences at all places together since the rules were last changed.",
            value=sum(places))
        differing = sum(number > 0 for number in places)
        yield GaugeMetricFamily(
            "changeover_divergent_places",
            "Places of the answers that differ.", value=differing)

    def _checks(self) -> Iterator[Metric]:
        """Yield how the checks of the present stage stand; what is old says nothing of now."""
        families = {}
        for name, text in _OF_CHECKS.items():
            families[name] = GaugeMetricFamily(
                f"changeover_check_{name}", text, labels=_LABELS)
        site, judged = self._console.site, []
        cutover = cutovers.latest(site.store, site.migration)
        if cutover:
            judged = status.gates(site.store, cutover, now=clock.now())
        for gate in judged:
            if gate["is_old"]:
                continue
            # one metric may be checked twice, by a bound and against the baseline: so the number
            for number, check in enumerate(gate["checks"], start=1):
                labels = [gate["stage"], gate["gate"], str(number)]
                labels += [check["metric"], check.get("subset", "")]
                labels.append(check.get("on_fail", OnFail.ROLLBACK))
                for name, value in _numbers_of(check).items():
                    families[name].add_metric(labels, value)
        yield from families.values()

    def _applications(self) -> Iterator[Metric]:
        site, counts = self._console.site, self._console.counts
        now = clock.now()
        claimed = CounterMetricFamily(
            "changeover_claims", "What became of requests to claim.", labels=["result"])
        for result, number in sorted(counts.claims.items()):
            claimed.add_metric([result], number)
        open_ = GaugeMetricFamily(
            "changeover_claims_open",
            "Items that are not done, by state.", labels=["state"])
        known = claims.open_claims(site.store, site.migration, now=now)
        for name, number in known.items():
            open_.add_metric([name], number)
        reported = CounterMetricFamily(
            "changeover_outcomes", "Outcomes that were reported here.",
            labels=["system", "result"])
        for (system, result), number in sorted(counts.outcomes.items()):
            reported.add_metric([system, result], number)
        quality = GaugeMetricFamily(
            "changeover_outcome_quality",
            "Mean of a quality number over five minutes.",
            labels=["system", "name"])
        start = now - OUTCOMES_OVER
        for name in map(str, System):
            found = samples.window(
                site.store, site.migration, name, start=start, end=now)
            for label, (number, total) in sorted(found.quality.items()):
                quality.add_metric([name, label], total / number)
        yield from (claimed, open_, reported, quality)

    def _events(self) -> Iterator[Metric]:
        site, now = self._console.site, clock.now()
        counted = GaugeMetricFamily(
            "changeover_trigger_firings", "Firings in the last 24 hours.",
            labels=["trigger", "action"])
        since = now - timedelta(hours=24)
        day = firings.all_of(site.store, site.migration, since=since)
        found = Counter((each.trigger, each.did) for each in day)
        for (trigger, action), number in sorted(found.items()):
            counted.add_metric([trigger, action], number)
        yield counted
        standing = trigger_status.triggers(site.store, site.plan, now=now)
        yield from _of_triggers(standing)
        age = GaugeMetricFamily(
            "changeover_service_age_seconds",
            "Since a service's last sign of life.", labels=["service"])
        for beat in heartbeats.of(site.store, site.migration):
            silent = (now - beat.at).total_seconds()
            age.add_metric([beat.service], silent)
        yield age


def _of_triggers(found: list[dict[str, Any]]) -> Iterator[Metric]:
    """Return how triggers stand now; what nobody judged of late is left out."""
    for name, what in _OF_TRIGGERS.items():
        gauge = GaugeMetricFamily(
            f"changeover_trigger_{name}", what, labels=["trigger", "action"])
        for each in found:
            standing = {"standing": _TRIGGER_STANDS[each["stands"]]}
            value = (each | standing)[name]
            if value is not None and not each["is_old"]:
                labels = [each["trigger"], each["action"]]
                gauge.add_metric(labels, float(value))
        yield gauge


def _numbers_of(check: dict[str, Any]) -> dict[str, float]:
    """Return what is known of a check, by the names of `_OF_CHECKS`."""
    evidence = check.get("sequential") or {}
    interval = check.get("interval") or {}
    outlook = check.get("outlook") or {}
    found = {
        "value": check["value"],
        "standing": _STANDS[Verdict(check["verdict"])],
        "log_worse": evidence.get("log_worse"),
        "log_better": evidence.get("stage", {}).get("log_better"),
        "low": interval.get("low"),
        "high": interval.get("high"),
        "seconds_left": outlook.get("seconds"),
    }
    numbers = {}
    for name, value in found.items():
        # a gauge without a value is left out: 0 would be a value
        if value is not None:
            numbers[name] = float(value)
    return numbers


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulative counts by upper bound in seconds, and the sum in seconds."""
    bins = []
    # by the middle of each bin: single durations are not kept
    total = 0.0
    for index, count in histogram.counts.items():
        lower, upper = bounds_of(index)
        bins.append((upper, count))
        total += (lower + upper) / 2 * count
    found: list[tuple[str, float]] = []
    for limit in BUCKETS:
        # a bin counts where all of it lies below; rounding must not push it over
        most = limit * 1e6 + 1e-3
        below = sum(count for upper, count in bins if upper <= most)
        found.append((str(limit), below))
    found.append(("+Inf", histogram.total))
    # bins are in microseconds
    return found, total / 1e6
