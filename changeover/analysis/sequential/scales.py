"""How values become parts of a range, so that sums of them can be compared by evidence. Pure.

A value counts in hundredths of the range that the plan gives (`range: [0, 500]`); beyond its ends
it counts as the end, so that one enormous order decides nothing. Sizes of answers count by their
logarithms, which needs no range. The candidate's values lose the check's margin before: at the
margin both systems' parts have the same law then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import xxhash

from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import QUALITY, RESPONSE_BYTES

UNITS = 100
"""Parts of a range. What lies between two is rounded by chance, so that no mean is moved."""
MOST_LOG = 25.0
"""Logarithm of the largest answer, 72 GB."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How the values of one check count.

    Args:
        name: The metric, as `outcome.confidence`.
        low, high: The range; of logarithms where `is_log`.
        ratio: The margin: the candidate's values may be this many times the baseline's.
        added: The margin: they may be above the baseline's by this; below 0: under it.
        is_falling: Whether lower is worse.
        is_log: Whether the logarithm of 1 + value counts.
    """

    name: str
    low: float
    high: float
    ratio: float = 1.0
    added: float = 0.0
    is_falling: bool = False
    is_log: bool = False

    @property
    def events(self) -> str:
        """Name of the counter of the values' sum, in hundredths of the range."""
        return f"sum of {self._counted} less {self.ratio!r} {self.added!r}"

    @property
    def squares(self) -> str:
        """Name of the counter of the squares of what is summed; all of them in bucket 0.

        How much values vary is asked of all users together, so it need not be known by bucket.
        """
        return f"squares of {self.events}"

    @property
    def of(self) -> str:
        """Name of the counter of values."""
        return f"values of {self.name.removeprefix(QUALITY)}"

    @property
    def _counted(self) -> str:
        return f"{self.name.removeprefix(QUALITY)} {self.low!r} to {self.high!r}"

    def units(self, value: float, chance: float, *, is_candidate: bool) -> int:
        """Return what a value adds to the sum, 0 to 100.

        Args:
            value: In its own unit.
            chance: In [0, 1), from what names the value: rounds up that often.
            is_candidate: Whether it is the candidate's, whose values lose the margin.
        """
        # before the range cuts it off: else a value beyond its end would keep its margin
        if is_candidate:
            value = value / self.ratio - self.added
        if self.is_log:
            value = math.log1p(max(0.0, value))
        # rounded up as often as the rest says, so that the mean of many is right
        part = (value - self.low) / (self.high - self.low)
        return min(UNITS, int(min(1.0, max(0.0, part)) * UNITS + chance))

    def value(self, mean: float, *, is_candidate: bool) -> float:
        """Return the value that a mean of units stands for, in its own unit."""
        found = self.low + mean / UNITS * (self.high - self.low)
        if self.is_log:
            found = math.expm1(found)
        return (found + self.added) * self.ratio if is_candidate else found

    def margin(self, level: float) -> float:
        """Return how far the margin moves a mean, in units; above 0 in both directions.

        Args:
            level: The usual mean, in units.
        """
        # by the level, since a ratio moves a small value less than a large one
        usual = self.value(level, is_candidate=False)
        moved = self.value(level, is_candidate=True)
        if self.is_log:
            usual, moved = math.log1p(usual), math.log1p(max(0.0, moved))
        return abs(moved - usual) / (self.high - self.low) * UNITS


def scale_of(check: CheckSpec) -> Scale | None:
    """Return how the values of a check count; None where it is not about a mean by evidence."""
    if not check.is_of_mean:
        return None
    # a bound is written as people say it: 0.95 times, or 8 less
    bound, is_falling = check.bound_values[0], check.direction == "decrease"
    ratio, added = bound, 0.0
    if check.bound_name != "ratio_to_baseline":
        ratio, added = 1.0, -bound if is_falling else bound
    if check.metric == RESPONSE_BYTES:
        return Scale(check.metric, 0.0, MOST_LOG, ratio, added, is_falling, is_log=True)
    low, high = check.range or (0.0, 1.0)
    return Scale(check.metric, float(low), float(high), ratio, added, is_falling)


def chance_of(name: str) -> float:
    """Return a number in [0, 1) that a name always has, whichever system it was about."""
    # by the outcome's own name: reported twice, it is rounded the same way
    number: int = xxhash.xxh32_intdigest(name.encode("utf-8", "surrogatepass"), seed=2)
    return number / 2.0**32
