"""By how much one series lies above another: the rank test, its interval and its estimate. Pure."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from changeover.analysis.mann_whitney.effect import wins

FINE = 1e-9
"""Precision of a shift, as a share of the distance between the farthest values."""
MOST_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Shift:
    """By how much the candidate's values lie above the baseline's.

    Args:
        low: Lower end of the interval, in the metric's unit.
        estimate: The shift that the test finds most plausible.
        high: Upper end.
    """

    low: float
    estimate: float
    high: float


def normal_quantile(confidence: float) -> float:
    """Return how many deviations around the middle hold such a share, 0..1, of a normal law."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def z_score(baseline: Sequence[float], candidate: Sequence[float], shift: float) -> float:
    """Return by how many deviations the candidate, less a shift, ranks above the baseline.

    With corrections for ties and for continuity. It never rises with the shift.

    Source: Mann and Whitney 1947; the correction for ties: Lehmann 1975, section 1.4.

    Args:
        baseline: At least one number, in ascending order.
        candidate: At least one number.
        shift: What is taken off each value of the candidate.
    """
    n, m = len(candidate), len(baseline)
    together = Counter(baseline)
    together.update(each - shift for each in candidate)
    ties = sum(times**3 - times for times in together.values())
    both = n + m
    variance = n * m / 12 * (both + 1 - ties / (both * (both - 1)))
    difference = wins(baseline, candidate, shift) - n * m / 2
    # Equal ranks throughout: nothing to tell the two apart by.
    if variance <= 0 or not difference:
        return 0.0
    # U moves in steps, the normal law does not: half a step towards the middle.
    corrected = difference - math.copysign(0.5, difference)
    return corrected / math.sqrt(variance)


def shift_of(
    baseline: Sequence[float],
    candidate: Sequence[float],
    confidence: float,
    within: float | None = None,
) -> Shift:
    """Return the shift with its interval, by turning the test around.

    Source: Hodges and Lehmann 1963; Bauer 1972.

    Args:
        baseline: At least one number.
        candidate: At least one number.
        confidence: Of the interval, two-sided, 0..1.
        within: Precision of the three values, in the metric's unit; None is fine enough for all.
    """
    ordered = sorted(baseline)
    least = min(candidate) - ordered[-1]
    most = max(candidate) - ordered[0]
    fine = FINE * (most - least) if within is None else within
    quantile = normal_quantile(confidence)

    def crossing(level: float) -> float:
        """Return where the test's score falls to a level."""
        def above(shift: float) -> float:
            return z_score(ordered, candidate, shift) - level

        # With few values no shift is excluded: the interval is all that was seen.
        if above(least) <= 0:
            return least
        if above(most) >= 0:
            return most
        found = root(above, least, most, fine)
        # A shift that cannot be told from 0 is 0: its sign would be an accident of the search.
        return 0.0 if within is None and abs(found) <= fine else found

    return Shift(crossing(quantile), crossing(0), crossing(-quantile))


@dataclass(slots=True)
class _Bracket:
    """Two places between which a function changes its sign, and the place before the last."""

    best: float
    value: float
    before: float
    before_value: float
    other: float
    other_value: float

    def order(self) -> None:
        """Make the place with the smaller value the best one."""
        if abs(self.other_value) < abs(self.value):
            self.before, self.before_value = self.best, self.value
            self.best, self.value = self.other, self.other_value
            self.other, self.other_value = self.before, self.before_value

    def interpolated(self, smallest: float) -> float | None:
        """Return the step to where a line or a parabola meets 0; None when it is not safe."""
        last = self.best - self.before
        if abs(last) < smallest or abs(self.before_value) <= abs(self.value):
            return None
        width = self.other - self.best
        s = self.value / self.before_value
        # Two places give a line, three a parabola through them (read the other way round).
        if self.before == self.other:
            p, q = width * s, 1 - s
        else:
            r = self.value / self.other_value
            t = self.before_value / self.other_value
            p = s * (width * t * (t - r) - last * (r - 1))
            q = (t - 1) * (r - 1) * (s - 1)
        # p is the step's size, q has its sign.
        p, q = (p, -q) if p > 0 else (-p, q)
        # Brent's limits: well inside the bracket, and half as far as the step before the last.
        is_inside = p < 0.75 * width * q - abs(smallest * q) / 2
        return p / q if is_inside and p < abs(last * q / 2) else None

    def move(self, step: float, function: Callable[[float], float]) -> None:
        """Go one step on, and keep the change of sign between the two places."""
        self.before, self.before_value = self.best, self.value
        self.best += step
        self.value = function(self.best)
        if self.value * self.other_value > 0:
            self.other, self.other_value = self.before, self.before_value


def root(function: Callable[[float], float], low: float, high: float, within: float) -> float:
    """Return where a function crosses 0.

    Source: Brent 1973, Algorithms for Minimization without Derivatives, chapter 4.

    Args:
        function: Its values at `low` and `high` have different signs.
        low: Lower end of where to search.
        high: Upper end.
        within: How far off the answer may be.
    """
    start = function(low)
    bracket = _Bracket(high, function(high), low, start, low, start)
    for _ in range(MOST_STEPS):
        bracket.order()
        # No finer than numbers of this size can be told apart.
        smallest = 2 * sys.float_info.epsilon * abs(bracket.best) + within / 2
        half = (bracket.other - bracket.best) / 2
        if abs(half) <= smallest or not bracket.value:
            break
        step = bracket.interpolated(smallest) or half
        if abs(step) < smallest:
            step = math.copysign(smallest, step)
        bracket.move(step, function)
    return bracket.best
