"""What differs between the two systems' answers, how often, since when, and what allows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from changeover.analysis.window import SHADOW, Window
from changeover.console.pages import traffic
from changeover.console.pages.charts import Chart, Value
from changeover.console.pages.differing import cards, counted, coverage_rows, notice
from changeover.console.pages.traffic import Panel
from changeover.console.pages.view import Look, View
from changeover.shadow import scores
from changeover.shadow.findings import Findings
from changeover.store import comparisons, routing, series

MOST_SHOWN = 25
"""Places on the page: more of them nobody reads, and the command line has all."""
KEPT_SECONDS = 10.0
"""Judging a thousand places takes a while, and they change little in so short a time."""
OLD_AFTER = timedelta(minutes=2)


def _compared(window: Window) -> Value:
    return window.compared / window.seconds if window.seconds else None


PANELS = (
    Panel("match", "Answers that match", "%", traffic.metric("match_rate", 100), 100, None),
    Panel("similarity", "Mean similarity", "%", traffic.metric("similarity", 100), 100, None),
    Panel("compared", "Compared per second", "/s", _compared),
)


def collect(look: Look) -> dict[str, Any]:
    """Return what the comparison's sections show."""
    site, now = look.site, look.now
    known = look.kept.get("findings", KEPT_SECONDS, now.timestamp(), lambda: _findings(look))
    began = look.kept.get(
        "oldest", 60, now.timestamp(), lambda: series.oldest(site.store, site.migration))
    newest = comparisons.newest_at(site.store, site.migration)
    state = routing.read(site.store, site.migration)
    shown = known.findings[:MOST_SHOWN]
    return {
        "notice": notice(site.plan, state, known.coverage, newest), "state": state,
        "match_rate": known.match_rate, "coverage": known.coverage, "latency": known.latency,
        "covered": coverage_rows(known.coverage), "compared_at": newest,
        # rare traffic has pauses: what is old is said, whether it is late nobody knows
        "is_old": newest is not None and now - newest > OLD_AFTER,
        "places": cards(shown, began, now), "verdicts": counted(known.findings),
        "more": len(known.findings) - len(shown),
    }


def charts(look: Look) -> Sequence[Chart]:
    """Return the charts of how alike the answers are."""
    return traffic.charts(look, PANELS, (SHADOW,))


VIEW = View(
    "comparison", "Comparison", ("notice", "figures", "places", "coverage"), collect, charts)


def _findings(look: Look) -> Findings:
    return scores.collect(look.site.store, look.migration)
