"""How soon a stage's checks would tell harm, and how often they would pass health. Pure.

Futures are drawn with a fixed seed: each bucket goes on asking, and failing, as it did in the past,
and the split is drawn anew each time. Then the checks are judged as they would be in the stage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from changeover.analysis.sequential.buckets import Counts, Reals, Split
from changeover.analysis.sequential.evidence import Question, weigh
from changeover.analysis.sequential.expected import expect
from changeover.analysis.sequential.judging import LOG_PASS
from changeover.analysis.sequential.starts import log_bar
from changeover.domain.routing import BUCKETS

FUTURES = 60
POINTS = 12
"""Times at which each future is looked at, closer together at its start."""
SEED = 1
USER_SPREAD = 1.5
"""Standard deviation of the logarithm of users' request rates, where nothing was measured."""
USER_HABIT = 0.1
"""First parameter of the Beta law of users' shares of bad requests, where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What each bucket is expected to do.

    Args:
        per_second: Requests a second of each bucket, shape (10_000,).
        bad: Share of them that is bad, shape (10_000,).
        past: Sums of the time that this was learned from.
    """

    per_second: Reals
    bad: Reals
    past: Counts


def measured(past: Counts, seconds: float) -> Habits:
    """Return the habits that the past shows.

    Args:
        past: What buckets did while everyone was on the baseline.
        seconds: How long that was.
    """
    rates: Reals = past.requests.astype(np.float64) / max(1.0, seconds)
    return Habits(rates, expect(past, past).shares, past)


def stated(per_second: float, users: int, share: float, *, seconds: float = 3600) -> Habits:
    """Return the habits of users of whom only the sums are known.

    Args:
        per_second: Requests a second, of all users.
        users: How many there are.
        share: Usual share of bad requests, above 0.
        seconds: How long everyone will have been watched before the first stage.
    """
    random = np.random.default_rng(SEED)
    rates = np.exp(random.normal(0, USER_SPREAD, users))
    rates *= per_second / rates.sum()
    habits = random.beta(USER_HABIT, USER_HABIT * (1 - share) / share, users)
    habits *= share * per_second / max(1e-12, float((habits * rates).sum()))
    buckets = random.integers(0, BUCKETS, users)
    total = np.bincount(buckets, rates, BUCKETS).astype(np.float64)
    bad = np.bincount(buckets, rates * np.minimum(habits, 1.0), BUCKETS)
    shares = np.divide(bad, total, out=np.zeros(BUCKETS), where=total > 0)
    requests = random.poisson(total * seconds)
    past = Counts(requests.astype(np.int64), random.binomial(requests, np.minimum(shares, 1.0)))
    return Habits(total, shares, past)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the future.

    Args:
        weight: Buckets of the candidate, 1..9_999.
        seconds: Length of the stage that is judged.
        margin: The check's margin; 1 for slow requests, whose bounds have it.
        is_slow: Whether the bad requests are slow ones.
        alpha: The check's share of the allowed false alarms.
        times: The harm: bad requests are so many times as frequent on the candidate.
        at_margin: How many times as frequent slow requests of a healthy candidate are, by the
            bound with the margin on top: below 1. Exactly 1 for errors.
        log_pass: Logarithm of the evidence that lets it pass.
    """

    weight: int
    seconds: float
    margin: float
    is_slow: bool
    alpha: float
    times: float
    at_margin: float = 1.0
    log_pass: float = LOG_PASS


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would be seen.

    Args:
        half, most: Seconds after which the harm is shown in 50 % and 80 % of futures; None where
            that is later than the stage's end.
        found: Share of futures in which the harm is shown by the end, 0..1.
        passed: Share of futures of a healthy candidate that pass by the end, 0..1.
    """

    half: float | None
    most: float | None
    found: float
    passed: float


def forecast(habits: Habits, asked: Asked) -> Forecast:
    """Return how soon a check would tell harm, and how often it would pass health."""
    times = [_shown_after(habits, asked, number) for number in range(FUTURES)]
    passes = [_is_passed(habits, asked, number) for number in range(FUTURES)]
    return Forecast(
        _quantile(times, 0.5), _quantile(times, 0.8),
        sum(math.isfinite(each) for each in times) / FUTURES, sum(passes) / FUTURES)


def _quantile(times: Sequence[float], share: float) -> float | None:
    found = sorted(times)[max(0, math.ceil(share * len(times)) - 1)]
    return found if math.isfinite(found) else None


def _shown_after(habits: Habits, asked: Asked, number: int) -> float:
    """Return the seconds after which harm is shown in one future; infinite when it is not."""
    random = np.random.default_rng((SEED, number))
    order = random.permutation(BUCKETS)
    total, past = Counts.none(), _moved(habits.past, order)
    harmed = _Rates.of(habits, order, asked.weight, asked.times)
    before = 0.0
    for at in np.geomspace(max(1.0, asked.seconds / 500), max(2.0, asked.seconds), POINTS):
        drawn = harmed.drawn(at - before, random)
        total = total + drawn
        before = float(at)
        found = weigh(Question(total, past, Split(asked.weight), asked.margin, asked.is_slow))
        if found.log_worse >= log_bar(asked.alpha):
            return before
    return math.inf


def _is_passed(habits: Habits, asked: Asked, number: int) -> bool:
    random = np.random.default_rng((SEED, 1, number))
    order = random.permutation(BUCKETS)
    rates = _Rates.of(habits, order, asked.weight, asked.at_margin)
    counts = rates.drawn(asked.seconds, random)
    question = Question(counts, _moved(habits.past, order), Split(asked.weight), asked.margin,
                        asked.is_slow)
    better = weigh(question).log_better
    return better is not None and better >= asked.log_pass


@dataclass(frozen=True, slots=True)
class _Rates:
    """Requests a second and the share of bad ones of each bucket, shape (10_000,)."""

    per_second: Reals
    bad: Reals

    @classmethod
    def of(cls, habits: Habits, order: np.ndarray, weight: int, times: float) -> _Rates:
        """Return those of a split in which the candidate's bad requests are `times` as many."""
        factor = np.where(np.arange(BUCKETS) < weight, times, 1.0)
        bad = np.minimum(habits.bad[order] * factor, 1.0)
        return cls(habits.per_second[order], bad)

    def drawn(self, seconds: float, random: np.random.Generator) -> Counts:
        """Return what may happen in so many seconds."""
        requests = random.poisson(self.per_second * seconds)
        bad = random.binomial(requests, self.bad)
        return Counts(requests.astype(np.int64), bad.astype(np.int64))


def _moved(counts: Counts, order: np.ndarray) -> Counts:
    return Counts(counts.requests[order], counts.events[order])
