"""Is the mean of a number worse than the margin allows? Evidence from sums by bucket. Pure.

A value becomes a part of its range, 0 to 1, and the candidate's lose their margin first (a value of
an order is divided by 0.95). So at the margin both systems' values have the same law, whatever it
is, and only the split is chance. For any numbers T that depend on sums over both systems,

    e^T of the candidate's buckets / (1 − q + q e^T)

then has a mean of at most 1, as it has for counts (`e_values`): nothing in that proof asks whether
what is summed are events or parts of events. The choice of T only makes the value large where there
is harm: it is the normal likelihood ratio of a shift, given what each bucket's own past foresees.
The normal law is never relied on. Exact at each single reading; over time it was measured, not
proven, and is therefore charged double, as the tilt of counts is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from changeover.analysis.sequential.buckets import Counts, Reals, Split
from changeover.analysis.sequential.e_values import MOST_TILT, log_mean, log_product
from changeover.analysis.sequential.scales import UNITS, Scale

FEWEST_PAST_VALUES = 200
"""With fewer values the past says too little of the usual level and spread."""
FEWEST_WITHIN = 30
"""Values beyond the first of their bucket without which the spread within is not estimated."""
FEWEST_PAIRS = 10
"""Buckets with values before and in the stage without which no change of habits is estimated."""
LEAST_VARIANCE = 0.25
"""Variance of a value in squared units that rounding alone may make."""
HARMS = (0.5, 1.0, 2.0, 5.0)
"""Shifts beyond the margin that are looked for, in margins."""
GAINS = (0.5, 1.0, 1.5)
"""Shifts inside it: a candidate like the baseline is one margin inside."""
WEIGHT = 0.5
"""What is left to 1 is the price of reading it at any time."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values that a question is about.

    Args:
        scale: How they count, and which way is worse.
        within: Variance of one value around its bucket's mean, in squared units.
    """

    scale: Scale
    within: float


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is foreseen of each bucket: a normal law of its mean, and of single values around it.

    Args:
        means: Mean of each bucket, shape (10_000,), in units of the sums.
        between: Variance of what is not known of each bucket's mean, shape (10_000,).
        within: Variance of one value around its bucket's mean.
        level: Mean over all buckets.
    """

    means: Reals
    between: Reals
    within: float
    level: float


def foresee(
    counts: Counts, past: Counts, within: float, usual: tuple[float, float] | None = None
) -> Foreseen:
    """Return what is foreseen of each bucket's mean.

    Only sums over both systems are used, so that nothing here depends on the split.

    Args:
        counts: Number and sum of the stage's values.
        past: Those of the time before it.
        within: Variance of one value around its bucket's mean (`within_of`).
        usual: Mean and variance of the buckets' means, where the past tells them and they are
            known already.
    """
    # a past that is too short is lengthened by both systems together, never by one
    known = past if is_known(past) else past + counts
    usual_mean, between = usual or usual_of(known, within)
    # a bucket without a past has weight 0 below; here it must only not divide by 0
    number = np.maximum(past.requests, 1).astype(np.float64)
    # how far a bucket's past mean may be from its mean in the stage
    off = within / number + _drift(counts, past, within)
    # its own past, shrunk towards the usual by how little buckets differ
    own = np.where(past.requests > 0, between / (between + off), 0.0)
    means: Reals = usual_mean + own * (past.events / number - usual_mean)
    unknown: Reals = np.where(past.requests > 0, own * off, between)
    level = float(known.events.sum() / max(1, known.requests.sum()))
    return Foreseen(means, unknown, within, level)


def is_known(past: Counts) -> bool:
    """Whether the past has enough values to tell level and spread without the stage."""
    return bool(past.requests.sum() >= FEWEST_PAST_VALUES)


def within_of(counts: Counts, past: Counts, squares: float) -> float:
    """Return the variance of single values around the mean of their bucket and time.

    Source: the mean square within groups of an analysis of variance. A shift of one system's
    mean is between the groups, so that it does not grow with what is looked for.

    Args:
        counts: Number and sum of the stage's values.
        past: Those of the time before it.
        squares: Sum of all values' squares, of both times.
    """
    explained, freedom = 0.0, 0
    for each in (counts, past):
        # a bucket without values explains nothing and has no freedom
        used = each.requests > 0
        number, total = each.requests[used], each.events[used].astype(np.float64)
        explained += float((total * total / number).sum())
        # each bucket's mean costs one
        freedom += int(number.sum()) - len(number)
    if freedom < FEWEST_WITHIN:
        both = counts + past
        level = float(both.events.sum() / max(1, both.requests.sum()))
        # no law of values from 0 to 100 with this mean has more
        return max(LEAST_VARIANCE, level * (UNITS - level))
    return max(LEAST_VARIANCE, (squares - explained) / freedom)


def usual_of(known: Counts, within: float) -> tuple[float, float]:
    """Return the mean of the buckets' means, and their variance beyond what chance makes."""
    used = known.requests > 0
    if not used.any():
        return 0.0, 0.0
    number = known.requests[used].astype(np.float64)
    return _spread(known.events[used] / number, within / number)


def _drift(counts: Counts, past: Counts, within: float) -> float:
    """Return the variance of what each bucket's mean has changed since the past, beyond chance.

    Habits change. Who takes them for fixed calls every change of a few busy users a sign.
    """
    used = (counts.requests > 0) & (past.requests > 0)
    if np.count_nonzero(used) < FEWEST_PAIRS:
        return 0.0
    number, before = counts.requests[used], past.requests[used]
    change = counts.events[used] / number - past.events[used] / before
    return _spread(change, within / number + within / before)[1]


