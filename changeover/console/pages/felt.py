"""What users felt, in tables: by metric, by status, by segment, and against before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from changeover.analysis.window import Window
from changeover.plan.metrics import METRICS, QUALITY, Source, format_value

FELT = ("user_error_rate", "client_error_rate", "redirect_rate", "empty_rate",
        "latency_p50", "latency_p95", "latency_p99", "response_bytes")
"""What users notice of an answer."""
OF_SEGMENTS = ("user_error_rate", "error_rate", "latency_p95")
MOST_STATUSES = 12
Row = tuple[str, list[str]]
"""What, and a cell for each window."""


def rows(names: Iterable[str], windows: Sequence[Window]) -> list[Row]:
    """Return some metrics of windows, those that none of them knows left out."""
    found = []
    for name in names:
        values = [each.measure(name).value for each in windows]
        if all(value is None for value in values):
            continue
        metric = METRICS[name]
        found.append((metric.words, [format_value(metric, value) for value in values]))
    return found


def felt(windows: Sequence[Window]) -> list[Row]:
    """Return what users felt in some windows, with how many requests stand behind it."""
    if not any(each.requests for each in windows):
        return []
    numbers = [f"{each.requests:,}".replace(",", "\u202f") for each in windows]
    return [("requests", numbers), *rows(FELT, windows)]


def outcomes(windows: Sequence[Window]) -> list[Row]:
    """Return what applications reported in some windows; nothing where none did."""
    if not any(each.outcomes for each in windows):
        return []
    successes = []
    for each in windows:
        failed = each.measure("outcome_error_rate").value
        successes.append("no data" if failed is None else f"{100 - failed * 100:.3f} %")
    found = [("outcomes reported", [str(each.outcomes) for each in windows]),
             ("with success", successes),
             ("without success", [str(each.failures) for each in windows])]
    names = []
    for name, metric in METRICS.items():
        if metric.source is Source.OUTCOME and name != "outcome_error_rate":
            names.append(name)
    return found + rows([*names, *qualities(windows)], windows)


def qualities(windows: Iterable[Window]) -> list[str]:
    """Return the metrics of the quality numbers that some window has, by name."""
    names: set[str] = set()
    for each in windows:
        names.update(each.quality)
    return [QUALITY + name for name in sorted(names)]


def unusual(statuses: Mapping[str, int]) -> dict[str, int]:
    """Return the answers that were no plain success: all but 2xx and 304."""
    return {code: number for code, number in statuses.items()
            if not code.startswith("2") and code != "304"}


def of_segment(windows: Sequence[Window]) -> list[Row]:
    """Return what a segment's users met, and what was reported of them."""
    found: list[Row] = []
    if any(each.requests for each in windows):
        found.append(("requests", [str(each.requests) for each in windows]))
        found += rows(OF_SEGMENTS, windows)
    return found + outcomes(windows)[:2]
