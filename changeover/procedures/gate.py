"""Judging a stage's gates over their windows and storing the verdicts with their evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

from changeover import clock
from changeover.analysis.check_words import asks_people
from changeover.analysis.gate import GateResult, StageDecision, decide_stage
from changeover.analysis.route_failures import failed_routes
from changeover.domain.rollout import GateVerdict, StageAction, StageRecord
from changeover.domain.verdict import Verdict, worst
from changeover.errors import InvalidInput
from changeover.plan.amending import DIGEST_SHOWN
from changeover.plan.guardrails import GATE
from changeover.procedures import routes_back, steering
from changeover.procedures.bucket_evidence import stage_sums
from changeover.procedures.checking import end_of_windows, evidence_of, judge_now
from changeover.procedures.counting import as_counted
from changeover.procedures.guardrail_evidence import Seen, judge_guardrails
from changeover.procedures.holding import says_hold
from changeover.procedures.route_doubts import failing_elsewhere
from changeover.procedures.steps import CutoverRun
from changeover.store import cutovers, plans, verdicts


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
    site, end = run.site, end_of_windows()
    spec, counted = site.plan.stage(stage), as_counted(site, record)
    # hours of sums are read once, for whichever gates need them
    read_sums = cache(partial(stage_sums, site, counted, end=end))
    judged = []
    for gate in spec.gates:
        judge = partial(judge_now, site, counted, gate, read_sums)
        judged.append(_judge_once(run, record, gate, judge))
    watch = partial(judge_guardrails, run, record, spec, seen, end=end)
    alarm = _judge_once(run, record, GATE, watch)
    decision = _decide(run, record, judged, alarm, is_reduced=not seen.has_share)
    routes = failed_routes(spec.routes, judged)
    if decision.action is not StageAction.ROLLBACK or not routes:
        return decision
    if elsewhere := failing_elsewhere(site, routes, judged):
        said = f"not route {', '.join(routes)} alone: {', '.join(elsewhere)} fails the same bound"
        return replace(decision, reason=f"{decision.reason}; {said}")
    return routes_back.decide(run, record, routes, decision.reason)


def _judge_once(
    run: CutoverRun, record: StageRecord, gate: str, evaluate: Callable[[], GateResult]
) -> GateVerdict:
    """Return the verdict of this evaluation of a gate, from the store if it was given before."""
    store, plan = run.site.store, run.site.plan
    # by round and evaluation: a run that begins again finds the verdict that it gave
    asked = gate, record.round, record.rechecks
    for known in verdicts.all_of(store, run.id, record.key):
        if (known.gate, known.round, known.attempt) == asked:
            return known
    result = evaluate()
    evidence = evidence_of(plan, gate, result)
    digest = plans.digest_of(plan)[:DIGEST_SHOWN]
    for each in evidence:
        # a running cutover's plan can be amended
        each["plan"] = digest
    verdict = GateVerdict(
        cutover_id=run.id, stage=record.key, gate=gate,
        round=record.round, attempt=record.rechecks,
        verdict=result.verdict, reason=result.reason,
        at=clock.now(), evidence=evidence)
    return verdicts.save(store, verdict, result.sums)


def _decide(
    run: CutoverRun, record: StageRecord, judged: list[GateVerdict], alarm: GateVerdict, *,
    is_reduced: bool,
) -> StageDecision:
    """Return what follows from the verdicts, guardrails, approvals and triggers that say hold."""
    plan = run.site.plan
    # a stage without gates has nothing against it: people or triggers may have
    verdict = worst(known.verdict for known in judged) if judged else Verdict.PASS
    holds = says_hold(run, record)
    asked_about = _asked_about(judged)
    is_alarmed = alarm.verdict is Verdict.FAIL
    is_asked = plan.stage(record.key).approvers > 0
    early = steering.promoted_early(run, record)
    # people do not want to wait for what is missing
    if early and verdict is Verdict.INCONCLUSIVE:
        verdict = Verdict.PASS
    decision = decide_stage(
        verdict=verdict,
        rechecks_left=plan.patience.rechecks - record.rechecks,
        # an early end of the soak was of all the users: what went back since is asked about
        needs_approval=is_reduced or (not early and (is_asked or bool(holds))),
        is_alarmed=is_alarmed or bool(asked_about),
    )
    reasons = [f"promoted now by {early}"] if early else []
    reasons += [f"guardrail {alarm.reason}"] if is_alarmed else []
    # in an early promotion all of them: none decided alone
    said = [known.reason for known in judged if early or known.verdict is verdict]
    for each in asked_about:
        # a gate's reason has those of its checks in it
        if not any(each in reason for reason in said):
            reasons.append(f"people are asked, because {each}")
    for each in dict.fromkeys(said):
        if each not in reasons:
            reasons.append(each)
    if is_reduced:
        reasons.append("fewer users are moved than the stage says, by a rollback of a part")
    reasons += holds
    return StageDecision(
        record.key, decision.action, "; ".join(reasons) or "the stage has no gate")


def _asked_about(judged: list[GateVerdict]) -> list[str]:
    """Return why checks failed whose failures people decide about."""
    found = []
    for known in judged:
        found += [str(check["reason"]) for check in known.evidence if asks_people(check)]
    return found
