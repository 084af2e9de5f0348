"""A moment in which a stage was judged, with what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from changeover.domain.rollout import Cutover, GateVerdict, StageRecord
from changeover.plan.conditions import CheckSpec
from changeover.plan.guardrails import GATE
from changeover.plan.model import Plan, Stage
from changeover.procedures.backtest.timeline import Timeline
from changeover.procedures.bucket_evidence import questions
from changeover.procedures.checking import SETTLE
from changeover.site.site import Site
from changeover.store import cutovers, verdicts


@dataclass(frozen=True)
class Moment:
    """One evaluation of a stage.

    Args:
        site: The migration.
        plan: The plan that is asked.
        cutover: The cutover.
        record: The stage as it stands now.
        stored: The verdicts of all gates, the guardrails' among them.
        weight: Buckets of the candidate at that time.
    """

    site: Site
    plan: Plan
    cutover: Cutover
    record: StageRecord
    stored: Sequence[GateVerdict]
    weight: int

    @cached_property
    def spec(self) -> Stage | None:
        """The stage in the plan that is asked; None when it has none of that name."""
        return next(
            (each for each in self.plan.stages() if each.key == self.record.key), None)

    @property
    def at(self) -> datetime:
        """When the verdicts were stored."""
        return min(each.at for each in self.stored)

    @property
    def attempt(self) -> int:
        """How often the stage had been looked at in this soak before."""
        return self.stored[0].attempt

    def gate(self, name: str) -> GateVerdict | None:
        """Return the stored verdict of a gate."""
        return next((each for each in self.stored if each.gate == name), None)

    @property
    def gates(self) -> list[GateVerdict]:
        """The stored verdicts of the plan's gates."""
        return [each for each in self.stored if each.gate != GATE]

    @cached_property
    def end(self) -> datetime:
        """The end of the windows of that time."""
        ends = []
        for known in self.stored:
            ends += [each["window_end"] for each in known.evidence if "window_end" in each]
        # no check has one (a stage without gates): it would have ended just before
        if not ends:
            return (self.at - SETTLE).replace(microsecond=0)
        return max(datetime.fromisoformat(each) for each in ends)

    def start(self, check: CheckSpec, end: datetime) -> datetime:
        """Return where the window of a check began that ends at `end`."""
        soak = self.spec.soak if self.spec else end - self.record.entered_at
        # a window never reaches back before the stage, as when it was judged
        return min(end, max(end - (check.over or soak), self.record.entered_at))

    @cached_property
    def checks(self) -> float:
        """How many checks and triggers of the stage share the allowed false alarms."""
        return questions(self.plan, self.spec) if self.spec else 0

    def sums(self, gate: GateVerdict) -> bytes | None:
        """Return the packed sums that a gate was judged by; None where there are none."""
        found = verdicts.get(self.site.store, gate.id)
        return found[1] if found else None


def moments(site: Site, plan: Plan, timeline: Timeline) -> Iterator[Moment]:
    """Yield each evaluation of a stage in a time, oldest first."""
    since, until = timeline.since, timeline.until
    for cutover in cutovers.all_of(site.store, site.migration):
        if cutover.started_at >= until or (cutover.ended_at or until) < since:
            continue
        records = {each.key: each for each in cutovers.stages(site.store, cutover.id)}
        groups: dict[tuple[str, int, int], list[GateVerdict]] = {}
        for known in verdicts.all_of(site.store, cutover.id):
            if since <= known.at < until:
                key = known.stage, known.round, known.attempt
                groups.setdefault(key, []).append(known)
        for (stage, _, _), stored in groups.items():
            if stage in records:
                weight = timeline.weight_at(stored[0].at)
                yield Moment(site, plan, cutover, records[stage], stored, weight)

