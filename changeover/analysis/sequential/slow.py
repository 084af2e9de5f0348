"""When a request is slow: a quantile against the baseline as a share of slow requests. Pure.

"The candidate's p95 is at most 1.1 times the baseline's" becomes: of the candidate's requests no
more take longer than 1.1 c than of the baseline's take longer than c. With c the baseline's own
p95, both shares are 5 % at the margin. c is frozen before the stage, so that it depends on nothing
that the stage shows.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from changeover.analysis.histogram import Histogram, bin_of, bounds_of
from changeover.domain.slices import OF_SUBSET, SlowBound
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS

MOST_BEYOND = 10
"""Requests beyond the quantile that must be known before a bound is taken from them."""
FEWEST_REQUESTS = 200
DURATION_SPREAD = 0.65
"""Standard deviation of the logarithm of durations, where it is guessed."""


def condition_of(check: CheckSpec) -> str:
    """Return what a check asks, as the name of its bound: `latency_p95 ratio_to_baseline 1.1`."""
    asked = f"{check.measured.name} {check.bound_name} {check.bound_values[0]:g}"
    return asked + (f"{OF_SUBSET}{check.subset}" if check.subset else "")


def is_timed(check: CheckSpec) -> bool:
    """Whether a check is judged by shares of slow requests."""
    return check.is_sequential and METRICS[check.metric].quantile is not None


def needed_requests(check: CheckSpec) -> int:
    """Return how many requests of the baseline must be known before the bound can be frozen."""
    quantile = METRICS[check.metric].quantile or 0.0
    return max(FEWEST_REQUESTS, math.ceil(MOST_BEYOND / (1 - quantile)))


def bound_of(check: CheckSpec, baseline: Histogram) -> SlowBound | None:
    """Return from which duration on requests are slow; None while too few are known.

    Args:
        check: A check for which `is_timed` holds.
        baseline: Durations of the baseline while it served everyone.
    """
    quantile = METRICS[check.metric].quantile
    if quantile is None or baseline.total < needed_requests(check):
        return None
    seconds = baseline.quantile_seconds(quantile) or 0.0
    edge = math.ceil(bounds_of(bin_of(round(seconds * 1e6)))[1])
    margin = check.bound_values[0]
    with_margin = edge * margin if check.bound_name == "ratio_to_baseline" else edge + margin * 1e6
    return SlowBound(condition_of(check), edge, round(with_margin))


def slow_times(quantile: float, margin: float, slower: float) -> float:
    """Return how many times as frequent requests beyond the bound are, margin on top.

    Durations are taken as log-normal with a sigma of 0.65.

    Args:
        quantile: The quantile that is compared, 0..1.
        margin: How many times the baseline's quantile the candidate's may be.
        slower: How many times as long the candidate's durations are.
    """
    law = NormalDist()
    beyond = law.inv_cdf(quantile) + math.log(margin / slower) / DURATION_SPREAD
    return (1 - law.cdf(beyond)) / (1 - quantile)
