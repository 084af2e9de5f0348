"""Judging a stage's gates over their windows and storing the verdicts with their evidence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from changeover import clock
from changeover.analysis.check import CheckResult, judge
from changeover.analysis.gate import Decision, GateResult, decide_stage, judge_gate
from changeover.domain.rollout import GateVerdict, StageAction, StageRecord
from changeover.domain.verdict import Verdict, worst
from changeover.plan.guardrails import GATE
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import CheckSpec, Stage, TriggerAction
from changeover.store import cutovers, firings, verdicts
from tasks.guardrails import judge_guardrails
from tasks.lifecycle import cutover_of
from tasks.runtime import Runtime, current_state, runtime_of
from tasks.steps import step
from tasks.traffic import has_share

SETTLE = timedelta(seconds=2)
"""Samples of the last seconds are still being completed by the observer; windows end before."""


@step(name="judge gate", task_run_name="judge gate: {stage}")
def judge_stage(migration: str, cutover_id: int, stage: str) -> dict[str, str]:
    """Judge every gate of a stage once per look and say what follows.

    A look that was judged before a kill is not judged again: its stored verdict counts.

    Returns:
        `action` (promote, ask, rollback, wait) and `reason`.

    Raises:
        StaleEpoch: A rollback came first.
    """
    runtime = runtime_of(migration)
    cutover = cutover_of(migration, cutover_id)
    current_state(runtime, cutover)
    record = _record(runtime, cutover_id, stage)
    spec = runtime.plan.stage(stage)
    verdicts = [
        _judge_once(runtime, record, gate, partial(_judge_gate, runtime, record, spec, gate))
        for gate in spec.gates
    ]
    guarded = _judge_once(
        runtime, record, GATE, partial(judge_guardrails, runtime, record, spec, end=_end()))
    decision = _decide(runtime, record, spec, verdicts, guarded)
    return {"action": str(decision.action), "reason": decision.reason}


def _record(runtime: Runtime, cutover_id: int, stage: str) -> StageRecord:
    record = cutovers.stage(runtime.store, cutover_id, stage)
    if record is None:
        raise KeyError(f"stage {stage} was never entered")
    return record


def _judge_once(
    runtime: Runtime, record: StageRecord, gate: str, judge_now: Callable[[], GateResult]
) -> GateVerdict:
    """Return the verdict of this look at a gate, from the store if it was given before."""
    for known in verdicts.all_of(runtime.store, record.cutover_id, record.key):
        if (known.gate, known.round, known.attempt) == (gate, record.round, record.rechecks):
            return known
    result = judge_now()
    return verdicts.save(
        runtime.store,
        cutover_id=record.cutover_id,
        stage=record.key,
        gate=gate,
        round=record.round,
        attempt=record.rechecks,
        verdict=str(result.verdict),
        reason=result.reason,
        evidence=[check.as_evidence() for check in result.results],
        now=clock.now(),
    )


def _judge_gate(runtime: Runtime, record: StageRecord, spec: Stage, gate: str) -> GateResult:
    end = _end()
    return judge_gate(
        gate,
        [
            _judge_check(runtime, check, record.entered_at, end, spec.soak)
            for check in runtime.plan.gates[gate]
        ],
    )


def _end() -> datetime:
    """Return the end of windows: a whole second, so that those of a second hold one."""
    return (clock.now() - SETTLE).replace(microsecond=0)


def _judge_check(
    runtime: Runtime, check: CheckSpec, entered: datetime, end: datetime, soak: timedelta
) -> CheckResult:
    """Judge one check over its window, never reaching back before the stage began."""
    start = min(end, max(end - (check.over or soak), entered))
    own = runtime.metrics.window(
        check.of, start=start, end=end, place=check.path, segment=check.segment)
    baseline = None
    if check.is_to_baseline:
        baseline = runtime.metrics.window(
            "baseline", start=start, end=end, segment=check.segment)
    result = judge(check, own, baseline, start=start, end=end)
    if METRICS[check.metric].source is Source.COMPARISON:
        return result.with_coverage(runtime.metrics.coverage())
    return result


def _decide(
    runtime: Runtime, record: StageRecord, spec: Stage, verdicts: list[GateVerdict],
    guarded: GateVerdict,
) -> Decision:
    """Return what follows from the verdicts, guardrails, approvals and triggers that say hold."""
    verdict = worst(Verdict(known.verdict) for known in verdicts) if verdicts else Verdict.PASS
    holds = [
        firing for firing in firings.all_of(
            runtime.store, runtime.migration, since=record.entered_at
        )
        if firing.action is TriggerAction.HOLD
    ]
    is_reduced = not has_share(runtime, spec)
    is_alarmed = Verdict(guarded.verdict) is Verdict.FAIL
    decision = decide_stage(
        verdict=verdict,
        rechecks_left=runtime.plan.patience.rechecks - record.rechecks,
        needs_approval=spec.approvers > 0 or bool(holds) or is_reduced,
        is_alarmed=is_alarmed,
    )
    reasons = [f"guardrail {guarded.reason}"] if is_alarmed else []
    reasons += [known.reason for known in verdicts if known.verdict == verdict]
    if is_reduced:
        reasons.append("fewer users are moved than the stage says, by a rollback of a part")
    reasons += [f"trigger {firing.trigger} says hold: {firing.reason}" for firing in holds]
    return Decision(StageAction(decision.action), "; ".join(reasons) or "the stage has no gate")
