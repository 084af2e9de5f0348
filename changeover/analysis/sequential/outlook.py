"""How much longer an undecided check needs, from what its stage has shown so far. Pure.

Futures are drawn with a fixed seed and judged by the same evidence as the stage. In each future

1. the candidate's ratio is drawn from what the stage leaves possible (`possible_ratios`),
2. each bucket's share of bad requests is drawn from its Gamma law after past and stage,
3. the buckets go on asking as often as they did, and the sums of the stage go on growing.

So the answer knows that a candidate may be at the margin, where no time tells, and that the users
stay the same: what is unlucky about the split does not go away by waiting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from changeover.analysis.sequential.buckets import Counts, Reals, Split
from changeover.analysis.sequential.evidence import Question, weigh
from changeover.analysis.sequential.expected import Expected, expect
from changeover.domain.routing import BUCKETS
from changeover.domain.time_words import in_words
from changeover.plan.units import format_percent

FUTURES = 50
MOST = 0.85
"""A check is said to be decided, 80 % of the time, after so long that this share of futures is. The
rest is for what no future knows: that the outlook itself is made from lucky or unlucky numbers."""
STEPS = 32
"""Times at which each future is looked at, further apart the later they are."""
FIRST_STEP = 0.05
"""The first of them, as a share of the time that was seen."""
FARTHEST = 30.0
"""So many times the time that was seen is looked ahead: what comes later nobody can tell."""
SEED = 2
RATIOS = np.geomspace(0.25, 8.0, 41)
"""The candidate's possible rates, as multiples of the baseline's; 1 is one of them."""
USUALLY_ALIKE = 0.5
"""How often a candidate is like the baseline, before anything is known of it."""
OFF_BY = 0.5
"""Spread of the logarithm of the ratios of candidates that are not."""
STEADY = 20.0
"""Events that the past counts for when the stage's level is guessed."""


@dataclass(frozen=True, slots=True)
class View:
    """An undecided check as it stands.

    Args:
        question: What was counted, and what is asked.
        seconds: How long the stage has been counted.
        log_bar: Logarithm of the evidence that fails it.
        log_pass: Logarithm of the evidence that lets it pass.
        min_samples: Requests of the candidate without which it never passes.
        alike: Ratio of a candidate that is like the baseline: 1, or less for slow requests, whose
            bound has the margin on top.
    """

    question: Question
    seconds: float
    log_bar: float
    log_pass: float
    min_samples: int = 0
    alike: float = 1.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """How much longer an undecided check needs.

    Args:
        seconds: In 80 % of futures it is decided within so much more time; None where that is more
            than `farthest`.
        farthest: Seconds that were looked ahead.
        larger: (buckets of the candidate, seconds) of a larger share, begun anew; None where none
            was asked about or it would not tell in that time either.
        has_events: Whether there was any bad request yet, before the stage or in it.
    """

    seconds: float | None
    farthest: float
    larger: tuple[int, float] | None = None
    has_events: bool = True

    @property
    def text(self) -> str:
        """The outlook for people."""
        at_most = in_words(self.farthest)
        if not self.has_events:
            return ("nobody had a bad request yet, so no time tells; an absolute bound in a group "
                    "with it would")
        if self.larger is None and self.seconds is None:
            return (f"more than {at_most} at this traffic, and no larger share helps: the "
                    "candidate may be close to the margin")
        if self.larger is None:
            return f"about {in_words(self.seconds)} more at this traffic (80 % of the time)"
        weight, seconds = self.larger
        share, time = format_percent(weight), in_words(seconds)
        if self.seconds is None:
            return f"only a larger share helps: about {time} at {share} (80 % of the time)"
        return (f"about {in_words(self.seconds)} more at this traffic, {time} at {share} "
                "(80 % of the time)")

    def document(self) -> dict[str, Any]:
        """Return it for the evidence of a check."""
        found: dict[str, Any] = {
            "text": self.text, "seconds": self.seconds, "farthest": self.farthest}
        if self.larger is not None:
            weight, seconds = self.larger
            found |= {"larger_weight": weight, "larger_seconds": seconds}
        return found


