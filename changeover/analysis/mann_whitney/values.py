"""Preparing a series for a comparison: missing values, outliers, and its summary. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, stdev


class NanStrategy(StrEnum):
    """What becomes of a minute without a value."""

    REMOVE = "remove"
    REPLACE = "replace"


class Outliers(StrEnum):
    """What becomes of a value far away from the others."""

    KEEP = "keep"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a series is prepared.

    Args:
        nan: Whether values that are not numbers are removed, or replaced by `replacement`.
        outliers: Whether outliers are kept or removed; replaced values may be outliers.
        factor: Interquartile ranges beyond the quartiles from which on a value is an outlier.
        is_lenient: Whether the middle 90 % of the values are never outliers.
        replacement: Value in the place of one that is not a number.
    """

    nan: NanStrategy = NanStrategy.REMOVE
    outliers: Outliers = Outliers.KEEP
    factor: float = 3.0
    is_lenient: bool = True
    replacement: float = 0.0


def prepare(values: Sequence[float], how: Preparation) -> list[float]:
    """Return a series without what is not a number, and without outliers where asked for."""
    if how.nan is NanStrategy.REMOVE:
        numbers = [each for each in values if not math.isnan(each)]
    else:
        numbers = [how.replacement if math.isnan(each) else each for each in values]
    if how.outliers is Outliers.KEEP:
        return numbers
    # Only now, with replaced values among them: they may be outliers as well.
    marks = far_from_quartiles(numbers, how.factor, is_lenient=how.is_lenient)
    kept = []
    for each, is_far in zip(numbers, marks, strict=True):
        if not is_far:
            kept.append(each)
    return kept


def far_from_quartiles(
    values: Sequence[float], factor: float, *, is_lenient: bool = True
) -> list[bool]:
    """Return for each value whether it is an outlier by the distance from the quartiles.

    Source: Tukey 1977, Exploratory Data Analysis.

    Args:
        values: Numbers only.
        factor: Interquartile ranges beyond the quartiles.
        is_lenient: Whether the middle 90 % are never outliers. Most values of a sparse series
            are equal, its quartiles too, and then everything else would be one.
    """
    if not values:
        return []
    low, high = percentile(values, 25), percentile(values, 75)
    distance = factor * (high - low)
    lowest, highest = low - distance, high + distance
    if is_lenient:
        lowest = min(lowest, percentile(values, 5))
        highest = max(highest, percentile(values, 95))
    return [not lowest <= each <= highest for each in values]


def far_from_mean(values: Sequence[float], deviations: float) -> list[bool]:
    """Return for each value whether it is more than so many standard deviations off the mean."""
    whole = summary(values)
    most = deviations * whole.deviation
    return [abs(each - whole.mean) > most for each in values]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, linear between the two nearest values.

    Source: Hyndman and Fan 1996, type 7.

    Args:
        values: At least one number.
        percent: 0..100.
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True, slots=True)
class Summary:
    """A series in five numbers; all are 0 when it is empty.

    Args:
        count: How many values.
        least: The smallest.
        most: The largest.
        mean: Their mean.
        deviation: Standard deviation of the sample; 0 for a single value.
    """

    count: int
    least: float
    most: float
    mean: float
    deviation: float


def summary(values: Sequence[float]) -> Summary:
    """Return the summary of a series of numbers."""
    if not values:
        return Summary(0, 0.0, 0.0, 0.0, 0.0)
    spread = stdev(values) if len(values) > 1 else 0.0
    return Summary(len(values), min(values), max(values), fmean(values), spread)
