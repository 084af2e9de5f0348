"""A small report made by hand: two stages, one approval, one rollback, no store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Sample, Window
from changeover.domain.audit import AuditEvent
from changeover.domain.procedures import Step, StepStatus
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Rollback, RollbackSeverity, RollbackStatus, TriggerFiring
from changeover.domain.rollout import Approval, Cutover, CutoverStatus, GateVerdict
from changeover.domain.verdict import Verdict
from changeover.plan.triggers import TriggerAction
from reports import measures, timeline
from reports.headline import Story, headline
from reports.model import AuditView, Figures, ReportData, RollbackView, StageStanding, StageView

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NAMES = {"baseline": "old-parser", "candidate": "new-parser"}
TITLES = {"beta-5": "beta 5 %", "gradual-50": "gradual 50 %"}
NASTY = "Eve <script>alert(1)</script> | `x`\n# [now](javascript:1) \"quoted\" & 'more'"
"""What a person may type into a name, a comment or a reason."""


def after(seconds: float) -> datetime:
    """Return the time so many seconds after the cutover began."""
    return AT + timedelta(seconds=seconds)


def event(kind: str, seconds: float, seq: int = 1, actor: str = "cutover 1",
          **data: Any) -> AuditEvent:
    """Return an audit event at so many seconds after the cutover began."""
    return AuditEvent("documents", seq, after(seconds), actor, kind, data, "0" * 64, "f" * 64)


def sample(system: str, second: int, *, requests: int = 10, **changes: Any) -> Sample:
    """Return one second of traffic, every request taking 5 ms."""
    latency = Histogram.of([5000] * requests)
    return Sample(system=system, at=int(AT.timestamp()) + second, requests=requests,
                  latency=latency, **changes)


def check(**changes: Any) -> dict[str, Any]:
    """Return the stored evidence of a check that passed."""
    return {
        "metric": "error_rate", "of": "candidate", "bound": "below 0.500 %", "verdict": "pass",
        "reason": "error_rate of candidate 0.100 % is below 0.500 % in 1000 samples",
        "value": 0.001, "samples": 1000, "min_samples": 100, "baseline_value": None,
        "baseline_samples": None, "window_start": AT.isoformat(),
        "window_end": after(30).isoformat(), **changes,
    }


def evaluation(verdict: Verdict = Verdict.PASS, *, number: int = 1, **changes: Any) -> GateVerdict:
    """Return a evaluation at the gate `slo` of stage `beta-5`."""
    values: dict[str, Any] = {
        "id": number, "cutover_id": 1, "stage": "beta-5", "gate": "slo", "round": 1,
        "attempt": number - 1, "verdict": verdict, "reason": f"the gate is {verdict}",
        "at": after(30), "evidence": [check(verdict=verdict)], **changes,
    }
    return GateVerdict(**values)


def approval(**changes: Any) -> Approval:
    """Return Ana's answer to the question about stage `beta-5`."""
    return replace(Approval(
        id=1, cutover_id=1, stage="beta-5", round=1, ordinal=1, epoch=0, question="Leave?",
        asked_at=after(30), decision="promote", approver="Ana Lima", comment="looks fine",
        source="prefect", answered_at=after(40),
    ), **changes)


def figures(system: str = "candidate", **counts: Any) -> Figures:
    """Return figures of one system over a minute: 48,210 requests, most of 5 ms."""
    latency = Histogram.of([5000] * 90 + [12_500] * 10)
    window = Window(
        seconds=60, process_samples=60, watched=60, requests=48_210, user_errors=3,
        errors={"saved": 40, "status_5xx": 3}, latency=latency, probes=60, probes_up=60,
        memory_bytes=84_000_000, cpu_cores=0.5)
    return Figures(system, NAMES[system], AT, after(60), replace(window, **counts))


def stage(key: str = "beta-5", **changes: Any) -> StageView:
    """Return a stage that was promoted after 40 s."""
    return replace(StageView(
        key=key, title=TITLES[key], index=list(TITLES).index(key), status=StageStanding.PROMOTED,
        weight=500,
        segments=("beta",), soak_seconds=30, gates=("slo",), approvers=1, round=1, entered_at=AT,
        soak_until=after(30), decided_at=after(40), seconds=40, decision="promoted",
        reason="Ana Lima decided promote", figures=(figures("baseline"), figures()),
        evaluations=(evaluation(),), approvals=(approval(),),
    ), **changes)


