"""How near a trigger is to firing, as one number that people and programs can compare. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from changeover.plan.triggers import TriggerSpec

MOST = 1000.0
"""Nearness of what is far beyond its bound; a bound of 0 would give infinity."""
_TOO_HIGH = ("above", "at_least", "ratio_to_baseline", "difference_to_baseline")


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
    found = _compared(spec, value, evidence)
    if found is None:
        return None
    if spec.bound_name == "between":
        return _between(found, *spec.bound_values)
    bound = spec.bound_values[0]
    if spec.bound_name in _TOO_HIGH:
        return _share(found, bound)
    metric = spec.measured
    # too low is bad: of what cannot rise above 1, how much of what may be missing is missing
    if metric.unit == "share" or metric.name == "up":
        return _share(1 - found, 1 - bound)
    return _share(bound, found)


def _compared(
    spec: TriggerSpec, value: float | None, evidence: Mapping[str, Any]
) -> float | None:
    """Return what the bound is compared with: the value, or how it stands to the baseline's."""
    if value is None or not spec.is_to_baseline:
        return value
    other = evidence.get("baseline_value")
    if other is None:
        return None
    if spec.bound_name == "difference_to_baseline":
        return value - float(other)
    # a ratio of nothing to nothing is none
    return value / float(other) if other else None


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
