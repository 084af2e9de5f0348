"""In which steps of a long time a trigger's condition may be true. Pure.

Months have hundreds of thousands of minutes, and a condition is true in few of them. Sums of whole
columns say where it is certainly not true or not known; everywhere else the trigger's own function
decides. Nothing is decided here: what is excluded here, that function calls not true as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from changeover.analysis.check import needed_samples
from changeover.analysis.histogram import BINS_PER_DECADE, bin_of
from changeover.analysis.window import GATEWAY, SHADOW, ErrorClass
from changeover.plan.conditions import Condition
from changeover.plan.metrics import CPU_PER_REQUEST, THROUGHPUT, Source
from changeover.plan.statuses import WITH_STATUS, has_status
from changeover.plan.triggers import TriggerSpec

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]
Row = Mapping[str, Any]
Column = Callable[[Row], float]
MOST_BINS = 20 * BINS_PER_DECADE
"""Bins that a histogram can have: no request takes 10**20 microseconds."""
SLACK = 1e-6
"""Share by which a rounded sum may be off; what is that near is left to the trigger's function."""


_UNCOUNTED = (THROUGHPUT, CPU_PER_REQUEST)
"""Metrics that no two sums tell: the trigger's own function decides everywhere."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The two numbers of each row that tell of a metric.

    Args:
        rows: Name of the rows: None for the system's own, or the gateway's or the comparisons'.
        number: What is divided.
        of: By what: the observations.
        fields: Returns the fields of a window of which both numbers are the sums, where these two
            are all that the metric is measured by.
    """

    rows: str | None
    number: Column
    of: Column
    fields: Callable[[int, int], dict[str, Any]] | None = None


def reading_of(spec: Condition) -> Reading | None:
    """Return what rows tell of a condition's metric; None where outcomes' own sums do."""
    found = _whole(spec)
    if found is None or spec.subset is None or not spec.is_of_requests:
        return found
    # A subset's numbers stand in the row of all requests; where it was not counted, nothing does.
    number = _inside(spec.subset, found.number)
    return replace(found, number=number, of=_inside(spec.subset, found.of))


def _whole(spec: Condition) -> Reading | None:
    """Return what rows tell of a metric of all requests."""
    if spec.measured.source is Source.OUTCOME:
        return None
    if spec.measured.quantile is not None:
        return Reading(None, _beyond(_edge(spec)), _all_timed)
    if spec.metric in ("memory", "cpu"):
        name = {"memory": "memory_bytes", "cpu": "cpu_cores"}[spec.metric]
        return Reading(None, _extreme(spec, name), lambda row: float(name in row))
    if spec.metric in _UNCOUNTED:
        return Reading(None, _field("requests"), _field("requests"))
    if spec.metric in WITH_STATUS:
        return _answered(list(spec.status or []))
    return _READINGS[spec.metric]


def _inside(subset: str, read: Column) -> Column:
    def found(row: Row) -> float:
        own = row.get("subsets", {}).get(subset)
        if own is None:
            return 0.0
        # Whoever watched all requests watched these, too.
        return read(own | {"watched": row.get("watched", 0)})

    return found


def _all_timed(row: Row) -> float:
    return float(sum(row["latency"].values())) if "latency" in row else 0.0


def _answered(named: list[str]) -> Reading:
    """Return the reading of the share of some statuses."""
    def count(row: Row) -> float:
        answered = 0
        for code, number in row.get("statuses", {}).items():
            if has_status(code, named):
                answered += number
        return float(answered)

    # One code stands for all that are named: `5xx` is asked about again as `500`.
    code = named[0].replace("x", "0")

    def fields(number: int, total: int) -> dict[str, Any]:
        return {"statuses": {code: number}, "requests": total}

    return Reading(None, count, _field("requests"), fields)


def may_hold(
    spec: TriggerSpec, own: tuple[Reals, Reals], other: tuple[Reals, Reals] | None, *,
    seconds: float,
) -> Flags:
    """Return for each window whether the trigger's condition may be true in it.

    Args:
        spec: The trigger.
        own: Of its system, the windows' sums of both numbers of `reading_of`.
        other: Of the baseline, for a bound relative to it.
        seconds: Length of the windows.
    """
    needed = needed_samples(spec, seconds)
    number, of = own
    is_known: Flags = of >= needed
    metric = spec.measured
    if metric.quantile is not None:
        return is_known & _may_quantile(spec, number, of, metric.quantile)
    if spec.metric in _UNCOUNTED:
        return np.ones(len(of), np.bool_)
    if spec.metric in ("memory", "cpu"):
        # Of readings on both sides of a range the mean may lie within it.
        return is_known if spec.bound_name == "between" else is_known & (number > 0)
    # Windows without requests divide by zero: what comes out is not known, and left out below.
    with np.errstate(divide="ignore", invalid="ignore"):
        value = number / of
        if not spec.is_to_baseline:
            return is_known & _may_be(spec, value)
        if other is None:
            return np.zeros(len(of), np.bool_)
        theirs = other[0] / other[1]
        return is_known & (other[1] >= needed) & _may_exceed(spec, value, theirs)


def rolled(values: Reals, width: int) -> Reals:
    """Return at each step the sum of it and of the `width - 1` steps before it."""
    # Differences of running sums: each window costs the same, however long it is.
    total = np.concatenate([[0.0], np.cumsum(values)])
    steps = np.arange(1, len(total))
    found: Reals = total[steps] - total[np.maximum(0, steps - width)]
    return found


