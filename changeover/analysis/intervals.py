"""Where the true value of an absolute bound's metric lies, 95 %: shown, decides nothing. Pure.

It is no sequential test: it says how exact one reading is, not how often it may be read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from changeover.analysis.check import CheckResult
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Window
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import Source

NORMAL = 1.959964
"""Quantile of the normal law that leaves 2.5 % on each side."""
UNITS = (Source.TRAFFIC, Source.COMPARISON, Source.OUTCOME)
"""Sources whose shares are of requests, answers or outcomes, each of which tells something."""


def of_share(value: float, samples: int, bound: float, spread: float = 1.0) -> tuple[float, float]:
    """Return the interval of a share.

    The variance is that of the sums of users' groups, and at least Poisson's at the bound: no event
    at all says little where few were allowed.

    Args:
        value: The share that was measured, 0..1.
        samples: Of how many requests; above 0.
        bound: The share that it is compared with, 0..1.
        spread: How many times the variance is that of independent requests, at least 1.
    """
    # Rare are failures of a share near 1 (up), events of one near 0 (errors).
    rare, allowed = min(value, 1 - value), min(bound, 1 - bound)
    variance = max(rare * spread, max(allowed, 0.0)) / samples
    reach = NORMAL * math.sqrt(variance)
    return max(0.0, value - reach), min(1.0, value + reach)


def of_quantile(durations: Histogram, quantile: float) -> tuple[float, float] | None:
    """Return the interval of a quantile in seconds, by its neighbours in rank; None when empty.

    Requests are taken as independent.

    Args:
        durations: What was measured.
        quantile: Which one, 0..1.
    """
    if not durations.total:
        return None
    reach = NORMAL * math.sqrt(quantile * (1 - quantile) / durations.total)
    low = durations.quantile_seconds(max(0.0, quantile - reach))
    high = durations.quantile_seconds(min(1.0, quantile + reach))
    return (low or 0.0), (high or 0.0)


def with_interval(
    check: CheckSpec, result: CheckResult, own: Window, spread: float | None = None
) -> CheckResult:
    """Return the result of a check by an absolute bound with its interval, where one is known.

    Args:
        check: The check.
        result: What was found.
        own: What was measured of the check's system.
        spread: How many times the variance of users' groups is that of independent requests; None
            where nothing is known of single groups.
    """
    # A ratio has an interval of its own kind; of an external number nobody knows how it was made.
    if check.is_to_baseline or check.is_external:
        return result
    if result.value is None or not result.samples:
        return result
    found = _interval(check, result, own, spread or 1.0)
    if found is None:
        return result
    low, high = found
    document: dict[str, Any] = {"of": "value", "low": low, "high": high}
    if spread is not None:
        document["spread"] = spread
    return replace(result, interval=document)


def _interval(
    check: CheckSpec, result: CheckResult, own: Window, spread: float
) -> tuple[float, float] | None:
    metric = check.measured
    if metric.quantile is not None:
        durations = own.durations if metric.source is Source.OUTCOME else own.latency
        return of_quantile(durations, metric.quantile)
    is_share = metric.unit == "share" and metric.source in UNITS
    # A similarity is a mean of numbers, not a share of events.
    if not is_share or check.metric == "similarity" or result.value is None:
        return None
    bound = max(check.bound_values)
    return of_share(result.value, result.samples, bound, max(1.0, spread))


def interval_of(check: Mapping[str, Any]) -> tuple[float, float, str] | None:
    """Return (low, high, of what) of a check's evidence; None where it has no interval.

    Args:
        check: Its evidence, as `CheckResult.as_evidence` gave it.
    """
    found = check.get("interval")
    return (found["low"], found["high"], found["of"]) if found else None
