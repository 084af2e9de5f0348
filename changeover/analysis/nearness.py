"""How near a trigger is to firing, as one number that people and programs can compare. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from changeover.plan.conditions import Condition
from changeover.plan.triggers import TriggerSpec

MOST = 1000.0
"""Nearness of what is far beyond its bound; a bound of 0 would give infinity."""
_TOO_HIGH = ("above", "at_least")


def nearness(
    spec: TriggerSpec, value: float | None, evidence: Mapping[str, Any]
) -> float | None:
    """Return how near a trigger's condition is to being true: 1 is at its bound, more is beyond.

    Args:
        spec: The trigger.
        value: Its newest value in base units; None when there is none.
        evidence: What stands behind it, as the observer saves it.

    Returns:
        0 to `MOST`; None while nobody knows.
    """
    if spec.budget is not None:
        least = min(each.burn for each in spec.burning)
        return _share(evidence.get("burn"), least)
    if spec.is_sequential:
        weighed = evidence.get("evidence") or {}
        # evidence below 0 speaks for the candidate
        return _share(weighed.get("log_worse"), weighed.get("log_bar"))
    return of_value(spec, value, evidence.get("baseline_value"))


def of_value(
    spec: Condition, value: float | None, baseline: float | None, *,
    is_high_near: bool | None = None,
) -> float | None:
    """Return which part of the way to its bound a value has gone, as `nearness` does.

    Args:
        spec: A trigger, or a check.
        value: In base units; None when there is none.
        baseline: The baseline's at the same time, for bounds that are relative to it.
        is_high_near: Of a check: whether it fails by high values. None: by the bound, as a
            trigger says it.

    Returns:
        0 to `MOST`; None where it cannot be said.
    """
    if value is None:
        return None
    if spec.is_to_baseline:
        return _to_baseline(spec, value, baseline)
    if spec.bound_name == "between":
        # a check is good within a range, on both sides of which it fails: that is no one way
        return None if is_high_near is not None else _between(value, *spec.bound_values)
    bound = spec.bound_values[0]
    if is_high_near is None:
        is_high_near = spec.bound_name in _TOO_HIGH
    if is_high_near:
        return _share(value, bound)
    metric = spec.measured
    # too low is bad: of what cannot rise above 1, how much of what may be missing is missing
    if metric.unit == "share" or metric.name == "up":
        return _share(1 - value, 1 - bound)
    return _share(bound, value)


def _to_baseline(spec: Condition, value: float, baseline: float | None) -> float | None:
    """Return which part of the way from the baseline to its bound a value has gone."""
    bound = spec.bound_values[0]
    if baseline is None:
        return None
    if spec.bound_name == "difference_to_baseline":
        worse = baseline - value if spec.is_falling else value - baseline
        return _share(worse, bound)
    # a ratio to nothing is none
    if baseline <= 0:
        return None
    ratio = value / baseline
    if spec.is_falling:
        return _share(1 - ratio, 1 - bound) if bound < 1 else _share(bound, ratio)
    # the way begins where both are the same: else a healthy candidate is near every small ratio
    return _share(ratio - 1, bound - 1) if bound > 1 else _share(ratio, bound)


def _between(value: float, low: float, high: float) -> float | None:
    """Return how near a value is to a range that it must not be in."""
    if value < low:
        return _share(value, low)
    return 1.0 if value <= high else _share(high, value)


def _share(value: float | None, bound: float | None) -> float | None:
    """Return value / bound within 0 and `MOST`."""
    if value is None or bound is None:
        return None
    if bound <= 0:
        # there is no part of the way to a bound of 0: it is passed, or nothing is wrong
        return MOST if value > bound else 0.0
    return max(0.0, min(MOST, value / bound))
