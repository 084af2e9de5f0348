"""A whole cutover written into a real store within milliseconds, on a made-up clock.

What the flows, the observer and people would do, through the same repositories. The traffic is
random with a fixed seed, so every run tells the same story.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from changeover.analysis.check import judge
from changeover.analysis.gate import judge_gate
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Sample
from changeover.domain.audit import Author, NewEvent
from changeover.domain.procedures import Step, StepStatus, of_rollback
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Rollback, RollbackSeverity, RollbackStatus, TriggerFiring
from changeover.domain.rollout import (
    Answer,
    Approval,
    Cutover,
    CutoverStatus,
    GateVerdict,
    StageStatus,
)
from changeover.domain.routing import Change, Mode
from changeover.plan.model import PhaseKind, Plan, Stage
from changeover.plan.triggers import TriggerAction
from changeover.store import (
    approvals,
    audit,
    cutovers,
    firings,
    plans,
    publications,
    rollbacks,
    routing,
    samples,
    steps,
    verdicts,
)
from changeover.store.engine import Store

BEGIN = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)
MODES = {PhaseKind.SHADOW: Mode.SHADOW, PhaseKind.BETA: Mode.GRADUAL,
         PhaseKind.GRADUAL: Mode.GRADUAL, PhaseKind.FULL: Mode.CANDIDATE_ONLY}


def plan(**changes: Any) -> Plan:
    """Return a plan of five stages with soaks of 30 s, two of them approved by people."""
    return Plan.model_validate({
        "migration": "documents",
        "systems": {
            "baseline": {"name": "email-parser", "url": "http://127.0.0.1:8101", "process": {
                "command": ["serve"], "env": {"FAULT_TOKEN": "sesame"}}},
            "candidate": {"name": "packaging-parser", "url": "http://127.0.0.1:8102",
                          "concurrency": 32},
        },
        "routing": {"segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
        "gates": {"slo": [
            {"metric": "error_rate", "below": "0.5%", "min_samples": 100},
            {"metric": "latency_p95", "ratio_to_baseline": 1.3, "min_samples": 100},
            {"metric": "up", "at_least": 1, "min_samples": 10},
        ], "alone": [{"metric": "error_rate", "below": "0.5%", "min_samples": 100}]},
        "phases": [
            {"phase": "shadow", "soak": "20s"},
            {"phase": "beta", "percent": 5, "segments": ["beta"], "soak": "30s",
             "gates": ["slo"], "approval": {"approvers": 1}},
            {"phase": "gradual", "gates": ["slo"], "stages": [
                {"percent": 25, "soak": "30s"},
                {"percent": 50, "soak": "30s", "approval": {"approvers": 2}}]},
            {"phase": "full", "soak": "30s", "gates": ["alone"]},
        ],
        "triggers": [{"name": "errors", "metric": "error_rate", "above": "2%", "for": "5s",
                      "action": "rollback"}],
        "notify": [{"webhook": "https://example.org/hook/very-secret"}],
        **changes,
    })


@dataclass
class CutoverStory:
    """Writes a cutover into `store` while its own clock goes on.

    Args:
        store: An empty store.
        rate: Requests of users per second.
    """

    store: Store
    plan: Plan = field(default_factory=plan)
    rate: int = 60
    now: datetime = BEGIN
    sick_share: float = 0.0
    cutover: Cutover | None = None
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        plans.register(self.store, self.plan, source="plans/metadata.yaml", now=self.now)

    @property
    def id(self) -> int:
        """The cutover's id."""
        assert self.cutover is not None
        return self.cutover.id

    @property
    def migration(self) -> str:
        """The migration's name."""
        return self.plan.migration

    def begin(self) -> None:
        """Open the cutover after some seconds of plain traffic."""
        self.live(5)
        self.cutover = cutovers.begin(self.store, self.migration, flow_run_id="run-1", now=self.now)

    def live(self, seconds: float) -> None:
        """Let users' traffic go on."""
        weight = routing.read(self.store, self.migration).weight
        rows = []
        for _ in range(round(seconds)):
            share = 0.07 + 0.93 * weight / 10_000 if 0 < weight < 10_000 else weight / 10_000
            ours = round(self.rate * share)
            rows.append(self._second("candidate", ours, self.sick_share))
            rows.append(self._second("baseline", self.rate - ours, 0.0))
            self.now += timedelta(seconds=1)
        samples.write(self.store, self.migration, rows)

    def enter(self, key: str) -> Stage:
        """Move the stage's traffic, publish it, and begin its soak."""
        stage = self.plan.stage(key)
        state = routing.change(
            self.store, self.migration,
            Change(mode=MODES[stage.phase], weight=stage.weight, segments=stage.segments),
            Author(f"cutover {self.id}", f"stage {stage.title} begins"), now=self.now)
        self._publish(state.epoch, state.version)
        cutovers.enter_stage(self.store, self.id, stage, now=self.now)
        return stage

    def judge(self, key: str) -> str:
        """Judge the stage's gates over what was measured; return the last verdict."""
        record = cutovers.stage(self.store, self.id, key)
        assert record is not None
        verdict = "pass"
        for gate in self.plan.stage(key).gates:
            results = []
            for check in self.plan.gates[gate]:
                start, end = record.entered_at, self.now
                own, other = (
                    samples.window(self.store, self.migration, system, start=start, end=end)
                    for system in (check.of, "baseline")
                )
                base = other if check.ratio_to_baseline else None
                results.append(judge(check, own, base, start=start, end=end))
            result = judge_gate(gate, results)
            verdict = str(result.verdict)
            verdicts.save(self.store, GateVerdict(
                cutover_id=self.id, stage=key, gate=gate, round=record.round,
                attempt=record.rechecks, verdict=verdict, reason=result.reason,
                evidence=[found.as_evidence() for found in results], at=self.now))
        return verdict

    def answer(self, key: str, ordinal: int, approver: str, decision: str = "promote",
               comment: str = "") -> None:
        """Ask a person about a stage and take the answer some seconds later."""
        record = cutovers.wait_for_approval(self.store, self.id, key)
        epoch = routing.read(self.store, self.migration).epoch
        asked = approvals.ask(self.store, Approval(
            cutover_id=self.id, stage=key, round=record.round, ordinal=ordinal, epoch=epoch,
            question=f"Leave {key}?", asked_at=self.now))
        self.live(4)
        given = Answer(decision, approver, comment)
        approvals.answer(self.store, asked.id, given, epoch=epoch, now=self.now)

    def hold(self, key: str) -> None:
        """Soak a stage once more."""
        record = cutovers.stage(self.store, self.id, key)
        assert record is not None
        until = self.now + self.plan.stage(key).soak
        cutovers.next_round(self.store, record, until=until, now=self.now)

    def promote(self, key: str, reason: str) -> None:
        """Close a stage as promoted."""
        cutovers.decide(self.store, self.id, key, status=StageStatus.PROMOTED, reason=reason,
                        now=self.now)

    def fire(self, trigger: str = "errors") -> None:
        """A trigger fires and the observer rolls back at once."""
        # the observer notes a firing that takes everyone back with the epoch that it begins
        epoch = routing.read(self.store, self.migration).epoch + 1
        reason = "error_rate of candidate 12.400 % is above 2.000 % in 298 samples, for 5 s"
        firing = firings.record(self.store, TriggerFiring(
            self.migration, trigger=trigger, action=TriggerAction.ROLLBACK, reason=reason,
            evidence={"metric": "error_rate", "value": 0.124}, evidence_complete_at=self.now,
            epoch=epoch, fired_at=self.now + timedelta(seconds=0.21)))
        self.now += timedelta(seconds=0.25)
        state = routing.change(
            self.store, self.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
            Author("observer", reason), now=self.now)
        rollbacks.begin(self.store, Rollback(
            self.migration, epoch=state.epoch, reason=reason, severity=RollbackSeverity.CRITICAL,
            scope="all", actor="observer", cutover_id=self.id, started_at=self.now))
        self._publish(state.epoch, state.version)
        firings.note_published(self.store, firing.id, at=self.now + timedelta(seconds=0.04))

    def carry_out_rollback(self, *, failing: str = "") -> None:
        """Do the further steps; the one named `failing` fails."""
        rollback = rollbacks.latest(self.store, self.migration)
        assert rollback is not None
        names = ("safe routes", "clean up", "restore", "analysis", "verify")
        for number, name in enumerate(names, start=1):
            began = self.now
            self.live(1)
            status = StepStatus.FAILED if name == failing else StepStatus.DONE
            steps.save(self.store, Step(
                self.migration, of_rollback(rollback.id), name, status, f"{name}: {status}",
                began, self.now, number=number))
        analysis = {"before": {"candidate": {"requests": 298, "error_rate": "12.400 %"}},
                    "recommendation": "Mend the candidate, then `changeover recover`"}
        if failing:
            analysis["a_person_must"] = [f"{failing}: by hand"]
        rollbacks.finish(
            self.store, rollback.id, status=RollbackStatus.NEEDS_PERSON if failing else "completed",
            analysis=analysis, now=self.now,
        )

    def finish(self, status: CutoverStatus, outcome: str) -> None:
        """Close the cutover."""
        cutovers.finish(self.store, self.id, status, outcome=outcome, now=self.now)
        audit.record(self.store, self.migration, NewEvent(
            actor="flow", kind="report.written", at=self.now, data={}))

    def pass_stage(self, key: str) -> None:
        """Enter a stage, soak it and judge its gates."""
        stage = self.enter(key)
        self.live(stage.soak.total_seconds())
        self.judge(key)

    def promoted(self) -> CutoverStory:
        """Tell the whole story of a cutover that a person held once and that was promoted."""
        self.begin()
        self.pass_stage("shadow")
        self.promote("shadow", "the stage has no gate")
        self.pass_stage("beta-5")
        self.answer("beta-5", 1, "Ana Lima", "hold", "p95 looks high | let us wait\n<b>30 s</b>")
        self.hold("beta-5")
        self.live(30)
        self.judge("beta-5")
        self.answer("beta-5", 1, "Ana Lima", "promote", "fine now")
        self.promote("beta-5", "Ana Lima decided promote: fine now")
        self.pass_stage("gradual-25")
        self.promote("gradual-25", "all 3 checks passed")
        self.pass_stage("gradual-50")
        self.answer("gradual-50", 1, "Ana Lima")
        self.answer("gradual-50", 2, "Bo Chen", comment="agreed, numbers are good")
        self.promote("gradual-50", "Bo Chen decided promote: agreed, numbers are good")
        self.pass_stage("full")
        self.promote("full", "its one check passed")
        self.finish(CutoverStatus.PROMOTED, "all 5 stages were promoted")
        return self

    def rolled_back(self, *, failing: str = "") -> CutoverStory:
        """Tell the story of a candidate that falls sick at 50 %."""
        self.begin()
        self.pass_stage("shadow")
        self.promote("shadow", "the stage has no gate")
        self.pass_stage("beta-5")
        self.answer("beta-5", 1, "Ana Lima")
        self.promote("beta-5", "Ana Lima decided promote")
        self.pass_stage("gradual-25")
        self.promote("gradual-25", "all 3 checks passed")
        self.enter("gradual-50")
        self.live(12)
        self.sick_share = 0.124
        self.live(6)
        self.fire()
        self.sick_share = 0.0
        cutovers.decide(self.store, self.id, "gradual-50", status=StageStatus.ROLLED_BACK,
                        reason="a rollback came first", now=self.now)
        self.finish(CutoverStatus.ROLLED_BACK, "trigger errors fired")
        self.carry_out_rollback(failing=failing)
        self.live(20)
        return self

    def _publish(self, epoch: int, version: int) -> None:
        publications.save(self.store, Publication(
            self.migration, epoch, version, self.now, True, self._random.uniform(0.008, 0.03),
        ))

    def _second(self, system: str, requests: int, sick_share: float) -> Sample:
        failed = sum(self._random.random() < sick_share for _ in range(requests))
        saved = failed * 3 // 4
        median = 6200 if system == "candidate" else 5600
        durations = [int(self._random.lognormvariate(0, 0.45) * median) for _ in range(requests)]
        return Sample(
            system=system, at=int(self.now.timestamp()), requests=requests,
            user_errors=failed - saved,
            errors={name: n for name, n in (("saved", saved), ("status_5xx", failed - saved)) if n},
            latency=Histogram.of(durations), probes=1, probes_up=1,
            memory_bytes=int(self._random.gauss(61e6 if system == "baseline" else 84e6, 4e5)),
            cpu_cores=0.1 + requests / 900,
        )
