"""A family of `/metrics`: its name, its labels, and how many series it may have at most. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

PREFIX = "changeover_"
MIGRATION = "migration"
"""Label of every series: dashboards and alerts tell several migrations apart by it."""


class Kind(StrEnum):
    """Prometheus' types that are used."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


_CLASSES = {
    Kind.GAUGE: GaugeMetricFamily, Kind.COUNTER: CounterMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


@dataclass(frozen=True, slots=True)
class Bound:
    """How many series a family has at most.

    Args:
        words: What there is one series of, for people.
        most: What goes beyond is left out, and counted in `changeover_series_left_out`.
    """

    words: str
    most: int


ONE = Bound("migration", 1)
SYSTEM = Bound("system", 2)


@dataclass(frozen=True, slots=True)
class Family:
    """A family of metrics.

    Args:
        name: Without the prefix; a counter's without `_total`.
        text: One sentence for people.
        labels: Beside the migration's name.
        bound: How many series there are at most.
        kind: Its type.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ()
    bound: Bound = ONE
    kind: Kind = Kind.GAUGE

    @property
    def shown(self) -> str:
        """The name as people query it."""
        end = "_total" if self.kind is Kind.COUNTER else ""
        return f"{PREFIX}{self.name}{end}"


LEFT_OUT = Family(
    "series_left_out", "Series that a scrape left out because their family has too many.",
    ("family",), Bound("family that has too many", 100))

Buckets = tuple[Sequence[tuple[str, float]], float]
"""Cumulative counts by upper bound in seconds, and the sum in seconds."""


class Scrape:
    """What one scrape answers.

    Args:
        migration: The migration's name.
        families: All that there are: nothing else can be added.
    """

    def __init__(self, migration: str, families: Iterable[Family]) -> None:
        self._migration = migration
        self._metrics: dict[str, Metric] = {}
        self._series: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        for family in families:
            labels = (MIGRATION, *family.labels)
            made = _CLASSES[family.kind]
            self._metrics[family.name] = made(
                f"{PREFIX}{family.name}", family.text, labels=labels)

    def add(self, family: Family, value: float | None, *labels: str) -> None:
        """Add a series; one without a value is left out, since 0 would be a value."""
        if value is not None and self._has_room(family):
            metric = self._metrics[family.name]
            metric.add_metric(self._labels(family, labels), float(value))  # type: ignore[attr-defined]

    def add_buckets(self, family: Family, found: Buckets, *labels: str) -> None:
        """Add a series of a histogram."""
        if self._has_room(family):
            buckets, total = found
            metric = self._metrics[family.name]
            metric.add_metric(  # type: ignore[attr-defined]
                self._labels(family, labels), list(buckets), total)

    def add_state(self, family: Family, states: Iterable[str], present: str) -> None:
        """Add a series for each state, 1 for the present one: one that is over must fall to 0."""
        for state in states:
            self.add(family, float(state == present), state)

    def metrics(self) -> Iterator[Metric]:
        """Return all families, those without series too, in the order of the catalogue."""
        for name, number in self._left_out.items():
            self.add(LEFT_OUT, number, name)
        yield from self._metrics.values()

    def _labels(self, family: Family, values: Sequence[str]) -> list[str]:
        if len(values) != len(family.labels):
            raise ValueError(f"{family.name} has the labels {family.labels}, not {values}")
        return [self._migration, *values]

    def _has_room(self, family: Family) -> bool:
        """Whether one more series fits: names that others choose must not fill a database."""
        self._series[family.name] += 1
        if self._series[family.name] <= family.bound.most:
            return True
        self._left_out[family.name] += 1
        return False
