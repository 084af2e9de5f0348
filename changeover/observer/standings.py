"""What the gates of the present stage would say now, and harm that needs no soak's end.

Failing may come early, because evidence may be read at any time. Passing never does.
"""

from __future__ import annotations

from dataclasses import dataclass

from changeover import clock
from changeover.analysis.gate import GateResult, fails_its_gate
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.trigger import Firing
from changeover.domain.courses import spacing
from changeover.domain.rollout import StageRecord, StageStatus, Standing
from changeover.domain.routing import TRIED
from changeover.domain.verdict import Verdict
from changeover.observer.polling import SourcePolls
from changeover.plan.conditions import CheckSpec, OnFail
from changeover.procedures.bucket_evidence import stage_sums
from changeover.procedures.checking import end_of_windows, evidence_of, judge_now
from changeover.procedures.counting import as_watched
from changeover.procedures.outlooks import Remembered
from changeover.site.site import Site
from changeover.store import cutovers, routing, standings

OFTEN_SECONDS, SELDOM_SECONDS = 5.0, 30.0
OFTEN_FOR_SECONDS = 600
"""A stage is looked at often for so long: harm that is there from the start shows soon."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What does not change while a stage soaks."""

    stage: StageRecord
    past: Slice


class Standings:
    """Judges the gates of the stage that soaks, again and again.

    Args:
        site: The migration on this machine.
        sources: What its external sources say.
    """

    def __init__(self, site: Site, sources: SourcePolls | None = None) -> None:
        self._site, self._sources = site, sources or SourcePolls(site)
        self._known: _Known | None = None
        self._fired: set[tuple[int, str, int, str]] = set()
        self._outlook_of = Remembered(site.plan)
        self.pause = OFTEN_SECONDS

    def evaluate(self) -> list[Firing]:
        """Save how the gates stand; return the early failures that were not there before.

        Raises:
            StoreError: The store cannot be used.
        """
        record = self._soaking()
        if record is None:
            return []
        # one end for all gates: their figures are of the same time
        plan, end = self._site.plan, end_of_windows()
        sums = stage_sums(self._site, record, end=end, past=self._past(record))
        found = []
        for gate in plan.stage(record.key).gates:
            result = judge_now(
                self._site, record, gate, lambda: sums,
                read_sources=self._sources.of_gate(gate), outlook_of=self._outlook_of)
            evidence = evidence_of(plan, gate, result)
            for each in evidence:
                # the minutes recompute a verdict; a standing is replaced within seconds
                each.pop("by_minutes", None)
            standing = Standing(
                record.cutover_id, record.key, gate, clock.now(), result.verdict, result.reason,
                evidence)
            apart = spacing(plan.stage(record.key).soak, standing.at - record.entered_at)
            standings.save(self._site.store, standing, apart=apart)
            firing = self._early_failure(record, result)
            if firing is not None:
                found.append(firing)
        # users may have come again while it was judged
        if found and not self._is_still(record):
            return []
        self._fired.update(_key(record, firing.trigger) for firing in found)
        return found

    def _is_still(self, record: StageRecord) -> bool:
        present = self._soaking()
        return present is not None and (
            (present.round, present.entered_at) == (record.round, record.entered_at))

    def _soaking(self) -> StageRecord | None:
        """Return the stage that soaks with users on the candidate, and with none about to come."""
        site = self._site
        cutover = cutovers.active(site.store, site.migration)
        stages = cutovers.stages(site.store, cutover.id) if cutover else []
        is_soaking = bool(stages) and stages[-1].status is StageStatus.SOAKING
        if not is_soaking or routing.read(site.store, site.migration).mode not in TRIED:
            return None
        # also when nothing is found: the pause is for the next evaluation
        age = (clock.now() - stages[-1].entered_at).total_seconds()
        self.pause = OFTEN_SECONDS if age < OFTEN_FOR_SECONDS else SELDOM_SECONDS
        return as_watched(site, stages[-1])

    def _past(self, record: StageRecord) -> Slice:
        known = self._known
        if known is None or known.stage.entered_at != record.entered_at:
            past = self._site.bucket_sums.past(record.entered_at)
            known = self._known = _Known(record, past)
        return known.past

    def _early_failure(self, record: StageRecord, result: GateResult) -> Firing | None:
        """Return a gate that failed by complete evidence, once for each soak."""
        trigger = f"gate {result.gate}"
        checks = self._site.plan.all_gates[result.gate]
        shown = []
        for each, check in zip(result.results, checks, strict=True):
            has_failed = each.verdict is Verdict.FAIL and each.samples >= each.min_samples
            if has_failed and _may_be_early(check):
                shown.append(each)
        # one alone may be too little where the gate asks for several
        shown = [each for each in shown if fails_its_gate(each, shown)]
        if not shown or _key(record, trigger) in self._fired:
            return None
        # a stage that moves a route only takes back that route only
        is_of_route = bool(self._site.plan.stage(record.key).routes)
        scope = shown[0].subset if is_of_route else None
        return Firing(
            trigger=trigger, reason=shown[0].reason, at=int(clock.now().timestamp()),
            evidence={**shown[0].as_evidence(), "stage": record.key}, scope=scope)


def _key(record: StageRecord, trigger: str) -> tuple[int, str, int, str]:
    """Return what names a failure: it is told once for each soak."""
    return record.cutover_id, record.key, record.round, trigger


def _may_be_early(check: CheckSpec) -> bool:
    """Whether a check's failure needs no soak's end: it is shown by evidence, and rolls back."""
    is_rollback = check.on_fail is OnFail.ROLLBACK
    return is_rollback and check.is_sequential and check.early_fail
