"""What a plan's triggers would have fired: while users were on the candidate, and while none were.

While users were on the candidate they see what the observer saw. While everyone was on the
baseline, a trigger about the candidate sees the baseline's own samples: it is as good as healthy
by definition, and whatever fires is a false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from changeover.analysis.backtest.found import Change, Fired, NotKnown, TriggerAgain
from changeover.analysis.backtest.replay import Grid, replay
from changeover.analysis.check import describe_bound
from changeover.analysis.trigger import Firing
from changeover.clock import from_timestamp
from changeover.domain.rollbacks import TriggerFiring
from changeover.plan.conditions import Condition
from changeover.plan.metrics import Source
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerSpec
from changeover.plan.units import format_duration
from changeover.procedures.backtest.kept_rows import KeptRows
from changeover.procedures.backtest.looks import Looked, fired_by_evidence
from changeover.procedures.backtest.timeline import Span, Timeline
from changeover.site.site import Site
from changeover.store import firings, series

DAY = 86_400
SECOND, MINUTE = 1, 60
STORED = "as it is stored"
Progress = Callable[[int], None]


@dataclass
class _Seen:
    """What is found of one trigger while time is gone through."""

    spec: TriggerSpec
    change: Change
    on_users: list[Fired] = field(default_factory=list)
    at_baseline: list[Fired] = field(default_factory=list)
    why_not: dict[str, None] = field(default_factory=dict)
    by_minutes: bool = False
    is_unseen: bool = False
    healthy_seconds: int = 0


class Beside(Protocol):
    """Who needs rows of the time at the baseline that are read anyway."""

    def asked(self) -> list[tuple[Condition, str]]:
        """Return the conditions, with the system that stands for their own."""
        ...

    def take(self, rows: KeptRows) -> None:
        """Take the minutes of a time at the baseline."""
        ...


class Triggers:
    """Goes through a time with a plan's triggers.

    Args:
        site: The migration.
        plan: The plan that is asked.
        timeline: Where users were.
    """

    def __init__(self, site: Site, plan: Plan, timeline: Timeline) -> None:
        self._site, self._plan, self._timeline = site, plan, timeline
        known = {each.name: each for each in site.plan.triggers}
        self._seen = [_Seen(spec, _change(known.get(spec.name), spec)) for spec in plan.triggers]
        self._fired = firings.all_of(site.store, site.migration, since=timeline.since)
        self.measured = {True: 0, False: 0}

    def run(self, progress: Progress, beside: Beside) -> None:
        """Go through the whole time.

        Args:
            progress: Called with how many seconds of it were done since the last call.
            beside: Who needs the same rows of the time at the baseline.

        Raises:
            StoreError: The store cannot be read.
        """
        edge = series.oldest(self._site.store, self._site.migration, SECOND)
        for span in self._timeline.spans():
            # older seconds were summed up by the minute, and deleted
            cut = span.end if edge is None else int(edge.timestamp()) // MINUTE * MINUTE
            cut = min(max(span.start, cut), span.end)
            whole = Grid.over(range(span.start, span.end), MINUTE)
            minutes = KeptRows(self._site.store, self._site.migration, whole, progress)
            asked = [] if span.is_on_users else beside.asked()
            self._part(span, minutes, Grid.over(range(span.start, cut), MINUTE), asked)
            if not span.is_on_users:
                beside.take(minutes)
            seconds = Grid.over(range(cut, span.end), SECOND)
            rows = KeptRows(self._site.store, self._site.migration, seconds, lambda _: None)
            self._part(span, rows, seconds, [])

    def weigh(self, stages: Sequence[Looked]) -> None:
        """Ask the triggers that evidence judges about the stages of the time."""
        for seen in self._seen:
            if seen.spec.is_sequential and seen.change is not Change.SAME:
                seen.on_users, why_not = fired_by_evidence(self._site, seen.spec, stages)
                if why_not:
                    seen.why_not[why_not] = None
                    seen.is_unseen = True

    def found(self) -> tuple[list[TriggerAgain], list[NotKnown]]:
        """Return what was found of each trigger, and what cannot be told."""
        again = [self._again(each) for each in self._seen]
        names = {each.spec.name for each in self._seen}
        again += _dropped(self._site.plan, self._on_users_fired(), names)
        unknown = []
        for each in self._seen:
            unknown += [NotKnown(f"trigger {each.spec.name}", why) for why in each.why_not]
        return again, unknown

    def _part(
        self, span: Span, rows: KeptRows, grid: Grid, beside: list[tuple[Condition, str]]
    ) -> None:
        """Go through a part of a time, of which `grid` is the beginning of the rows'."""
        asked = []
        for seen in self._seen:
            system = _stands_for(seen, span)
            if system is not None:
                asked.append((seen, system))
        conditions = [(seen.spec, system) for seen, system in asked]
        rows.read([*conditions, *beside])
        measured = rows.measured_seconds(grid.steps)
        self.measured[span.is_on_users] += measured
        if not grid.steps:
            return
        for seen, system in asked:
            spec = seen.spec
            seen.by_minutes |= _is_coarse(spec, grid) and measured > 0
            judge, may_hold = rows.judge(spec, system)
            fired = []
            for each in replay(spec, grid, may_hold[:grid.steps], judge):
                fired.append(_as_fired(each, grid))
            if span.is_on_users:
                seen.on_users += fired
            else:
                seen.at_baseline += fired
                seen.healthy_seconds += measured

    def _again(self, seen: _Seen) -> TriggerAgain:
        spec, then = seen.spec, self._on_users_fired()
        mine = [each for each in then if each.trigger == spec.name]
        now: list[Fired] = seen.on_users
        if seen.change is Change.SAME:  # what it did is known, to the second
            now = [_of_stored(each, by=STORED) for each in mine]
        is_healthy_unknown = seen.healthy_seconds == 0
        is_unknown = seen.change is not Change.SAME and seen.is_unseen and not now
        return TriggerAgain(
            spec.name, str(spec.action), condition(spec), seen.change,
            [_of_stored(each) for each in mine], None if is_unknown else now,
            None if is_healthy_unknown else seen.at_baseline,
            sum(each.trigger == spec.name for each in self._fired) - len(mine),
            seen.healthy_seconds / DAY, _how(seen))

    def _on_users_fired(self) -> list[TriggerFiring]:
        spans = [each for each in self._timeline.spans() if each.is_on_users]
        return [each for each in self._fired if any(_is_in(each, span) for span in spans)]


