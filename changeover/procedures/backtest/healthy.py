"""A plan's gates on time in which everyone was on the baseline: how often health would not pass.

A check that compares users is asked about the buckets as its stage would split them: both halves
were on the baseline, so that whatever fails is a false alarm. One with a bound of its own is asked
about the baseline in the candidate's place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from changeover.analysis.backtest.found import HealthyCheck
from changeover.analysis.backtest.may_hold import reading_of
from changeover.analysis.check import as_asked, judge
from changeover.analysis.sequential.counters import needed_of
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.slices import Counter as Counted
from changeover.analysis.sequential.slow import condition_of, is_timed
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.analysis.window import Window
from changeover.domain.routing import BUCKETS
from changeover.domain.slices import SlowBound
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec, Condition
from changeover.plan.metrics import Source
from changeover.plan.model import Plan, Stage
from changeover.plan.units import format_duration, format_percent
from changeover.procedures.backtest import soaks
from changeover.procedures.backtest.kept_rows import KeptRows
from changeover.procedures.backtest.kept_sums import why_not_counted
from changeover.procedures.backtest.rejudging import condition
from changeover.procedures.backtest.soaks import Soak, newest_soaks
from changeover.procedures.backtest.timeline import Timeline
from changeover.procedures.bucket_evidence import hours_of, questions, settles_for
from changeover.site.site import Site
from changeover.store import slices

Case = tuple[Stage, str, CheckSpec]


@dataclass
class HealthyGates:
    """Asks a plan's gates about time at the baseline.

    Args:
        site: The migration.
        plan: The plan that is asked.
        timeline: Where users were.
    """

    site: Site
    plan: Plan
    timeline: Timeline
    unknown: dict[tuple[str, str], None] = field(default_factory=dict)
    _rows: list[KeptRows] = field(default_factory=list)

    def cases(self) -> list[Case]:
        """Return each check of each stage, and each trigger that evidence judges."""
        by_evidence = [each for each in self.plan.triggers if each.is_sequential]
        found = []
        for stage in self.plan.stages():
            for gate in stage.gates:
                found += [(stage, f"gate {gate}", check) for check in self.plan.all_gates[gate]]
            # evidence compares users, so there must be some on each side
            if 0 < stage.split < BUCKETS:
                found += [(stage, f"trigger {each.name}", each.as_check) for each in by_evidence]
        return found

    def asked(self) -> list[tuple[Condition, str]]:
        """Return the conditions whose rows are needed, with whose rows."""
        return [(check, "baseline") for _, _, check in self.cases() if _is_by_rows(check)]

    def take(self, rows: KeptRows) -> None:
        """Take the minutes of a time at the baseline."""
        self._rows.append(rows)

    def check(self, case: Case) -> HealthyCheck | None:
        """Return how often a check would have failed; None with the reason noted."""
        stage, gate, check = case
        times, why_not = self._soaks(stage), self._why_not(stage, check)
        if not times:
            why_not = "at no time was everyone on the baseline for as long as its soak, " \
                      f"{format_duration(stage.soak)}"
        if why_not:
            what = f"{stage.key}, {gate}: {condition(check)}, at the baseline"
            self.unknown[what, why_not] = None
            return None
        judged = self._by_buckets if check.is_sequential else self._by_values
        verdicts = Counter(judged(stage, check, each) for each in times)
        return HealthyCheck(
            stage.key, gate, condition(check), len(times), verdicts[Verdict.FAIL],
            verdicts[Verdict.PASS], _how(stage, check))

    def _why_not(self, stage: Stage, check: CheckSpec) -> str:
        if check.is_sequential:
            if not 0 < stage.split < BUCKETS:
                return "all users are on one system in this stage"
            hours = [each for found in self._counted.values() for each in found.hours.values()]
            return why_not_counted(self.site.plan, check, self._bounds, hours)
        if check.is_to_baseline:
            return "there is no second system to compare with"
        if not _is_by_rows(check):
            return "only metrics of traffic, probes and the gateway are asked about this time"
        return ""

    def _by_values(self, stage: Stage, check: CheckSpec, soak: Soak) -> Verdict:
        start = max(soak.start, soak.end - (check.over or stage.soak))
        window = self._window(check, int(start.timestamp()), int(soak.end.timestamp()))
        result = judge(check, window, None, start=start, end=soak.end)
        return as_asked(check, result).verdict

    def _window(self, check: CheckSpec, start: int, end: int) -> Window:
        """Return the baseline's whole minutes of a time."""
        for rows in self._rows:
            grid = rows.grid
            last = end // grid.resolution
            width = last - -(-start // grid.resolution)
            index = last - grid.first // grid.resolution - 1
            if width > 0 and width - 1 <= index < grid.steps:
                return rows.windows_of(check, "baseline", width)(index)
        return Window(seconds=float(end - start))

    def _by_buckets(self, stage: Stage, check: CheckSpec, soak: Soak) -> Verdict:
        found = self._counted[soak]
        hours = [found.hours[hour] for hour in sorted(found.hours)]
        sums = StageSums(
            stage.split, hours, found.past, soak.begin, soak.end,
            questions(self.plan, stage), self._bounds, hours_of(stage))
        return as_asked(check, judge_by_buckets(check, sums)).verdict

    @cached_property
    def _counted(self) -> dict[Soak, soaks.Counted]:
        """The sums by bucket of all soaks, with the counters that any check needs."""
        sequential = []
        names: set[str] = {Counted.REQUESTS, Counted.ERRORS}
        for stage, _, check in self.cases():
            if not check.is_sequential or not 0 < stage.split < BUCKETS:
                continue
            sequential.append(stage)
            # without a frozen bound nothing was counted as slow
            if not is_timed(check) or condition_of(check) in self._bounds:
                names.update(needed_of(check, self._bounds))
        # a dictionary: each soak once, in order
        every: dict[Soak, None] = {}
        for stage in sequential:
            every.update(dict.fromkeys(self._soaks(stage)))
        return soaks.counted(self.site, list(every), names)

    @cached_property
    def _bounds(self) -> dict[str, SlowBound]:
        found = slices.slow_bounds(self.site.store, self.site.migration)
        return {each.condition: each for each in found}

    def _soaks(self, stage: Stage) -> list[Soak]:
        settles = settles_for(self.plan, stage) if stage.soak else timedelta(0)
        return newest_soaks(self.timeline, stage.soak, settles)


def _is_by_rows(check: CheckSpec) -> bool:
    """Whether columns of the baseline's minutes tell what a check needs."""
    if check.is_to_baseline or check.path is not None or check.is_external:
        return False
    reading = reading_of(check)
    is_quantile = check.measured.quantile is not None
    source = check.measured.source
    is_told = reading is not None and (reading.fields is not None or is_quantile)
    return is_told and source is not Source.COMPARISON


def _how(stage: Stage, check: CheckSpec) -> str:
    if not check.is_sequential:
        return "the baseline in the candidate's place"
    split = f"the baseline's users split at {format_percent(stage.split)}"
    return split + (", without the margin: nothing can pass"
                    if is_timed(check) or check.is_of_mean else "")

