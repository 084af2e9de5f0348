"""What is counted between scrapes. Counters begin with this process, as Prometheus expects."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from changeover import clock
from changeover.analysis.histogram import Histogram, bounds_of, merge
from changeover.analysis.window import GATEWAY, SHADOW, ErrorClass, Measurements, Sample
from changeover.console.exposition.family import Buckets
from changeover.domain.publications import Publication
from changeover.domain.routing import System
from changeover.plan.subsets import route_of_subset
from changeover.store import gateway_seconds, publications
from changeover.store.engine import Store

SETTLED_SECONDS = 5
"""Seconds are counted when they are this old: the observer has completed them."""
LATE_SECONDS = 60
"""Comparisons are stored in the second of their request: answers may have taken as long as that."""
# upper bounds in seconds: fine where most answers are, up to the longest that users wait for
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# most publications take some hundredths of a second; a gateway that is stuck, a minute
PUBLISH_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
COUNTED = ("client_errors", "user_errors", "redirects", "answers", "empty_answers", "answer_bytes",
           "keyless")
"""Fields of a sample that are counted by system."""


@dataclass
class OfRoute:
    """Sums of one route's requests that were meant for one system."""

    requests: int = 0
    errors: int = 0
    user_errors: int = 0
    latency: Histogram = field(default_factory=Histogram)

    def add(self, measured: Measurements) -> None:
        """Add a second."""
        self.requests += measured.requests
        self.errors += sum(measured.errors.values())
        self.user_errors += measured.user_errors
        if measured.requests:
            self.latency = merge((self.latency, measured.latency))


class Counters:
    """Sums since the console began.

    Args:
        store: The store.
        migration: Name of the migration.
        began: When the console began.
    """

    def __init__(self, store: Store, migration: str, began: datetime) -> None:
        self._store, self._migration = store, migration
        self._began, self._from = began, int(began.timestamp())
        self._compared_until = self._from
        self._compared_at: dict[int, tuple[int, int]] = {}
        self._newest_publication = 0
        self.requests: Counter[str] = Counter()
        # 0 from the beginning: an alert sees the first one come
        self.errors: Counter[tuple[str, str]] = Counter(
            {(str(name), str(kind)): 0 for name in System for kind in ErrorClass})
        self.others: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.compared: Counter[str] = Counter()
        self.latency: dict[str, Histogram] = {str(name): Histogram() for name in System}
        self.routes: dict[tuple[str, str], OfRoute] = {}
        self._waiting: dict[tuple[int, int], datetime] = {}
        self.publish_failures = 0
        self.publish_seconds: list[float] = [0.0] * (len(PUBLISH_BUCKETS) + 1)
        self.publish_sum = 0.0

    def count(self, now: datetime) -> None:
        """Add what is complete since the last time.

        Raises:
            StoreError: The store cannot be read.
        """
        self._count_samples(int(now.timestamp()) - SETTLED_SECONDS)
        self._count_compared(int(now.timestamp()) - SETTLED_SECONDS)
        known = publications.after(
            self._store, self._migration, self._newest_publication, since=self._began)
        for row_id, each in known:
            self._newest_publication = row_id
            self._count_publication(each)

    def published(self) -> Buckets:
        """Return how long decisions took to be confirmed, from the first attempt on."""
        found, below = [], 0.0
        limits = [*map(str, PUBLISH_BUCKETS), "+Inf"]
        for limit, number in zip(limits, self.publish_seconds, strict=True):
            below += number
            found.append((limit, below))
        return found, self.publish_sum

    def _count_samples(self, before: int) -> None:
        if before <= self._from:
            return
        since = clock.from_timestamp(self._from)
        for sample in gateway_seconds.recent(self._store, self._migration, since=since):
            # not complete yet: the next scrape counts it
            if sample.at < before:
                self._count_sample(sample)
        self._from = before

    def _count_compared(self, before: int) -> None:
        """Add what was compared since the last time, also of seconds that were counted before."""
        # a clock that was set back counts nothing twice
        if before <= self._compared_until:
            return
        began = int(self._began.timestamp())
        since = clock.from_timestamp(max(began, self._compared_until - LATE_SECONDS))
        self._compared_until = before
        # of all gateways: each compares what it copies, also in the same second
        rows = gateway_seconds.recent(self._store, self._migration, since=since, system=SHADOW)
        known = self._compared_at
        self._compared_at = {row.at: (row.compared, row.matched) for row in rows if row.at < before}
        for at, (compared, matched) in self._compared_at.items():
            compared_before, matched_before = known.get(at, (0, 0))
            newly, matching = compared - compared_before, matched - matched_before
            self.compared["match"] += matching
            self.compared["divergence"] += newly - matching

    def _count_sample(self, sample: Sample) -> None:
        system = sample.system
        if system == GATEWAY:
            self.refused.update(sample.errors)
        # rows of comparisons and of the gateway have no durations
        if system not in self.latency:
            return
        self.requests[system] += sample.requests
        for name in COUNTED:
            self.others[system, name] += getattr(sample, name)
        for kind, number in sample.errors.items():
            self.errors[system, kind] += number
        both = self.latency[system], sample.latency
        self.latency[system] = merge(both)
        for subset, measured in sample.subsets.items():
            if (route := route_of_subset(subset)) is not None:
                self.routes.setdefault((route, system), OfRoute()).add(measured)

    def _count_publication(self, each: Publication) -> None:
        state = each.epoch, each.version
        if not each.is_confirmed:
            self.publish_failures += 1
            # the decision has waited since its first attempt
            self._waiting.setdefault(state, each.at)
            return
        since = self._waiting.pop(state, each.at)
        # what was decided before is not confirmed any more: a later state is served
        self._waiting = {known: at for known, at in self._waiting.items() if known > state}
        seconds = each.seconds + (each.at - since).total_seconds()
        place = bisect_left(PUBLISH_BUCKETS, seconds)
        self.publish_seconds[place] += 1
        self.publish_sum += seconds


def buckets_of(histogram: Histogram, limits: Iterable[float] = REQUEST_BUCKETS) -> Buckets:
    """Return the cumulative counts by upper bound in seconds, and the sum in seconds."""
    bins = []
    # by the middle of each bin: single durations are not kept
    total = 0.0
    for index, count in histogram.counts.items():
        lower, upper = bounds_of(index)
        bins.append((upper, count))
        total += (lower + upper) / 2 * count
    found: list[tuple[str, float]] = []
    for limit in limits:
        # a bin counts where all of it lies below; rounding must not push it over
        most = limit * 1e6 + 1e-3
        below = sum(count for upper, count in bins if upper <= most)
        found.append((str(limit), below))
    found.append(("+Inf", histogram.total))
    # bins are in microseconds
    return found, total / 1e6
