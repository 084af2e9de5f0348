"""How much longer an undecided check of a mean needs. Pure.

As for shares (`outlook`), futures are drawn with a fixed seed and judged by the evidence of the
stage. In each future

1. the gap between the two means is drawn from what the stage leaves possible; half of the prior is
   at "like the baseline",
2. each bucket's own mean is drawn from its normal law after past and stage,
3. the buckets go on reporting as often as they did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from changeover.analysis.sequential.buckets import Counts, Reals, Split
from changeover.analysis.sequential.evidence import Question, weigh
from changeover.analysis.sequential.means import Gap, Values, foresee, gap_of
from changeover.analysis.sequential.outlook import (
    FARTHEST,
    FIRST_STEP,
    FUTURES,
    MOST,
    SEED,
    USUALLY_ALIKE,
    Outlook,
    View,
)

STEPS = 12
"""Times at which each future is looked at, further apart the later they are."""
OFF_BY = 2.0
"""Spread of the gaps of candidates that are not like the baseline, in margins."""


def look_ahead_mean(view: View, larger: Sequence[int] = ()) -> Outlook | None:
    """Return how much longer a check needs; None while one system has no value.

    Args:
        view: The check as it stands; its question is about values.
        larger: Larger shares of the candidate to try, in buckets, smallest first: the first one
            that would tell, and sooner, is in the answer.
    """
    known = _known(view)
    if known is None or view.seconds <= 0:
        return None
    farthest = FARTHEST * view.seconds
    seconds = _most_decided_after(known, view.question.split.weight, is_new=False)
    for weight in larger:
        other = _most_decided_after(known, weight, is_new=True)
        if other is not None and (seconds is None or other < seconds):
            return Outlook(seconds, farthest, (weight, other))
    return Outlook(seconds, farthest)


@dataclass(frozen=True, slots=True)
class _Known:
    """What futures are drawn from.

    Args:
        view: The check as it stands.
        values: How its values count.
        rates: Values a second of each bucket.
        means: Mean of each bucket's own values, of the baseline's kind.
        errors: Standard deviation of what is not known of it.
        alike: Gap of a candidate that is like the baseline, in units.
        chance_alike: How probable that is.
        gap: Law of the gap otherwise.
    """

    view: View
    values: Values
    rates: Reals
    means: Reals
    errors: Reals
    alike: float
    chance_alike: float
    gap: Gap


def _known(view: View) -> _Known | None:
    question = view.question
    values, counts, past = question.values, question.counts, question.past
    if values is None:
        return None
    chosen = question.split.is_candidate
    gap = gap_of(counts, past, values.within, chosen)
    foreseen = foresee(counts, past, values.within)
    step = values.scale.margin(foreseen.level)
    if gap is None or not step:
        return None
    alike = step if values.scale.is_falling else -step
    number = counts.requests.astype(np.float64)
    # without the gap, both systems' values tell of their users alike
    own = np.where(chosen, counts.events - gap.value * number, counts.events)
    residual = own - foreseen.means * number
    # what happened to everybody is in each bucket's mean of the stage, and goes on
    level = float(residual.sum() / number.sum())
    # how far a bucket is believed to be what the stage saw of it
    part = foreseen.between / (values.within + foreseen.between * number)
    means = foreseen.means + level + part * (residual - level * number)
    both = (counts + past).requests
    # who reported more often than others goes on doing so, at the stage's level
    rates = both * (number.sum() / view.seconds / both.sum())
    return _Known(view, values, rates, means, np.sqrt(part * values.within), alike,
                  *_possible(gap, alike, OFF_BY * step))


def _possible(gap: Gap, alike: float, spread: float) -> tuple[float, Gap]:
    """Return how probable "like the baseline" is after the stage, and the gap's law otherwise."""
    wide = math.hypot(gap.error, spread)
    away = gap.value - alike
    log_alike = -0.5 * (away / gap.error) ** 2 - math.log(gap.error)
    log_other = -0.5 * (away / wide) ** 2 - math.log(wide)
    # capped: beyond it the answer is 1, and the exponential overflows
    odds = USUALLY_ALIKE / (1 - USUALLY_ALIKE) * math.exp(min(50.0, log_alike - log_other))
    weight = spread**2 / wide**2
    other = Gap(alike + weight * away, gap.error * math.sqrt(weight))
    return odds / (1 + odds), other


def _most_decided_after(known: _Known, weight: int, *, is_new: bool) -> float | None:
    """Return the seconds after which `MOST` of the futures are decided; None: never."""
    times = sorted(_decided_after(known, weight, number, is_new=is_new)
                   for number in range(FUTURES))
    found = times[math.ceil(MOST * FUTURES) - 1]
    return found if math.isfinite(found) else None


def _decided_after(known: _Known, weight: int, number: int, *, is_new: bool) -> float:
    """Return after how many seconds more a future decides; infinite when not in time."""
    random = np.random.default_rng((SEED, number))
    is_alike = random.uniform() < known.chance_alike
    # half of the prior is a point, so it is drawn apart
    gap = known.alike if is_alike else random.normal(known.gap.value, known.gap.error)
    means = random.normal(known.means, known.errors)
    split = Split(weight)
    means = np.where(split.is_candidate, means + gap, means)
    total = Counts.none() if is_new else known.view.question.counts
    times = known.view.seconds * np.geomspace(FIRST_STEP, FARTHEST, STEPS)
    begun = random.uniform(size=len(means))  # of each bucket's next value, so much is over
    before = np.floor(begun)
    sums: list[Counts] = []
    for at in times:
        after = np.floor(known.rates * float(at) + begun)
        total = total + _drawn(known, means, after - before, random)
        sums.append(total)
        before = after
    question = replace(known.view.question, split=split)
    return _first_decided(known.view, question, sums, times)


def _drawn(
    known: _Known, means: Reals, number: Reals, random: np.random.Generator
) -> Counts:
    """Return so many values of each bucket."""
    events = random.normal(means * number, np.sqrt(known.values.within * number))
    return Counts(number.astype(np.int64), np.rint(events).astype(np.int64))


def _first_decided(
    view: View, question: Question, sums: Sequence[Counts], times: Reals
) -> float:
    """Return the first time that decides; what is decided once hardly becomes undecided again."""
    low, high = -1, len(sums)
    # by halves: twelve evaluations would take three times as long as four
    while high - low > 1:
        middle = (low + high) // 2
        if _is_decided(view, replace(question, counts=sums[middle])):
            high = middle
        else:
            low = middle
    return float(times[high]) if high < len(sums) else math.inf


def _is_decided(view: View, question: Question) -> bool:
    found = weigh(question)
    if found.log_worse >= view.log_bar:
        return True
    better = found.log_better
    is_seen = found.candidate.requests >= view.min_samples
    return is_seen and better is not None and better >= view.log_pass
