"""Error budgets of triggers over what was measured: fed with samples, also those of days ago."""

from __future__ import annotations

from collections.abc import Iterable

from changeover.analysis.burning import BurnCounts, Burnt, judge_budget
from changeover.analysis.trigger import Judged
from changeover.analysis.window import (
    GATEWAY,
    SHADOW,
    Sample,
    combine,
    of_gateway,
    of_subset,
    outcomes_of,
)
from changeover.plan.budgets import BurnWindow
from changeover.plan.metrics import Source
from changeover.plan.triggers import TriggerSpec


class BudgetWatch:
    """One trigger's budget.

    Args:
        spec: A trigger with a budget.
    """

    def __init__(self, spec: TriggerSpec) -> None:
        self._spec = spec
        self._windows = [(_seconds(each), each.burn) for each in spec.burning]
        self.longest = max(long for (long, _), _ in self._windows)
        self.of = _sampled_as(spec)
        shortest = min(short for (_, short), _ in self._windows)
        self._counts = BurnCounts(shortest=shortest, longest=self.longest)
        self._from = 0

    def restore(self, samples: Iterable[Sample], until: int) -> None:
        """Take stored samples of before a second; what is fed of that time is in them already."""
        self._from = until
        for sample in samples:
            if sample.system == self.of and sample.at < until:
                self._counts.add(sample.at, *self._counted(sample))

    def feed(self, sample: Sample, before: Sample | None) -> None:
        """Add a second.

        Args:
            sample: The second as it is now known.
            before: The same second as it was known before; None when it is new.
        """
        if sample.system != self.of or sample.at < self._from:
            return
        bad, total = self._counted(sample)
        # a late line changes a second that was added already: only the difference is new
        if before is not None:
            known_bad, known = self._counted(before)
            bad, total = bad - known_bad, total - known
        self._counts.add(sample.at, bad, total)

    def set_back(self, to: int) -> None:
        """Forget seconds that are still to come: the clock was set back."""
        self._counts.set_back(to)
        self._from = min(self._from, to)

    def judge(self, at: int, since: int) -> Judged:
        """Return what the windows that end with a second say; none begins before `since`."""
        return judge_budget(self._spec, [
            Burnt(long, short, burn,
                  self._counts.within(long, at=at, since=since),
                  self._counts.within(short, at=at, since=since))
            for (long, short), burn in self._windows])

    def _counted(self, sample: Sample) -> tuple[int, int]:
        # a row of the store has what arrived among its `requests`
        if sample.system == GATEWAY and not sample.arrived:
            sample = of_gateway(sample)
        spec = self._spec
        if spec.is_of_requests:
            sample = of_subset(sample, spec.subset)
        found = combine([sample], seconds=sample.resolution).measure(spec.measured.name)
        # from the share back to the events: every metric of a budget is a share of them
        return round((found.value or 0.0) * found.samples), found.samples


def _sampled_as(spec: TriggerSpec) -> str:
    """Return the name under which a trigger's metric is sampled."""
    source = spec.measured.source
    if source is Source.OUTCOME:
        return outcomes_of(spec.of, spec.segment)
    return {Source.GATEWAY: GATEWAY, Source.COMPARISON: SHADOW}.get(source, spec.of)


def _seconds(window: BurnWindow) -> tuple[int, int]:
    return int(window.long.total_seconds()), int(window.lasting.total_seconds())
