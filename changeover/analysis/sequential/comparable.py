"""Whether the users of a stage's two systems can be compared at all. Pure."""

from __future__ import annotations

from changeover.analysis.sequential.buckets import Split, arms
from changeover.analysis.sequential.counters import counters_of
from changeover.analysis.sequential.ratio import mismatch
from changeover.analysis.sequential.slices import OF_OUTCOMES, Counter, Excluded
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import Source
from changeover.plan.subsets import subset_in_words


def why_incomparable(check: CheckSpec, sums: StageSums, split: Split) -> str | None:
    """Return why a check cannot compare the two systems' users; None when it can.

    Args:
        check: A check that is judged by buckets.
        sums: What was counted.
        split: The stage's split.
    """
    why_not = _mismatch(check, sums, split)
    if why_not is not None or _is_compared(check, sums):
        return why_not
    if check.measured.source is Source.OUTCOME:
        return _no_outcome(check, sums)
    return None if check.subset is None else _nobody(check.subset, sums)


def _mismatch(check: CheckSpec, sums: StageSums, split: Split) -> str | None:
    """Return why the two systems' users cannot be compared; None when they can."""
    asked = [sums.total(Counter.ERRORS, Counter.REQUESTS)]
    if check.measured.source is Source.OUTCOME:  # a system that does not report all is as unfair
        asked.append(sums.total(*counters_of(check, sums.bounds)))
    for total in asked:
        mine, theirs = arms(total, split.is_candidate)
        why_not = mismatch(mine.buckets, mine.buckets + theirs.buckets, split.share)
        if why_not is not None:
            return why_not
    return None


def _is_compared(check: CheckSpec, sums: StageSums) -> bool:
    """Whether the split decided about any request that a check is about."""
    _, of = counters_of(check, sums.bounds)
    return bool(sums.total(of, of).requests.any())


def _nobody(subset: str, sums: StageSums) -> str:
    """Return why nobody of a subset can be compared."""
    moved = sums.excluded(subset).get(Excluded.NOT_BY_SPLIT, 0)
    if moved:
        return (f"all of {subset_in_words(subset)} is on one system, moved by a segment or by hand "
                f"({moved} requests), so that there is nobody to compare them with")
    return f"no request of {subset_in_words(subset)} was counted"


def _no_outcome(check: CheckSpec, sums: StageSums) -> str:
    """Return why no outcome can be compared."""
    return ("no outcome that says whose it is (`key`) was reported by users whom the split sent "
            f"to one of the systems{left_out(check, sums)}")


def left_out(check: CheckSpec, sums: StageSums) -> str:
    """Return which outcomes are in no comparison, as the end of a sentence; empty for requests.

    Args:
        check: A check that is judged by buckets.
        sums: What was counted.
    """
    if check.measured.source is not Source.OUTCOME:
        return ""
    found = sorted(sums.excluded(check.subset, OF_OUTCOMES).items())
    told = ", ".join(f"{number} {reason}" for reason, number in found)
    return f"; left out: {told}" if told else ""
