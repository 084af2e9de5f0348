"""Simulated stages of values: sticky users of very different means, and heavy tails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from changeover.analysis.sequential.scales import UNITS, scale_of
from changeover.analysis.sequential.slices import REPORTED_TO, Counter, Slice
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.routing import BUCKETS
from changeover.plan.conditions import CheckSpec

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HALF = 5000


def check(**more: object) -> CheckSpec:
    """Return a check of the order value: at most 5 % lower, unless another bound is given."""
    bound = {"ratio_to_baseline": 0.95, "direction": "decrease", "range": [0, 500]}
    return CheckSpec.model_validate({"metric": "outcome.order_value", **(bound | more)})


def values_slice(
    asked: CheckSpec, times: float = 1.0, *, weight: int = HALF, seed: int = 1, each: float = 4,
) -> Slice:
    """Return an hour of outcomes in which the candidate's values are `times` the baseline's.

    Args:
        asked: The check that they are counted for.
        times: What the candidate does to values.
        weight: Buckets of the candidate; 0: everyone is on the baseline.
        seed: Of the hour; users are the same in each.
        each: Values of the usual bucket.
    """
    scale = scale_of(asked)
    assert scale is not None
    users = np.random.default_rng(7)
    means, busy = users.lognormal(4, 0.5, BUCKETS), users.lognormal(0, 1, BUCKETS)
    chance = np.random.default_rng(seed)
    number = chance.poisson(busy * each)
    owner = np.repeat(np.arange(BUCKETS), number)
    value = scale.high / 500 * means[owner] * chance.lognormal(0, 0.8, len(owner))
    is_mine = owner < weight
    value = np.where(is_mine, value * times / scale.ratio - scale.added, value)
    part = np.clip((value - scale.low) / (scale.high - scale.low), 0, 1)
    units = np.minimum(UNITS, (part * UNITS + chance.uniform(size=len(owner))).astype(np.int64))
    return slice_of(asked, owner, units, weight)


def slice_of(
    asked: CheckSpec, owner: np.ndarray, units: np.ndarray, weight: int = HALF,
) -> Slice:
    """Return an hour with these values, in units, of the buckets `owner`."""
    scale = scale_of(asked)
    assert scale is not None
    squares = np.zeros(BUCKETS, np.int64)
    squares[0] = (units * units).sum()
    number = np.bincount(owner, minlength=BUCKETS).astype(np.int64)
    return Slice(weight, 0, 3600, {
        Counter.REQUESTS: number, scale.of: number, scale.squares: squares,
        scale.events: np.bincount(owner, units, BUCKETS).astype(np.int64),
    }, gateway=REPORTED_TO)


def stage(*hours: Slice, past: Slice, checks: int = 1) -> StageSums:
    """Return a stage of these hours after a time of the baseline."""
    return StageSums(hours[0].weight, hours, past, NOON, NOON + timedelta(hours=len(hours)), checks)
