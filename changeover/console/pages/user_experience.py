"""User experience: what users met, what became of their work, and whether that was so before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from changeover.analysis.improvement import improvements
from changeover.analysis.summing import combined
from changeover.analysis.window import Window
from changeover.console.pages import felt, signs, traffic
from changeover.console.pages.charts import Chart
from changeover.console.pages.traffic import Panel, Values, metric
from changeover.console.pages.view import Look, View
from changeover.domain.routing import System
from changeover.plan.metrics import METRICS
from changeover.plan.subsets import segment_of, subset_in_words, subset_of_route, subsets_read
from changeover.store import cutovers, outcome_series, samples

BEFORE = timedelta(hours=24)
"""A day has quiet hours and busy ones: a shorter time before would compare with one of them."""
LATELY = timedelta(minutes=5)
KEPT_SECONDS = 10.0
PAST_SECONDS = 600.0
POINTS = 60
"""Outcomes are rarer than requests: the share of two or three of them says nothing."""
MOST_QUALITIES = 4
"""Places of the page for charts of quality numbers; tables have all of them."""

OF_TRAFFIC = (
    Panel("user-errors", "Errors that users saw", "%", metric("user_error_rate", 100)),
    traffic.P50, traffic.P95, traffic.P99,
    Panel("client-errors", "Answers 4xx", "%", metric("client_error_rate", 100)),
    Panel("redirects", "Redirects", "%", metric("redirect_rate", 100)),
    Panel("empty", "Answers without a body", "%", metric("empty_rate", 100)))


def _success(window: Window) -> float | None:
    failed = window.measure("outcome_error_rate").value
    return None if failed is None else 100 - 100 * failed


OF_OUTCOMES = (
    Panel("success", "Outcomes with success", "%", _success, 100),
    Panel("outcomes", "Outcomes per minute", "/min",
          lambda each: 60 * each.outcomes / each.seconds),
    Panel("outcome-p95", "p95 of the duration of outcomes", "s",
          metric("outcome_duration_p95", 1)))


def collect(look: Look) -> dict[str, Any]:
    """Return what the sections show."""
    lately = _windows(look, look.now - LATELY, KEPT_SECONDS / 5)
    whole = [_outcomes(look, system) for system in System]
    return {
        "range": look.range, "lately": felt.felt(lately),
        "saw": _cells("user_error_rate", lately), "p95": _cells("latency_p95", lately),
        "success": dict(felt.outcomes(lately)).get("with success"),
        "against": _against(look),
        "statuses": _statuses(look),
        "outcomes": felt.outcomes(whole),
        "improved": [(each.words, each.texts[2]) for each in improvements(*whole)],
        "segments": _segments(look),
    }


def charts(look: Look) -> Sequence[Chart]:
    """Return the charts that have data."""
    read = {system: _series(look, system) for system in System}
    panels = [*OF_OUTCOMES, *_quality_panels(read)]
    found = []
    for panel in panels:
        lines = []
        for system, windows in read.items():
            values = {at: panel.value(each) for at, each in windows.items()}
            lines.append(Values(str(system), str(system), values))
        found.append(traffic.over_time(panel, lines))
    return [*traffic.charts(look, OF_TRAFFIC), *traffic.framed(look, found)]


VIEW = View(
    "user-experience", "User experience",
    ("now", "felt", "against", "statuses", "outcomes", "segments"), collect, charts)


def _cells(name: str, windows: Sequence[Window]) -> list[str]:
    """Return a metric of both systems; nothing where neither has it."""
    found = felt.rows((name,), windows)
    return found[0][1] if found else []


def _quality_panels(read: Mapping[System, Mapping[int, Window]]) -> list[Panel]:
    """Return a panel for each quality number, in the places that the page has for them."""
    known: list[Window] = []
    for windows in read.values():
        known += windows.values()
    panels = []
    for place, name in enumerate(felt.qualities(known)[:MOST_QUALITIES]):
        words = METRICS[name].words
        title = f"{words[:1].upper()}{words[1:]}"
        panels.append(Panel(f"quality-{place + 1}", title, "", metric(name, 1)))
    return panels


def _series(look: Look, system: System) -> dict[int, Window]:
    def read() -> dict[int, Window]:
        return outcome_series.series(
            look.site.store, look.migration, system, start=traffic.begin(look), end=look.now,
            points=POINTS)

    key = "outcomes", system, look.range.name
    return look.kept.get(key, traffic.good_for(look), look.now.timestamp(), read)


def _outcomes(look: Look, system: System) -> Window:
    """Return the outcomes of the whole range."""
    def summed() -> Window:
        return combined(list(_series(look, system).values()))

    key = "all outcomes", system, look.range.name
    return look.kept.get(key, traffic.good_for(look), look.now.timestamp(), summed)


def _windows(
    look: Look, start: datetime, good: float, segment: str | None = None
) -> list[Window]:
    """Return both systems' windows from a time until now, kept for some seconds."""
    def read() -> list[Window]:
        return [samples.window(
            look.site.store, look.migration, system, start=start, end=look.now,
            segment=segment) for system in System]

    key = "felt", segment, look.range.name
    return look.kept.get(key, good, look.now.timestamp(), read)


def _against(look: Look) -> dict[str, Any] | None:
    """Return the newest cutover's time against the day before it; None before the first."""
    cutover = cutovers.latest(look.site.store, look.migration)
    if cutover is None:
        return None
    start, end = cutover.started_at, cutover.ended_at or look.now

    def window(system: System, since: datetime, until: datetime) -> Window:
        return samples.window(
            look.site.store, look.migration, system, start=since, end=until)

    def before() -> Window:
        return window(System.BASELINE, start - BEFORE, start)

    def during() -> list[Window]:
        return [window(system, start, end) for system in System]

    now = look.now.timestamp()
    good = max(KEPT_SECONDS, (end - start).total_seconds() / traffic.SHARE_OF_RANGE)
    windows = [look.kept.get(("before", cutover.id), PAST_SECONDS, now, before),
               *look.kept.get(("during", cutover.id), good, now, during)]
    return {"id": cutover.id, "start": start, "has_before": windows[0].requests > 0,
            "rows": felt.felt(windows) + felt.outcomes(windows)}


def _statuses(look: Look) -> list[tuple[str, list[str]]]:
    """Return the range's answers by status that were no plain success, with their shares."""
    counts: dict[str, Mapping[str, int]] = {}
    totals: dict[str, int] = {}
    for system in System:
        whole = traffic.total(look, system)
        counts[system] = felt.unusual(whole.statuses)
        totals[system] = whole.requests
    return signs.counted(counts, totals)[:felt.MOST_STATUSES]


def _segments(look: Look) -> list[dict[str, Any]]:
    """Return what the users of each segment met in the range."""
    counted = {segment_of(name) for name in subsets_read(look.site.plan)}
    good = max(KEPT_SECONDS, traffic.good_for(look))
    found = []
    for name in look.site.plan.routing.segments:
        windows = _windows(look, traffic.begin(look), good, name)
        found.append({"name": name, "is_counted": name in counted,
                      "rows": felt.of_segment(windows)})
    for route in look.site.plan.routes:
        subset = subset_of_route(route.name)
        windows = look.kept.get(
            ("felt", subset, look.range.name), good, look.now.timestamp(),
            partial(_of_subset, look, subset))
        found.append({"name": subset_in_words(subset), "is_counted": True,
                      "rows": felt.of_segment(windows)})
    return found


def _of_subset(look: Look, subset: str) -> list[Window]:
    """Return both systems' windows of a subset, from the rows that the charts are made of."""
    return [traffic.total_of(look, system, subset) for system in System]