def _may_be(spec: Condition, value: Reals) -> Flags:
    low, *rest = spec.bound_values
    # Counts and their quotients are exact; what is no count is added up in another order here.
    is_exact = spec.measured.source is not Source.PROCESS and spec.metric != "similarity"
    slack = 0.0
    if not is_exact:
        slack = SLACK * max(map(abs, spec.bound_values)) + 1e-12
    found: Flags
    if spec.bound_name == "between":
        found = (value >= low - slack) & (value <= rest[0] + slack)
    elif spec.bound_name == "below":
        found = (value < low) | (value <= low + slack if slack else False)
    elif spec.bound_name == "at_most":
        found = value <= low + slack
    elif spec.bound_name == "above":
        found = (value > low) | (value >= low - slack if slack else False)
    else:
        found = value >= low - slack
    return found


def _may_exceed(spec: TriggerSpec, value: Reals, other: Reals) -> Flags:
    """Where the bound relative to the baseline may be exceeded: then the trigger's is true."""
    bound = spec.bound_values[0]
    if spec.is_falling:
        is_ratio = spec.bound_name == "ratio_to_baseline"
        least = other * bound if is_ratio else other - bound
        lower: Flags = value <= least + SLACK * np.abs(least) + 1e-12
        return lower
    limit = other * bound if spec.bound_name == "ratio_to_baseline" else other + bound
    found: Flags = value >= limit - SLACK * np.abs(limit) - 1e-12
    return found


def _may_quantile(spec: TriggerSpec, beyond: Reals, of: Reals, quantile: float) -> Flags:
    """Where the quantile may lie at or beyond the edge that requests were counted from."""
    # Long requests were counted; of a bound from above they tell nothing.
    if spec.bound_name not in ("above", "at_least", "between"):
        return np.ones(len(of), np.bool_)
    rank = np.maximum(1.0, np.ceil(quantile * of))
    found: Flags = of - beyond < rank
    return found


def _edge(spec: Condition) -> int:
    """Return the bin from which on requests are counted as long; one lower, for rounding."""
    if spec.is_to_baseline:
        return 0
    return max(0, bin_of(math.floor(spec.bound_values[0] * 1e6)) - 1)


@cache
def _beyond(edge: int) -> Column:
    # As texts, like a row's keys: no number is made of them a million times.
    long = frozenset(str(each) for each in range(edge, MOST_BINS))

    def count(row: Row) -> float:
        if "latency" not in row:
            return 0.0
        latency, total = row["latency"], 0
        # Histograms are stored sorted by bin: the first short one ends it.
        for name in reversed(latency):
            if name not in long:
                break
            total += latency[name]
        return float(total)

    return count


def _extreme(spec: Condition, name: str) -> Column:
    """Return 1 for a row that is itself beyond the bound: a window's mean or most may be then."""
    def count(row: Row) -> float:
        value = row.get(name)
        if value is None:
            return 0.0
        if spec.is_to_baseline:
            return 1.0
        return float(_may_be(spec, np.array([float(value)]))[0])

    return count


# One function for each name, so that columns that are the same are read only once.
@cache
def _field(name: str) -> Column:
    def read(row: Row) -> float:
        return float(row.get(name, 0))

    return read


def _all_errors(row: Row) -> float:
    return float(sum(row.get("errors", {}).values()))


def _server_errors(row: Row) -> float:
    return float(row.get("errors", {}).get(str(ErrorClass.STATUS_5XX), 0))


def _diverged(row: Row) -> float:
    return float(row.get("compared", 0) - row.get("matched", 0))


def _counted(name: str, of: str) -> Reading:
    """Return the reading of a share of two fields that are counts."""
    def fields(number: int, total: int) -> dict[str, Any]:
        return {name: number, of: total}

    return Reading(None, _field(name), _field(of), fields)


def _failed(count: Column) -> Reading:
    """Return the reading of a share of errors; they are of one class as well as of many."""
    def fields(number: int, total: int) -> dict[str, Any]:
        return {"errors": {str(ErrorClass.STATUS_5XX): number}, "requests": total}

    return Reading(None, count, _field("requests"), fields)


_COMPARED = _field("compared")
_READINGS = {
    "error_rate": _failed(_all_errors),
    "server_error_rate": _failed(_server_errors),
    "user_error_rate": _counted("user_errors", "requests"),
    "client_error_rate": _counted("client_errors", "requests"),
    "redirect_rate": _counted("redirects", "requests"),
    "empty_rate": _counted("empty_answers", "answers"),
    "response_bytes": _counted("answer_bytes", "answers"),
    "request_rate": _counted("requests", "watched"),
    "up": _counted("probes_up", "probes"),
    "refused_rate": Reading(
        GATEWAY, _all_errors, _field("requests"),
        lambda number, total: {"refused": {"any": number}, "arrived": total}),
    "similarity": Reading(SHADOW, _field("similarity"), _COMPARED),
    "match_rate": Reading(
        SHADOW, _field("matched"), _COMPARED,
        lambda number, total: {"matched": number, "compared": total}),
    "divergence_rate": Reading(
        SHADOW, _diverged, _COMPARED,
        lambda number, total: {"matched": total - number, "compared": total}),
}
