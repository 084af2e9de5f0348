"""Gathering what the guardrails look at when a stage's gates are judged."""

from __future__ import annotations

from datetime import datetime, timedelta

from changeover.analysis import guardrails
from changeover.analysis.gate import GateResult
from changeover.analysis.guardrails import Evidence, Regression
from changeover.analysis.window import Window
from changeover.domain.rollout import StageRecord, StageStatus
from changeover.plan.guardrails import GATE, Guardrail
from changeover.plan.model import PhaseKind, Stage
from changeover.shadow import findings
from changeover.store import cutovers, verdicts
from tasks.runtime import Runtime
from tasks.traffic import has_share

BEFORE = timedelta(hours=24)
"""The baseline is known from so long before the stage, where it serves nobody beside it."""


def judge_guardrails(
    runtime: Runtime, record: StageRecord, spec: Stage, *, end: datetime
) -> GateResult:
    """Return the verdict of all guardrails over the stage, and what each found.

    Args:
        runtime: The connections.
        record: The stage as it stands.
        spec: The stage in the plan.
        end: End of the windows.
    """
    start = min(record.entered_at, end)

    def window(system: str, since: datetime, until: datetime) -> Window:
        return runtime.metrics.window(system, start=since, end=until)

    evidence = Evidence(
        own=window("candidate", start, end),
        baseline=window("baseline", start, end),
        before=window("baseline", start - BEFORE, start),
        share=_share(runtime, spec),
        regressions=_regressions(runtime, record.cutover_id),
        accepted=_accepted(runtime, record),
        start=start, end=end,
    )
    plan = runtime.plan.guardrails
    names = [name for name in Guardrail if plan.is_on(name)]
    results = guardrails.judge_guardrails(names, evidence)
    verdict, reason = guardrails.overall(results, plan.turned_off)
    return GateResult(GATE, verdict, reason, tuple(results))


def _share(runtime: Runtime, spec: Stage) -> float | None:
    is_split = spec.phase in (PhaseKind.BETA, PhaseKind.GRADUAL) and spec.percent > 0
    return float(spec.percent) / 100 if is_split and has_share(runtime, spec) else None


def _regressions(runtime: Runtime, cutover_id: int) -> list[Regression] | None:
    """Return the firm regressions that were seen since the cutover began."""
    if runtime.plan.shadow is None:
        return None
    since = cutovers.get(runtime.store, cutover_id).started_at
    return [
        Regression(each.place.field, each.verdict.rate, each.verdict.samples, each.verdict.reason)
        for each in findings.collect(runtime.store, runtime.migration).findings
        if each.verdict.is_firm and each.place.last_seen >= since
    ]


def _accepted(runtime: Runtime, record: StageRecord) -> frozenset[str]:
    """Return the places that people saw at an earlier gate of this cutover, and promoted."""
    promoted = {each.key for each in cutovers.stages(runtime.store, record.cutover_id)
                if each.status is StageStatus.PROMOTED}
    return frozenset(
        place for look in verdicts.all_of(runtime.store, record.cutover_id)
        if look.gate == GATE and look.stage in promoted
        for check in look.evidence for place in check.get("places", ()))