def cutover(status: CutoverStatus = CutoverStatus.ROLLED_BACK, **changes: Any) -> Cutover:
    """Return the cutover."""
    return replace(Cutover(
        id=1, migration="documents", epoch=0, status=status, flow_run_id="run", started_at=AT,
        ended_at=None if status is CutoverStatus.RUNNING else after(60), outcome="it ended",
    ), **changes)


def rollback(**changes: Any) -> Rollback:
    """Return the rollback that the observer began after 50 s."""
    return replace(Rollback(
        id=1, migration="documents", epoch=1, reason="error_rate 12.400 % is above 2.000 %",
        severity=RollbackSeverity.CRITICAL, scope="all", actor="observer", started_at=after(50),
        cutover_id=1,
        ended_at=after(55), status=RollbackStatus.COMPLETED, analysis={"recommendation": "Mend it"},
    ), **changes)


def firing(**changes: Any) -> TriggerFiring:
    """Return the trigger's firing that caused the rollback."""
    return replace(TriggerFiring(
        id=1, migration="documents", trigger="errors", action=TriggerAction.ROLLBACK,
        reason="error_rate 12.400 % is above 2.000 %", evidence={"value": 0.124},
        evidence_complete_at=after(49.8), fired_at=after(49.9), epoch=1, published_at=after(50.1),
    ), **changes)


def events() -> list[AuditEvent]:
    """Return the audit of the hand-made cutover."""
    return [
        event("cutover.started", 0, 1),
        event("routing.changed", 1, 2, weight=500, to="gradual 5 %", reason="beta begins"),
        event("stage.entered", 1, 3, stage="beta-5"),
        event("approval.answered", 40, 4, actor="Ana Lima", stage="beta-5", decision="promote",
              comment="looks fine", source="prefect"),
        event("stage.entered", 41, 5, stage="gradual-50"),
        event("routing.changed", 41, 6, weight=5000, to="gradual 50 %"),
        event("trigger.fired", 49.9, 7, trigger="errors", action="rollback", reason="too many"),
        event("rollback.started", 50, 8, weight=0, reason="too many"),
    ]


def report(**changes: Any) -> ReportData:
    """Return the report of a cutover that was rolled back at its second stage."""
    record = cutover()
    second = stage("gradual-50", status=StageStanding.ROLLED_BACK, weight=5000, segments=(),
                   evaluations=(),
                   approvals=(), decision="rolled_back", reason="a rollback came first")
    stages = (stage(), second)
    rows = {s: [sample(s, n, memory_bytes=80_000_000) for n in range(60)] for s in NAMES}
    story = Story(record, stages, [rollback()], [firing()], NAMES, "emergency_rollback", after(60))
    span = {"start": AT, "end": after(60)}
    return replace(ReportData(
        migration="documents", subject="cutover", generated_at=after(61), changeover_version="0.1",
        systems=NAMES, headline=headline(story), cutover=record, routing="emergency_rollback",
        start=AT, end=after(60), chart_end=after(60),
        outage=measures.outage([*rows["baseline"], *rows["candidate"]]),
        figures=(figures("baseline"), figures()), stages=stages,
        timeline=timeline.moments(events(), TITLES, **span),
        marks=timeline.marks(events(), TITLES, **span),
        weights=timeline.weights(events(), **span),
        series={s: measures.points(r, start=AT, end=after(60)) for s, r in rows.items()},
        firings=(firing(),),
        rollbacks=(RollbackView(rollback(), (
            Step("documents", "rollback-1", "safe routes", StepStatus.DONE, "everyone is back",
                 after(50), after(51), number=1),
        ), ("Mend it",)),),
        publications=(Publication("documents", 1, 6, after(50), True, 0.0126),),
        audit=AuditView(8, "f" * 64, ()), plan={"migration": "documents", "gates": {}},
    ), **changes)


def short(**changes: Any) -> ReportData:
    """Return the same report without the charts, which take long to draw."""
    return report(series={"baseline": (), "candidate": ()}, **changes)
