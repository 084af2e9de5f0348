"""The recent samples of a migration, in memory: triggers work while the store is away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from changeover.analysis.window import (
    GATEWAY,
    SHADOW,
    Sample,
    Window,
    combine,
    of_gateway,
    of_subset,
    outcomes_of,
)
from changeover.domain.comparisons import PlaceCount
from changeover.observer.blocks import Blocks, Kind
from changeover.plan.metrics import Source
from changeover.plan.subsets import subset_of
from changeover.store.place_counts import step_of

_ADDED_UP = (Source.TRAFFIC, Source.GATEWAY, Source.HEALTH)
"""Sources whose seconds may be added up: the figures of others depend on which seconds had any."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which samples a window is made of.

    Args:
        system: `baseline` or `candidate`.
        seconds: Its length.
        segment: Requests and outcomes of this segment, or of a route (`route:orders`), only.
        path: Comparisons of this place only.
        since: The second at which it begins at the earliest; None: that of all windows.
        source: Where the one metric comes from that is read; None: anything may be read.
        is_timed: Whether the metric is a duration of requests.
    """

    system: str
    seconds: int
    segment: str | None = None
    path: str | None = None
    since: int | None = None
    source: Source | None = None
    is_timed: bool = False


class Recent:
    """Samples of single seconds. `since` is the second at which windows begin at the earliest."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, Sample]] = defaultdict(dict)
        self._places: Mapping[str, Mapping[int, PlaceCount]] = {}
        self._windows: dict[tuple[Span, int], Window] = {}
        self._blocks = Blocks(self.seconds)
        self.since = 0

    def feed(self, samples: Iterable[Sample]) -> None:
        """Add samples, replacing those of the same second."""
        for sample in samples:
            is_gateways = sample.system == GATEWAY
            # the gateway's samples have names of their own for what arrived
            self._rows[sample.system][sample.at] = of_gateway(sample) if is_gateways else sample
            self._blocks.changed(sample.system, sample.at)
        # a window that was combined before may hold the second that changed
        self._windows.clear()

    def feed_places(self, counts: Mapping[str, Mapping[int, PlaceCount]]) -> None:
        """Set how often single places differ: {place: {start of ten seconds: its counts}}."""
        self._places = counts
        self._windows.clear()

    def sample(self, system: str, at: int) -> Sample | None:
        """Return a system's sample of a second, if there is one."""
        return self._rows[system].get(at)

    def seconds(self, system: str, start: int, end: int) -> list[Sample]:
        """Return a system's samples of [start, end)."""
        rows = self._rows[system]
        return [rows[second] for second in range(start, end) if second in rows]

    def window(self, span: Span, at: int) -> Window:
        """Return the window that ends with second `at`; triggers alike share one."""
        found = self._windows.get((span, at))
        # kept by what it asks: triggers that ask the same share it
        if found is None:
            found = self._windows[span, at] = self._combined(span, at)
        return found

    def _combined(self, span: Span, at: int) -> Window:
        start = max(at - span.seconds + 1, self.since)
        if span.since is not None:
            start = max(start, span.since)
        # single places are counted by ten seconds and cannot be added up by blocks
        if span.source in _ADDED_UP and not span.path:
            rows = self._blocks.covering(_kind(span), start, at + 1)
            return combine(rows, seconds=span.seconds)
        names = [GATEWAY, outcomes_of(span.system, span.segment)]
        if span.system == "candidate":  # comparisons count for the candidate
            names.append(SHADOW)
        subset = subset_of(span.segment)
        rows = [of_subset(row, subset) for row in self.seconds(span.system, start, at + 1)]
        for name in names:
            rows += self.seconds(name, start, at + 1)
        found = combine(rows, seconds=span.seconds)
        if not span.path:
            return found
        compared = diverged = 0
        for step_at, counts in self._places.get(span.path, {}).items():
            if step_of(start) <= step_at <= at:
                compared += counts.compared
                diverged += counts.diverged
        return replace(found, compared=compared, matched=compared - diverged)

    def forget(self, before: int) -> None:
        """Forget samples before a second."""
        for rows in self._rows.values():
            for at in [at for at in rows if at < before]:
                del rows[at]
        self._blocks.forget(lambda start, end: start >= before)
        self._windows.clear()

    def set_back(self, to: int) -> None:
        """Forget samples of `to` and later, and begin no later: the clock was set back."""
        for rows in self._rows.values():
            for at in [at for at in rows if at >= to]:
                del rows[at]
        self._blocks.forget(lambda start, end: end <= to)
        self.since = min(self.since, to)
        self._windows.clear()


def _kind(span: Span) -> Kind:
    """Return what is read of samples for a span of one source."""
    if span.source is Source.GATEWAY:
        return Kind(GATEWAY)
    subset = subset_of(span.segment)
    return Kind(span.system, subset, span.is_timed)
