"""Is the candidate worse than the margin allows, or surely not? Pure.

Both questions have an e-value of their own, and no answer is a third answer: "no failure seen" is
never a pass. The weights of the parts are those that were measured (docs/decisions/0023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from changeover.analysis.sequential.buckets import Arm, Counts, Split, arms, share_at
from changeover.analysis.sequential.e_values import (
    first_errors,
    log_mean,
    log_weighted,
    tilted,
)
from changeover.analysis.sequential.expected import Expected, expect, is_enough
from changeover.analysis.sequential.means import Values, weigh_mean, worse_since
from changeover.analysis.sequential.thinning import thin

ERROR_RATIOS = (2.0, 3.0, 5.0, 10.0)
SLOW_RATIOS = (1.15, 1.3, 1.6, 2.2)
SLOW_BETTER_RATIOS = (0.6, 0.75, 0.9)
FIRST_WEIGHT, TILT_WEIGHT, SLOW_WEIGHT = 0.5, 0.25, 0.5
"""What is left to 1 is the price of reading the tilt at any time."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a stage.

    Args:
        counts: Sums of the stage since the split was made, without the time in which it settles.
        past: Sums of the time before, while everyone was on the baseline.
        split: The stage's split.
        margin: The candidate's rate may be this many times the baseline's; at least 1. For slow
            requests 1: their margin is in the thresholds that they were counted by.
        is_slow: Whether the events are slow requests, which are frequent and of everyone.
        values: Those whose mean the question is about: the "events" are their sum then, which has
            the margin in it. None where it is about a share.
    """

    counts: Counts
    past: Counts
    split: Split
    margin: float = 1.0
    is_slow: bool = False
    values: Values | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sums of a stage say.

    Args:
        log_worse: Logarithm of the e-value against "at most margin times the baseline's rate".
        log_better: Logarithm of the e-value against "at least margin times"; None where no such
            evidence exists, at a margin of 1.
        candidate: Its sums.
        baseline: Its sums.
        parts: Logarithm of each part, by name.
        usual_share: Share of events that the past lets expect, 0..1; of values their usual mean,
            in units.
        strength: Shape of the spread between buckets; of values their variance within buckets.
    """

    log_worse: float
    log_better: float | None
    candidate: Arm
    baseline: Arm
    parts: dict[str, float]
    usual_share: float
    strength: float

    def document(self) -> dict[str, Any]:
        """Return it for the evidence of a verdict."""
        return {
            "log_worse": self.log_worse, "log_better": self.log_better,
            "candidate": self.candidate.document(), "baseline": self.baseline.document(),
            "parts": dict(self.parts), "usual_share": self.usual_share,
            "strength": self.strength,
        }


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A question with what all its parts need.

    Args:
        expected: What is expected of each bucket, of all events.
        thinned: The counts, with the candidate's events as they would be without the margin.
        foreseen: What is expected of each bucket, of those.
    """

    question: Question
    expected: Expected
    thinned: Counts
    foreseen: Expected

    @classmethod
    def of(cls, question: Question, usual: Expected | None = None) -> _Prepared:
        """Return it; `usual` is what the past alone lets expect, where that is known already."""
        counts = question.counts
        expected = usual or expect(counts, question.past)
        if question.margin == 1 or question.is_slow:
            # slow requests carry their margin in the threshold that they were counted by
            return cls(question, expected, counts, expected)
        # At the margin, both systems' events have the same law after this.
        thinned = thin(counts, question.split, question.margin)
        foreseen = expected
        if not is_enough(question.past):  # the usual share is that of the stage then
            foreseen = expect(thinned, question.past)
        return cls(question, expected, thinned, foreseen)

    def tilt(self, ratios: Sequence[float]) -> float:
        """Return the logarithm of the mean e-value of all events."""
        return log_mean(tilted(self.thinned, self.foreseen, self.question.split, ratios))

    def first(self) -> float:
        """Return the logarithm of the mean e-value of first errors."""
        split, margin = self.question.split, self.question.margin
        # With harm up to the margin, the candidate's share of first errors is at most this.
        allowed = share_at(split.share, margin)
        return log_mean(first_errors(
            self.question.counts, self.expected, split.is_candidate, allowed))

    def worse(self) -> tuple[float, dict[str, float]]:
        """Return the logarithm of the e-value of harm, and its parts."""
        if self.question.is_slow:
            tilt = self.tilt(SLOW_RATIOS)
            return tilt + math.log(SLOW_WEIGHT), {"tilt": tilt}
        parts = {"tilt": self.tilt(ERROR_RATIOS), "first": self.first()}
        # a mixture of e-values is one; its weights add up to less than 1
        weighted = [(FIRST_WEIGHT, parts["first"]), (TILT_WEIGHT, parts["tilt"])]
        return log_weighted(weighted), parts

    def better(self) -> float | None:
        """Return the logarithm of the e-value of being below the margin."""
        # fewer events than at the margin are what speaks for a pass
        ratios = _better_ratios(self.question)
        return self.tilt(ratios) if ratios else None


def weigh(question: Question, usual: Expected | None = None) -> Evidence:
    """Return what the sums of a stage say.

    Args:
        question: The stage's.
        usual: What the past alone lets expect, where that is known already.

    Source: the method is that of first errors (Ville 1939, Lindon, Malek 2022) and of a
    negative-binomial tilt with each bucket's own past; see `e_values`, and `means` for means.
    """
    candidate, baseline = arms(question.counts, question.split.is_candidate)
    if question.values is not None:
        worse, better, foreseen = weigh_mean(
            question.counts, question.past, question.split, question.values)
        return Evidence(worse, better, candidate, baseline, {"shift": worse},
                        foreseen.level, foreseen.within)
    prepared = _Prepared.of(question, usual)
    worse, parts = prepared.worse()
    return Evidence(
        worse, prepared.better(), candidate, baseline, parts, prepared.expected.share,
        prepared.expected.strength)


def log_worse(question: Question, usual: Expected | None = None) -> float:
    """Return the logarithm of the e-value of harm alone.

    Args:
        question: The stage's, or that of a later start.
        usual: What the past alone lets expect, where that is known already.
    """
    if question.values is not None:
        (found,) = worse_since([question.counts], question.past, question.split, question.values)
        return found
    return _Prepared.of(question, usual).worse()[0]


def _better_ratios(question: Question) -> Sequence[float]:
    """Return the ratios below the margin that are looked for; none at a margin of 1.

    The candidate's events are thinned to what they would be at the baseline's rate if it were at
    the margin; fewer than the baseline's are then evidence that it is below.
    """
    margin = question.margin
    if question.is_slow:
        return SLOW_BETTER_RATIOS
    if margin == 1:
        return ()
    return 0.7 / margin, 1 / margin, (1 + 1 / margin) / 2
