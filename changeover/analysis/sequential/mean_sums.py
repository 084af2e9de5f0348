"""The values of a stage whose mean a check is about, from its sums by bucket. Pure."""

from __future__ import annotations

from changeover.analysis.sequential.counters import counters_of
from changeover.analysis.sequential.means import Values, within_of
from changeover.analysis.sequential.scales import scale_of
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.plan.conditions import CheckSpec
from changeover.plan.subsets import counted_in


def values_of(check: CheckSpec, sums: StageSums) -> Values | None:
    """Return the values whose mean a check is about; None where it is about a share.

    Args:
        check: A check that is judged by buckets.
        sums: What was counted.
    """
    scale = scale_of(check)
    if scale is None:
        return None
    events, of = counters_of(check, sums.bounds)
    total, past = sums.total(events, of), sums.past.counts(events, of)
    squares = counted_in(check.subset, scale.squares)
    both = sums.total(squares, of) + sums.past.counts(squares, of)
    return Values(scale, within_of(total, past, float(both.events.sum())))
