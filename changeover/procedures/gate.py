"""Judging a stage's gates over their windows and storing the verdicts with their evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from changeover import clock
from changeover.analysis.check import CheckResult, judge
from changeover.analysis.gate import GateResult, StageDecision, decide_stage, judge_gate
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.keeping import pack_stage
from changeover.domain.rollout import GateVerdict, StageRecord
from changeover.domain.verdict import Verdict, worst
from changeover.errors import InvalidInput
from changeover.plan.conditions import CheckSpec, TriggerAction
from changeover.plan.guardrails import GATE
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import Stage
from changeover.procedures.bucket_evidence import stage_sums
from changeover.procedures.guardrail_evidence import Seen, judge_guardrails
from changeover.procedures.steps import CutoverRun
from changeover.store import cutovers, firings, verdicts

SETTLE = timedelta(seconds=2)
"""Samples of the last seconds are still being completed by the observer; windows end before."""


def judge_stage(run: CutoverRun, stage: str, seen: Seen) -> StageDecision:
    """Judge every gate of a stage once per evaluation and say what follows.

    An evaluation that was made before a kill is not repeated: its stored verdict counts.

    Args:
        run: The cutover.
        stage: Key of the stage.
        seen: What the guardrails need from elsewhere.

    Raises:
        StaleEpoch: A rollback came first.
        InvalidInput: The stage was never entered.
    """
    run.current_state()
    record = cutovers.stage(run.site.store, run.id, stage)
    if record is None:
        raise InvalidInput(f"stage {stage} of cutover {run.id} was never entered")
    spec, end = run.site.plan.stage(stage), _end()
    judged = [
        _judge_once(run, record, gate, partial(_judge_gate, run, record, spec, gate))
        for gate in spec.gates
    ]
    alarm = _judge_once(
        run, record, GATE, partial(judge_guardrails, run, record, spec, seen, end=end))
    return _decide(run, record, judged, alarm, is_reduced=not seen.has_share)


def _judge_once(
    run: CutoverRun, record: StageRecord, gate: str, judge_now: Callable[[], GateResult]
) -> GateVerdict:
    """Return the verdict of this evaluation of a gate, from the store if it was given before."""
    for known in verdicts.all_of(run.site.store, run.id, record.key):
        if (known.gate, known.round, known.attempt) == (gate, record.round, record.rechecks):
            return known
    result = judge_now()
    evidence = [each.as_evidence() for each in result.results]
    if gate != GATE:  # what was asked, so that the verdict can be recomputed
        for each, check in zip(evidence, run.site.plan.gates[gate], strict=True):
            each["check"] = check.model_dump(mode="json", exclude_defaults=True)
    return verdicts.save(run.site.store, GateVerdict(
        cutover_id=run.id, stage=record.key, gate=gate, round=record.round,
        attempt=record.rechecks, verdict=result.verdict, reason=result.reason, at=clock.now(),
        evidence=evidence), result.sums)


def _judge_gate(run: CutoverRun, record: StageRecord, spec: Stage, gate: str) -> GateResult:
    end = _end()
    checks = run.site.plan.gates[gate]
    by_buckets = [check for check in checks if check.is_sequential]
    sums = stage_sums(run, record, spec, end=end) if by_buckets else None
    results = []
    for check in checks:
        result = _judge_check(run, check, record.entered_at, end=end, soak=spec.soak)
        if sums is not None and check.is_sequential:
            result = _with_shown(judge_by_buckets(check, sums), result)
        results.append(result)
    judged = judge_gate(gate, results)
    if sums is None:
        return judged
    return replace(judged, sums=pack_stage(sums, by_buckets))


def _with_shown(judged: CheckResult, measured: CheckResult) -> CheckResult:
    """Return a check's result; a quantile's value is that of the window, as everywhere else."""
    if METRICS[judged.metric].quantile is None:
        return judged
    return replace(judged, value=measured.value, baseline_value=measured.baseline_value)


def _end() -> datetime:
    """Return the end of windows: a whole second, so that those of a second hold one."""
    return (clock.now() - SETTLE).replace(microsecond=0)


def _judge_check(
    run: CutoverRun, check: CheckSpec, entered: datetime, *, end: datetime, soak: timedelta
) -> CheckResult:
    """Judge one check over its window, never reaching back before the stage began."""
    metrics = run.site.metrics
    start = min(end, max(end - (check.over or soak), entered))
    own = metrics.window(
        check.of, start=start, end=end, place=check.path, segment=check.segment)
    baseline = None
    if check.is_to_baseline:
        baseline = metrics.window("baseline", start=start, end=end, segment=check.segment)
    result = judge(check, own, baseline, start=start, end=end)
    if METRICS[check.metric].source is Source.COMPARISON:
        return result.with_coverage(metrics.coverage())
    return result


def _decide(
    run: CutoverRun, record: StageRecord, judged: list[GateVerdict], alarm: GateVerdict, *,
    is_reduced: bool,
) -> StageDecision:
    """Return what follows from the verdicts, guardrails, approvals and triggers that say hold."""
    plan = run.site.plan
    verdict = worst(known.verdict for known in judged) if judged else Verdict.PASS
    fired = firings.all_of(run.site.store, run.migration, since=record.entered_at)
    holds = [firing for firing in fired if firing.action is TriggerAction.HOLD]
    is_alarmed = alarm.verdict is Verdict.FAIL
    is_asked = plan.stage(record.key).approvers > 0
    decision = decide_stage(
        verdict=verdict,
        rechecks_left=plan.patience.rechecks - record.rechecks,
        needs_approval=is_asked or bool(holds) or is_reduced,
        is_alarmed=is_alarmed,
    )
    reasons = [f"guardrail {alarm.reason}"] if is_alarmed else []
    reasons += [known.reason for known in judged if known.verdict is verdict]
    if is_reduced:
        reasons.append("fewer users are moved than the stage says, by a rollback of a part")
    reasons += [f"trigger {firing.trigger} says hold: {firing.reason}" for firing in holds]
    return StageDecision(
        record.key, decision.action, "; ".join(reasons) or "the stage has no gate")
