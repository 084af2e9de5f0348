"""What was counted of a stage, and before it: what its checks are judged by. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from changeover.analysis.sequential.buckets import Counts, add
from changeover.analysis.sequential.memo import Memo
from changeover.analysis.sequential.slices import Excluded, Slice
from changeover.domain.slices import SlowBound
from changeover.plan.subsets import counted_in

ALPHA = 0.01
"""Chance that any check of a healthy stage fails, however often it is looked at."""
METHOD = "sequential 2"
"""Name and version of the method, for whoever recomputes a verdict."""


@dataclass(frozen=True, slots=True)
class StageSums:
    """What was counted of a stage, and before it.

    Args:
        weight: Buckets of the candidate, 0..10_000.
        parts: The stage's slices: the newest hour by the minute, others by the hour (`parts`),
            oldest first.
        past: The time before, while everyone was on the baseline.
        start: From when on the stage is looked at, after it settled.
        end: Until when.
        checks: How many checks share the allowed false alarms.
        bounds: From which duration on requests are slow, by what a check asks (`condition_of`).
        hours: Hours of the clock that the stage may take by its plan.
        memo: What was reckoned of the parts before; one of its own where none is given.
    """

    weight: int
    parts: Sequence[Slice]
    past: Slice
    start: datetime
    end: datetime
    checks: float
    bounds: Mapping[str, SlowBound] = field(default_factory=dict)
    hours: int = 48
    memo: Memo = field(default_factory=Memo, repr=False, compare=False)
    _totals: dict[tuple[str, str], Counts] = field(
        default_factory=dict, init=False, repr=False, compare=False)

    @property
    def alpha(self) -> float:
        """The allowed chance of a false alarm of one check."""
        return ALPHA / max(1, self.checks)

    def excluded(self, subset: str | None = None, of: str = "") -> dict[str, int]:
        """Return the stage's requests, or those of a subset, that are in no sum, by reason.

        Args:
            subset: Which requests; None for all.
            of: `OF_OUTCOMES` for outcomes instead.
        """
        reasons = {counted_in(subset, of + each): str(each) for each in Excluded}
        found: dict[str, int] = {}
        for each in self.parts:
            for name, number in each.excluded.items():
                if (reason := reasons.get(name)) is not None:
                    found[reason] = found.get(reason, 0) + number
        return found

    def total(self, events: str, of: str) -> Counts:
        """Return the counts of the whole stage; added up once, since many checks ask for them.

        Args:
            events: Name of the counter of bad requests.
            of: Name of the counter of all.
        """
        key = (events, of)
        if key not in self._totals:
            self._totals[key] = add(each.counts(events, of) for each in self.parts)
        return self._totals[key]
