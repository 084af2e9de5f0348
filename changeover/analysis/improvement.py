"""By how much the candidate's outcomes are better than the baseline's, in numbers. Pure.

These are the two systems' values side by side, as people compare them. Whether a difference is more
than chance is for a gate's check to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from changeover.analysis.window import Window
from changeover.plan.metrics import METRICS, QUALITY, format_value

SUCCESS = "success_rate"
DURATION = "duration"


@dataclass(frozen=True, slots=True)
class Improvement:
    """One number of the comparison.

    Args:
        name: `success_rate`, `duration`, or a quality number's name.
        words: What it is called for people.
        baseline: The baseline's value: a share, seconds, or the mean of a quality number.
        candidate: The candidate's.
        by: How much better the candidate is, above 0 where it is: in points of the share, in
            seconds saved, as difference of the means.
        texts: The baseline's value, the candidate's and the difference for people.
    """

    name: str
    words: str
    baseline: float
    candidate: float
    by: float
    texts: tuple[str, str, str]


def improvements(baseline: Window, candidate: Window) -> tuple[Improvement, ...]:
    """Return the comparison of two windows of outcomes; what either lacks is left out.

    A quality number counts as better when it is higher.
    """
    names = ["outcome_error_rate", "outcome_duration_mean"]
    shared = sorted(set(baseline.quality) & set(candidate.quality))
    found = []
    for metric in (*names, *(QUALITY + name for name in shared)):
        old, new = baseline.measure(metric).value, candidate.measure(metric).value
        if old is not None and new is not None:
            found.append(_improvement(metric, old, new))
    return tuple(found)


def _improvement(metric: str, old: float, new: float) -> Improvement:
    if metric == "outcome_error_rate":
        old, new = 1 - old, 1 - new
        by = new - old
        texts = (f"{old:.1%}", f"{new:.1%}", f"{by * 100:+.1f} points")
        return Improvement(SUCCESS, "success", old, new, by, texts)
    spec = METRICS[metric]
    values = format_value(spec, old), format_value(spec, new)
    if metric == "outcome_duration_mean":
        by = old - new
        saved = f"{format_value(spec, abs(by))} {'faster' if by >= 0 else 'slower'}"
        return Improvement(DURATION, spec.words, old, new, by, (*values, saved))
    name, by = metric.removeprefix(QUALITY), new - old
    return Improvement(name, spec.words, old, new, by, (*values, f"{by:+.4g}"))
