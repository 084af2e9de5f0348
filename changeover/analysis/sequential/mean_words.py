"""What is shown of a comparison of means: values, interval, sentence. Pure."""

from __future__ import annotations

from typing import Any

from changeover.analysis.intervals import NORMAL
from changeover.analysis.sequential.buckets import Counts, Split
from changeover.analysis.sequential.evidence import Evidence
from changeover.analysis.sequential.means import Values, gap_of
from changeover.analysis.sequential.scales import scale_of
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import format_value
from changeover.plan.subsets import in_words


def mean_values(check: CheckSpec, evidence: Evidence) -> tuple[float | None, float | None]:
    """Return the candidate's and the baseline's value, in base units; of shares the share.

    Means are those of the values as they count: cut off at the ends of their range, sizes by their
    logarithms.
    """
    scale = scale_of(check)
    mine, theirs = evidence.candidate.share, evidence.baseline.share
    if scale is None:
        return mine, theirs
    return (None if mine is None else scale.value(mine, is_candidate=True),
            None if theirs is None else scale.value(theirs, is_candidate=False))


def mean_numbers(check: CheckSpec, evidence: Evidence) -> str:
    """Return the numbers as the first half of a sentence; empty where it is about no mean."""
    scale = scale_of(check)
    if scale is None:
        return ""
    metric = check.measured
    mine, theirs = (format_value(metric, value) for value in mean_values(check, evidence))
    of = "answers" if scale.is_log else "outcomes"
    how = "typical size, by logarithms" if scale.is_log else (
        f"values from {scale.low:g} to {scale.high:g}")
    return (f"{metric.name} of candidate{in_words(check.subset)} {mine} in "
            f"{evidence.candidate.requests} {of} against the baseline's {theirs} in "
            f"{evidence.baseline.requests} at the same time ({how})")


def mean_interval(
    values: Values, counts: Counts, past: Counts, split: Split
) -> dict[str, Any] | None:
    """Return how many times the baseline's mean the candidate's is, or how much above it (95 %).

    Args:
        values: How they count, and how much they vary.
        counts: Number and sum of the stage's values.
        past: Those of the time before it.
        split: The stage's split.
    """
    gap, scale = gap_of(counts, past, values.within, split.is_candidate), values.scale
    if gap is None:
        return None
    # in the baseline's present level, so that people can compare it with their charts
    others = ~split.is_candidate
    number = int(counts.requests[others].sum())
    level = float(counts.events[others].sum()) / number
    theirs = scale.value(level, is_candidate=False)
    reach = NORMAL * gap.error
    found = [scale.value(level + each, is_candidate=True)
             for each in (gap.value, gap.value - reach, gap.value + reach)]
    names = "value", "low", "high"
    if scale.added:
        return {"of": "difference",
                **{name: each - theirs for name, each in zip(names, found, strict=True)}}
    # a multiple of nothing says nothing
    if theirs <= 0:
        return None
    return {"of": "ratio", **{name: each / theirs for name, each in zip(names, found, strict=True)}}
