"""Figures in tables: of both systems, and of gates' checks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from changeover.analysis.check_words import group_text, interval_text, outlook_text
from changeover.analysis.window import Window
from changeover.console.pages.view import Look
from changeover.domain.routing import System
from changeover.plan.conditions import OnFail
from changeover.plan.metrics import METRICS, QUALITY, Source, format_value, metric_of
from changeover.plan.statuses import WITH_STATUS
from changeover.plan.subsets import in_words
from changeover.store import samples

TRAFFIC_OVER = timedelta(seconds=10)
OUTCOMES_OVER = timedelta(minutes=5)
"""Outcomes are rarer than requests: some seconds of them would say little."""
OF_SYSTEMS = (Source.TRAFFIC, Source.HEALTH, Source.PROCESS)
Row = tuple[str, str, str]
"""What, the baseline's, the candidate's."""


def of_systems(look: Look) -> list[Row]:
    """Return everything that is measured of both systems now."""
    return of_traffic(look) + of_outcomes(look)


def of_traffic(look: Look) -> list[Row]:
    """Return what the gateway, probes and processes tell of both systems now."""
    reads = _windows(look, TRAFFIC_OVER)
    rows = [_metric_row(name, reads) for name in _metrics(OF_SYSTEMS)]
    # the gateway's: the same for both
    if reads[0].refused:
        rows.append(_metric_row("refused_rate", reads))
    return rows


def of_outcomes(look: Look) -> list[Row]:
    """Return what applications reported of the last minutes; nothing where none does."""
    reported = _windows(look, OUTCOMES_OVER)
    if not any(each.outcomes for each in reported):
        return []
    rows = [_row("outcomes in 5 min", [str(each.outcomes) for each in reported])]
    quality: set[str] = set()
    for each in reported:
        quality |= {QUALITY + name for name in each.quality}
    names = [*_metrics((Source.OUTCOME,)), *sorted(quality)]
    return rows + [_metric_row(name, reported) for name in names]


def _windows(look: Look, over: timedelta) -> list[Window]:
    found = []
    for system in System:
        found.append(samples.window(
            look.site.store, look.migration, system, start=look.now - over, end=look.now))
    return found


def _metrics(sources: tuple[Source, ...]) -> list[str]:
    names = []
    for name, metric in METRICS.items():
        # a rate of statuses says nothing without the statuses that a check names
        if metric.source in sources and name not in WITH_STATUS:
            names.append(name)
    return names


def _row(what: str, values: list[str]) -> Row:
    return what, values[0], values[1]


def _metric_row(name: str, reads: list[Window]) -> Row:
    metric = METRICS[name]
    texts = [format_value(metric, each.measure(name).value) for each in reads]
    return _row(metric.words, texts)


def standings(gates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the gates of the present stage would say now, numbers as texts.

    Args:
        gates: As `site.status.collect` returns them.
    """
    found = []
    for gate in gates:
        found.append({
            "stage": gate["stage"], "gate": gate["gate"], "is_old": gate["is_old"],
            "checks": [check_texts(each) for each in gate["checks"]],
            "at": datetime.fromisoformat(gate["at"])})
    return found


def check_texts(check: dict[str, Any]) -> dict[str, Any]:
    """Return a check's numbers and reasons as texts."""
    asked = check.get("check", {})
    metric = metric_of(check["metric"], asked.get("unit"))
    what = f"{metric.words} of {check['of']}"
    if asked.get("path"):
        what += f" at {asked['path']}"
    what += in_words(check.get("subset"))
    baseline = "–"
    if check["baseline_samples"] is not None:
        baseline = format_value(metric, check["baseline_value"])
    return {
        "verdict": check["verdict"], "standing": check.get("standing", check["verdict"]),
        "bound": check["bound"], "what": what, "reason": check["reason"],
        "is_shown_only": check.get("on_fail") == OnFail.SHOW,
        "group": group_text(check), "interval": interval_text(check),
        "outlook": outlook_text(check), "baseline": baseline,
        "value": format_value(metric, check["value"])}