def _spread(values: Reals, by_chance: Reals) -> tuple[float, float]:
    """Return the mean of buckets' values, and their variance beyond what chance makes of each.

    Exact ones weigh more, but none much more than the usual one: a single busy user says nothing
    of how users differ.
    """
    # the median keeps one very busy bucket from counting for all
    weight = 1 / (by_chance + float(np.median(by_chance)))
    usual = float((weight * values).sum() / weight.sum())
    spread = (values - usual) ** 2 - by_chance
    return usual, max(0.0, float((weight * spread).sum() / weight.sum()))


def shifted(
    counts: Counts, foreseen: Foreseen, split: tuple[NDArray[np.bool_], float],
    shifts: Sequence[float],
) -> Reals:
    """Return the logarithms of the e-values of shifts of the candidate's mean, shape (n_shifts,).

    Without any value they are 0: nothing was learned.

    Args:
        counts: Number and sum of the stage's values.
        foreseen: What is foreseen of each bucket.
        split: Whether each bucket is the candidate's, shape (10_000,), and its share, 0..1.
        shifts: How far the candidate's mean may be shifted, in units of the sums.
    """
    is_candidate, share = split
    # only buckets with values have a factor that is not 1
    used = np.flatnonzero(counts.requests)
    if not len(used):
        return np.zeros(len(shifts))
    number = counts.requests[used].astype(np.float64)
    spread = foreseen.within + foreseen.between[used] * number
    residual = counts.events[used] - foreseen.means[used] * number
    # What happened to everybody at once (a sale, the hour of the day) is taken out.
    residual -= number * ((residual / spread).sum() / (number / spread).sum())
    mine = is_candidate[used]
    found = []
    for shift in shifts:
        # the level of everybody has the candidate's part of the shift in it
        tilt = shift * (residual - (0.5 - share) * shift * number) / spread
        tilt = np.clip(tilt, -MOST_TILT, MOST_TILT)
        factors = 1 - share + share * np.exp(tilt)
        found.append(float(tilt[mine].sum()) - log_product(factors))
    return np.array(found)


def weigh_mean(
    counts: Counts, past: Counts, split: Split, values: Values
) -> tuple[float, float, Foreseen]:
    """Return the logarithms of the e-values of harm and of being inside the margin.

    Args:
        counts: Number and sum of the stage's values, the candidate's without the margin.
        past: Those of the time before it.
        split: The stage's split.
        values: How they count, which way is worse, and how much they vary.
    """
    foreseen = foresee(counts, past, values.within)
    step = _worse_step(values, foreseen)
    shares = split.is_candidate, split.share
    better = log_mean(shifted(counts, foreseen, shares, [-step * each for each in GAINS]))
    return _worse(counts, foreseen, split, step), better, foreseen


def worse_since(
    later: Iterable[Counts], past: Counts, split: Split, values: Values
) -> list[float]:
    """Return the logarithms of the e-values of harm since each of some later starts.

    Args:
        later: Number and sum of the values since each start.
        past: Those of the time before the stage.
        split: The stage's split.
        values: How they count, which way is worse, and how much they vary.
    """
    usual = usual_of(past, values.within) if is_known(past) else None
    found = []
    for counts in later:
        foreseen = foresee(counts, past, values.within, usual)
        found.append(_worse(counts, foreseen, split, _worse_step(values, foreseen)))
    return found


def _worse_step(values: Values, foreseen: Foreseen) -> float:
    """Return the margin in units, in the direction that is worse."""
    step = values.scale.margin(foreseen.level)
    return -step if values.scale.is_falling else step


def _worse(counts: Counts, foreseen: Foreseen, split: Split, step: float) -> float:
    shares = split.is_candidate, split.share
    worse = log_mean(shifted(counts, foreseen, shares, [step * each for each in HARMS]))
    return worse + math.log(WEIGHT)


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the candidate's mean is from the baseline's, without the margin, in units.

    Args:
        value: The estimate; own past taken out.
        error: Its standard error.
    """

    value: float
    error: float


def gap_of(
    counts: Counts, past: Counts, within: float, chosen: NDArray[np.bool_]
) -> Gap | None:
    """Return the gap between the two systems' means; None where one has no value.

    The variance is that of the buckets' sums around what their own past foresees.

    Args:
        counts: Number and sum of the stage's values.
        past: Those of the time before it.
        within: Variance of one value around its bucket's mean.
        chosen: Whether each bucket is the candidate's.
    """
    foreseen = foresee(counts, past, within)
    mine = _level(counts, foreseen, chosen)
    theirs = _level(counts, foreseen, ~chosen)
    if mine is None or theirs is None:
        return None
    return Gap(mine[0] - theirs[0], math.sqrt(mine[1] + theirs[1]))


def _level(
    counts: Counts, foreseen: Foreseen, chosen: NDArray[np.bool_]
) -> tuple[float, float] | None:
    """Return how far a system's mean is above what is foreseen, and the variance of that."""
    used = np.flatnonzero(chosen & (counts.requests > 0))
    if not len(used):
        return None
    number = counts.requests[used].astype(np.float64)
    weight = 1 / (foreseen.within + foreseen.between[used] * number)
    total = float((weight * number).sum())
    residual = counts.events[used] - foreseen.means[used] * number
    level = float((weight * residual).sum()) / total
    # around the system's own level: a shift of its mean is no spread
    residual -= level * number
    # the law's own variance is the least: few buckets alike by chance are no certainty
    squares = max(float((weight * residual) @ (weight * residual)), total)
    return level, squares / total**2
