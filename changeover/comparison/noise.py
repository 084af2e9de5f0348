"""Separating regressions from noise, place by place. Pure.

For a share of the requests the baseline is asked a second time. At each place a request then gives
a pair: does the candidate differ from the user's answer, does the second baseline answer. Noise
(timestamps, random ids, races) makes both differ equally often; a regression only the candidate.
So the pairs in which exactly one differs decide (McNemar's exact test), as they do in medicine for
paired samples; the other pairs say nothing about the difference.

McNemar's test is for one look at a fixed number of requests: who looks again and again finds
something in the end (10 to 30 % of quiet places within 100 looks, `python -m benchmarks.noise`). So
each regression says whether it is also *firm*: significant by a test that may be looked at at any
time and stopped when one likes, at the price of two to three times the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

FALSE_DISCOVERIES = 0.05
CONFIDENCE = 0.95
MIN_SAMPLES = 100
SURE_WITHOUT_PAIRS = 20
"""Divergences with which a place that always differs needs no pairs to be judged."""


class Judgement(StrEnum):
    """What is known of a place."""

    REGRESSION = "regression"  # the candidate differs more than the baseline differs from itself
    NOISE = "noise"  # it differs, no more than the baseline does
    QUIET = "quiet"  # it does not differ; the bound says how often it still might
    INCONCLUSIVE = "inconclusive"  # too few samples to say


@dataclass(frozen=True, slots=True)
class PlaceCounts:
    """What was counted at one place.

    Args:
        place: Normalised path.
        compared: Requests whose answers were compared.
        diverged: Of these, requests in which the candidate differs here.
        paired: Of these, requests for which the baseline was asked a second time.
        only_candidate: Paired requests in which only the candidate differs.
        only_baseline: Paired requests in which only the baseline's second answer differs.
        both: Paired requests in which both differ.
    """

    place: str
    compared: int
    diverged: int
    paired: int
    only_candidate: int
    only_baseline: int
    both: int


@dataclass(frozen=True, slots=True)
class PlaceVerdict:
    """The judgement of a place with its numbers; rates are 0..1 of the compared requests.

    `is_firm` says of a regression that it holds however often one has looked.
    """

    place: str
    judgement: Judgement
    rate: float
    upper_bound: float
    noise_rate: float | None
    p_value: float
    q_value: float
    samples: int
    reason: str
    is_firm: bool = False


def _special() -> Any:
    """Return scipy.special; read when it is needed, since every flow would wait for it."""
    from scipy import special

    return special


def mcnemar(only_candidate: int, only_baseline: int) -> float:
    """Return the probability of so many discordant pairs for the candidate by chance, one-sided.

    Exact: P(X ≥ b) with X ~ Binomial(b + c, 1/2), where b pairs differ only for the candidate and c
    only for the baseline. 1 without discordant pairs.

    Source: McNemar 1947; the exact conditional form as in Fay 2010, "Two-sided exact tests".
    """
    total = only_candidate + only_baseline
    if not only_candidate:
        return 1.0
    return float(_special().betainc(only_candidate, total - only_candidate + 1, 0.5))


def anytime(only_candidate: int, only_baseline: int) -> float:
    """Return a p-value that stays valid however often one looks and whenever one stops.

    It is 1/E with E = 2 ∫ p^b (1-p)^c dp over p in 1/2..1, divided by (1/2)^(b+c): the likelihood
    of the discordant pairs under all regressions alike against that under none. While nothing is
    there, E is a nonnegative supermartingale that starts at 1, and exceeds 1/α at any time in at
    most α of the cases. Of several places, 1/E may be given to Benjamini and Hochberg whatever
    depends on what (e-BH).

    Source: Ville 1939; Robbins 1970, "Statistical methods related to the law of the iterated
    logarithm" (mixtures); Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid
    inference"; Wang and Ramdas 2022 for e-BH.
    """
    b, c = only_candidate + 1, only_baseline + 1
    # The part of the beta distribution above 1/2.
    above = _special().betaincc(b, c, 0.5)
    if not above:
        return 1.0
    log_e = (b + c - 1) * math.log(2) + _special().betaln(b, c) + math.log(above)
    return float(min(1.0, math.exp(-log_e)))


def upper_bound(count: int, total: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper confidence bound of a rate; 1 without samples.

    Source: Clopper and Pearson 1934.
    """
    if count >= total:
        return 1.0
    return float(_special().betaincinv(count + 1, total - count, confidence))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return q-values: the false discovery rate at which each would be called significant.

    Source: Benjamini and Hochberg 1995.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index], reverse=True)
    q_values = [1.0] * len(p_values)
    least = 1.0
    # From the largest down: a smaller p-value never gets a larger q-value.
    for behind, index in enumerate(order):
        rank = len(p_values) - behind
        least = min(least, p_values[index] * len(p_values) / rank)
        # Rounding must not make it the smaller.
        q_values[index] = max(least, p_values[index])
    return q_values


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as a regression, and from when on a place is judged.

    Args:
        false_discoveries: Share of false alarms among the regressions, 0..1.
        min_samples: Fewer compared requests are inconclusive for a place that seems quiet or
            noisy; a regression may be plain before.
        confidence: Of the upper bound, 0..1.
    """

    false_discoveries: float = FALSE_DISCOVERIES
    min_samples: int = MIN_SAMPLES
    confidence: float = CONFIDENCE


def judge_places(
    counts: Sequence[PlaceCounts], limits: Limits = Limits()
) -> list[PlaceVerdict]:
    """Return the verdict on each place, in the order given.

    Args:
        counts: What was counted, one entry a place; all places of one comparison together, since
            the more places are judged, the more differ by chance.
        limits: What counts as a regression.
    """
    p_values, anytime_values = [], []
    for each in counts:
        p_values.append(mcnemar(each.only_candidate, each.only_baseline))
        anytime_values.append(anytime(each.only_candidate, each.only_baseline))
    q_values = benjamini_hochberg(p_values)
    firm = benjamini_hochberg(anytime_values)
    found = []
    for each, p, q, firm_q in zip(counts, p_values, q_values, firm, strict=True):
        verdict = _verdict(each, p, q, limits)
        is_firm = firm_q <= limits.false_discoveries
        found.append(_marked_firm(verdict) if is_firm else verdict)
    return found


def _marked_firm(verdict: PlaceVerdict) -> PlaceVerdict:
    if verdict.judgement is not Judgement.REGRESSION:
        return verdict
    return replace(verdict, is_firm=True, reason=f"{verdict.reason}, however often one looks")


def _verdict(each: PlaceCounts, p: float, q: float, limits: Limits) -> PlaceVerdict:
    rate = each.diverged / each.compared if each.compared else 0.0
    noisy = each.only_baseline + each.both
    noise_rate = noisy / each.paired if each.paired else None
    bound = upper_bound(each.diverged, each.compared, limits.confidence) if each.compared else 1.0
    judgement, why = _judge(each, q, bound, limits)
    text = f"differs in {rate:.3%} of {each.compared} requests"
    if noise_rate is not None:
        text += f", the baseline from itself in {noise_rate:.3%} of {each.paired}"
    reason = f"{text}: {why}"
    return PlaceVerdict(
        each.place, judgement, rate, bound, noise_rate, p, q, each.compared, reason)


def _judge(
    each: PlaceCounts, q: float, bound: float, limits: Limits
) -> tuple[Judgement, str]:
    """Return the judgement and what it rests on."""
    pairs = f"{each.only_candidate} against {each.only_baseline} pairs"
    false_discoveries, min_samples = limits.false_discoveries, limits.min_samples
    if q <= false_discoveries:
        return Judgement.REGRESSION, f"{pairs} are no chance (q {q:.2g} ≤ {false_discoveries:g})"
    # Without pairs the noise is not known, but noise agrees now and then.
    is_constant = each.diverged == each.compared >= SURE_WITHOUT_PAIRS
    if is_constant and not each.paired:
        return Judgement.REGRESSION, "it always differs"
    if each.compared < min_samples:
        return Judgement.INCONCLUSIVE, f"fewer than {min_samples} requests"
    if not each.diverged:
        return Judgement.QUIET, f"at most {bound:.3%} of requests at 95 %"
    if each.paired < min_samples:
        return Judgement.INCONCLUSIVE, f"only {each.paired} of {min_samples} pairs for its noise"
    # The baseline never differs here from itself: "noise" would be a guess.
    if not (each.only_baseline or each.both):
        return Judgement.INCONCLUSIVE, f"{pairs} may be chance (q {q:.2g})"
    return Judgement.NOISE, f"{pairs} may be chance (q {q:.2g} > {false_discoveries:g})"