def look_ahead(view: View, larger: Sequence[int] = ()) -> Outlook | None:
    """Return how much longer a check needs; None while nothing of the candidate was counted.

    Args:
        view: The check as it stands.
        larger: Larger shares of the candidate to try, in buckets, smallest first: the first one
            that would tell, and sooner, is in the answer.
    """
    question = view.question
    mine = question.counts.requests[question.split.is_candidate]
    if view.seconds <= 0 or not mine.any():
        return None
    farthest = FARTHEST * view.seconds
    if not (question.counts + question.past).events.any():
        return Outlook(None, farthest, has_events=False)
    futures = _Futures(view)
    seconds = futures.most_decided_after()
    for weight in larger:
        other = futures.most_decided_after(weight)
        if other is not None and (seconds is None or other < seconds):
            return Outlook(seconds, farthest, (weight, other))
    return Outlook(seconds, farthest)


def possible_ratios(
    counts: Counts, expected: Expected, chosen: NDArray[np.bool_], alike: float = 1.0
) -> tuple[Reals, Reals]:
    """Return how probable each ratio is after the stage, and the level of the stage with it.

    The prior has half of it at "like the baseline"; the likelihood is that of the buckets'
    negative-binomial laws, the level of everybody (incidents, hours) taken out.

    Args:
        counts: Sums of the stage.
        expected: What the past lets expect.
        chosen: Whether each bucket is the candidate's.
        alike: Ratio of a candidate that is like the baseline; the ratios are its multiples.

    Returns:
        Probabilities, shape (41,), sum 1; levels as multiples of the expected rates, shape (41,).
    """
    prior = np.exp(-0.5 * (np.log(RATIOS) / OFF_BY) ** 2)
    # the point "like the baseline" has a weight of its own, apart from its neighbours
    is_alike = np.isclose(RATIOS, 1.0)
    prior[is_alike] = 0
    prior *= (1 - USUALLY_ALIKE) / prior.sum()
    # Ratios next to 1 are like it: the width of a step is not what is asked about.
    prior[is_alike] = USUALLY_ALIKE
    foreseen = expected.shares * counts.requests
    mine, theirs = float(foreseen[chosen].sum()), float(foreseen[~chosen].sum())
    events = float(counts.events.sum())
    ratios = RATIOS * alike
    levels: Reals = (events + STEADY) / (ratios * mine + theirs + STEADY)
    # each ratio with the level that suits it best: an incident hits both systems
    logs = np.array([
        _log_likelihood(counts, expected, np.where(chosen, ratio * level, level))
        for ratio, level in zip(ratios, levels, strict=True)])
    # less the highest first: the plain products are below the smallest float
    weights = prior * np.exp(logs - logs.max())
    probabilities: Reals = weights / weights.sum()
    return probabilities, levels


def _log_likelihood(counts: Counts, expected: Expected, times: Reals) -> float:
    """Return the logarithm of the law of the buckets' events, without what no ratio changes."""
    load = times * counts.requests / expected.requests
    each = counts.events * np.log(times) - (expected.events + counts.events) * np.log1p(load)
    return float(each.sum())


@dataclass(frozen=True, slots=True)
class _PartOf(Split):
    """A split of the buckets that anybody uses, in their order; the others only take time.

    Args:
        weight: How many of them are the candidate's: the first ones.
        size: How many there are.
        share: The candidate's share of all buckets, 0..1.
    """

    size: int
    share: float

    @property
    def is_candidate(self) -> NDArray[np.bool_]:
        return np.arange(self.size) < self.weight