def condition(spec: TriggerSpec) -> str:
    """Return a trigger's condition for people."""
    about = "" if spec.measured.source is Source.GATEWAY else f" of {spec.of}"
    segment = f" in {spec.part}" if spec.part else ""
    bound = describe_bound(spec)
    if spec.budget is not None:
        return f"{spec.measured.name}{about}{segment}: {bound}"
    if spec.is_to_baseline:
        bound = f"not {bound}"
    return (f"{spec.measured.name}{about}{segment} {bound}, over {format_duration(spec.window)}, "
            f"for {format_duration(spec.for_)}")


def _change(known: TriggerSpec | None, spec: TriggerSpec) -> Change:
    if known is None:
        return Change.NEW
    # what a plan says by default, a stored one says in words
    is_same = known.model_dump() == spec.model_dump()
    return Change.SAME if is_same else Change.CHANGED


def _is_coarse(spec: TriggerSpec, grid: Grid) -> bool:
    """Whether a trigger's windows are no whole steps of what is kept."""
    windows = [each for pair in spec.burning for each in (pair.long, pair.lasting)]
    return any(each.total_seconds() % grid.resolution for each in windows or [spec.window])


def _shortest(spec: TriggerSpec) -> timedelta:
    return min((each.lasting for each in spec.burning), default=spec.window)


def _stands_for(seen: _Seen, span: Span) -> str | None:
    """Return whose samples a trigger sees in a time; None, with the reason noted, when nobody's."""
    spec = seen.spec
    source = spec.measured.source
    if spec.stages:
        seen.why_not["it is watched in some stages only, which are not told apart"] = None
        seen.is_unseen = True
        return None
    if spec.is_sequential:  # evidence is asked elsewhere, about stages and not about seconds
        return None
    if spec.path is not None:
        seen.why_not["counts of single places are not gone through again"] = None
        seen.is_unseen = True
        return None
    if spec.is_external:
        seen.why_not["what sources said between verdicts is not kept"] = None
        seen.is_unseen = True
        return None
    if span.is_on_users:
        # what an unchanged one did is in the store
        return None if seen.change is Change.SAME else spec.of
    if spec.is_to_baseline:
        seen.why_not[
            "at the baseline: there is no second system to compare with in each minute"] = None
        return None
    if source is Source.PROCESS and spec.of == "candidate":
        seen.why_not[
            "at the baseline: memory and CPU of one system say nothing of another's"] = None
        return None
    return "baseline"


def _as_fired(firing: Firing, grid: Grid) -> Fired:
    by = "by seconds" if grid.resolution == SECOND else "by minutes"
    return Fired(from_timestamp(firing.at), firing.reason, firing.evidence.get("value"), by)


def _of_stored(firing: TriggerFiring, by: str = "") -> Fired:
    return Fired(firing.evidence_complete_at - timedelta(seconds=1), firing.reason,
                 firing.evidence.get("value"), by)


def _is_in(firing: TriggerFiring, span: Span) -> bool:
    """Whether a firing was completed in a time; its rollback ends the very second."""
    second = firing.evidence_complete_at.timestamp()
    return span.start <= second <= span.end + 2


def _how(seen: _Seen) -> str:
    spec = seen.spec
    said = []
    if spec.is_sequential:
        return "judged by the evidence of a stage: see the times at the baseline below"
    if spec.of == "candidate" and seen.healthy_seconds:
        said.append("the baseline's own samples stand for the candidate's")
    if seen.by_minutes:
        said.append(f"older than the kept seconds by whole minutes instead of windows of "
                    f"{format_duration(_shortest(spec))}, so shorter peaks are not seen")
    return "; ".join(said)


def _dropped(
    running: Plan, fired: Sequence[TriggerFiring], names: set[str]
) -> list[TriggerAgain]:
    """Return the triggers of the plan that runs which the asked plan does not have."""
    found = []
    for spec in running.triggers:
        if spec.name in names:
            continue
        mine = [_of_stored(each) for each in fired if each.trigger == spec.name]
        found.append(TriggerAgain(
            spec.name, str(spec.action), condition(spec), Change.DROPPED, mine, (), None))
    return found


def of_gates(fired: Sequence[TriggerFiring]) -> list[TriggerAgain]:
    """Return what gates and guardrails fired beside the triggers."""
    others: dict[str, list[Fired]] = {}
    for each in fired:
        if each.trigger.startswith(("gate ", "guardrail ")):
            others.setdefault(each.trigger, []).append(_of_stored(each))
    return [TriggerAgain(name, "rollback", "", Change.SAME, seen, seen, None)
            for name, seen in sorted(others.items())]