class _Futures:
    """Draws futures of one check; the same each time."""

    def __init__(self, view: View) -> None:
        question = view.question
        known = question.past + question.counts
        # buckets that nobody uses change no answer, and cost most of the time
        self._used = np.flatnonzero(known.requests)
        self._view = view
        self._counts, self._past = self._part(question.counts), self._part(question.past)
        self._chosen = question.split.is_candidate[self._used]
        # who asked more often than others goes on doing so; the level is the stage's
        requests = (self._past + self._counts).requests
        total = float(self._counts.requests.sum())
        self._rates = requests * (total / view.seconds / requests.sum())
        self._expected = expect(self._counts, self._past)
        self._ratios = RATIOS * view.alike
        self._chances, self._levels = possible_ratios(
            self._counts, self._expected, self._chosen, view.alike)

    def most_decided_after(self, weight: int | None = None) -> float | None:
        """Return the seconds after which `MOST` of the futures are decided; None: never.

        Args:
            weight: Buckets of the candidate in a stage that begins anew; None: the present one.
        """
        times = sorted(self._decided_after(number, weight) for number in range(FUTURES))
        found = times[math.ceil(MOST * FUTURES) - 1]
        return found if math.isfinite(found) else None

    def _decided_after(self, number: int, weight: int | None) -> float:
        """Return after how many seconds more a future decides; infinite when not in time.

        Args:
            number: Which future.
            weight: As above.
        """
        view = self._view
        # the same futures at each look, so that the answer does not flicker
        random = np.random.default_rng((SEED, number))
        index = int(random.choice(len(RATIOS), p=self._chances))
        shares = self._drawn_shares(index, random) * self._levels[index]
        split, total = self._begun(weight)
        shares = np.where(split.is_candidate, shares * self._ratios[index], shares)
        question = replace(view.question, counts=total, past=self._past, split=split)
        whole = self._drawn(view.seconds * FARTHEST, shares, random)
        return self._first_decided(replace(question, counts=total), whole, random)

    def _drawn(self, seconds: float, shares: Reals, random: np.random.Generator) -> Counts:
        """Return what the buckets do in a time."""
        requests = random.poisson(self._rates * seconds)
        # rare events: Poisson is the binomial law, and drawn much faster
        events = np.minimum(random.poisson(requests * shares), requests)
        return Counts(requests.astype(np.int64), events.astype(np.int64))

    def _first_decided(
        self, question: Question, left: Counts, random: np.random.Generator
    ) -> float:
        """Return the seconds until a future is decided; infinite when it is not with all of it.

        What is decided once hardly ever becomes undecided again: so the time is found by halves.
        How much of what is left comes in the first part of a time is binomial.

        Args:
            question: What was counted before.
            left: What is to come until the farthest time.
            random: Where chance comes from.
        """
        begun = question.counts
        if not self._is_decided(replace(question, counts=begun + left)):
            return math.inf
        times = self._view.seconds * np.geomspace(FIRST_STEP, FARTHEST, STEPS)
        before, low, high = 0.0, -1, STEPS - 1
        while high - low > 1:
            middle = (low + high) // 2
            part = (times[middle] - before) / (times[high] - before)
            first = Counts(random.binomial(left.requests, part),
                           random.binomial(left.events, part))
            # the halves are drawn anew at each step; their sum stays what was drawn for the end
            if self._is_decided(replace(question, counts=begun + first)):
                high, left = middle, first
            else:
                low, before = middle, float(times[middle])
                begun, left = begun + first, left - first
        return float(times[high])

    def _drawn_shares(self, index: int, random: np.random.Generator) -> Reals:
        """Return each bucket's own share of bad requests on the baseline, at its usual level."""
        ratio, level = float(self._ratios[index]), float(self._levels[index])
        times = np.where(self._chosen, ratio * level, level)
        shape = self._expected.events + self._counts.events
        return random.gamma(shape) / (self._expected.requests + times * self._counts.requests)

    def _begun(self, weight: int | None) -> tuple[Split, Counts]:
        """Return the split of a future and the sums that it begins with."""
        present = self._view.question.split.weight
        if weight is None:
            return self._split_at(present), self._counts
        none = np.zeros(len(self._used), np.int64)
        return self._split_at(weight), Counts(none, none)

    def _split_at(self, weight: int) -> Split:
        mine = int(np.count_nonzero(self._used < weight))
        return _PartOf(mine, len(self._used), weight / BUCKETS)

    def _is_decided(self, question: Question) -> bool:
        view, found = self._view, weigh(question)
        if found.log_worse >= view.log_bar:
            return True
        is_seen = found.candidate.requests >= view.min_samples
        better = found.log_better
        return is_seen and better is not None and better >= view.log_pass

    def _part(self, counts: Counts) -> Counts:
        return Counts(counts.requests[self._used], counts.events[self._used])
