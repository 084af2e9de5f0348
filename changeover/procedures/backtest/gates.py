"""The stored verdicts of gates, and what another plan's gates would have said at that moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from changeover.analysis.backtest.found import (
    UNKNOWN,
    Change,
    CheckAgain,
    Evaluation,
    GateAgain,
)
from changeover.analysis.backtest.pairs import Stored, is_same, pairs
from changeover.analysis.check import CheckResult, with_group
from changeover.analysis.check_words import asks_people
from changeover.analysis.gate import decide_stage, judge_gate
from changeover.analysis.guardrails import together, was_off
from changeover.analysis.route_failures import failed_routes
from changeover.domain.procedures import failed_routes_step, of_cutover
from changeover.domain.rollout import GateVerdict, StageAction
from changeover.domain.verdict import Verdict, worst
from changeover.plan.conditions import CheckSpec
from changeover.plan.guardrails import GATE, MEANINGS, Guardrail
from changeover.plan.model import Plan
from changeover.procedures.backtest.moment import Moment
from changeover.procedures.backtest.rejudging import condition, judge_again
from changeover.procedures.route_doubts import failing_elsewhere
from changeover.store import steps


def evaluate_again(moment: Moment, running: Plan) -> Evaluation:
    """Return an evaluation of a stage as it was, and as another plan would have it.

    Args:
        moment: The evaluation.
        running: The plan that runs: what followed from a verdict is told by it.
    """
    asked = list(moment.spec.gates) if moment.spec else []
    gates = [_gate_again(moment, name) for name in asked]
    gates += [_dropped(known, moment) for known in moment.gates if known.gate not in asked]
    alarm = _guardrails(moment)
    if alarm is not None:
        gates.append(alarm)
    then = _action(
        moment, running, {each.gate: each.then for each in gates},
        is_asked_about=any(map(asks_people, _stored_checks(moment))))
    now = None
    if moment.spec is not None:
        judged = [check.evidence or {} for each in gates for check in each.checks]
        now = _action(
            moment, moment.plan, {each.gate: each.now for each in gates},
            is_asked_about=any(map(asks_people, judged)))
    then_back = _went_back(moment) if then is StageAction.ROLLBACK else ()
    now_back = _would_go_back(moment, gates) if now is StageAction.ROLLBACK else ()
    return Evaluation(
        moment.cutover.id, moment.record.key, moment.attempt, moment.at,
        then or StageAction.ASK, now, gates, then_back, now_back)


def _went_back(moment: Moment) -> tuple[str, ...]:
    """Return the routes that went back alone after an evaluation, as it was saved."""
    known = steps.one(
        moment.site.store, moment.site.migration, of_cutover(moment.cutover.id),
        failed_routes_step(moment.record.key, moment.stored[0].round, moment.attempt))
    return tuple(known.data.get("routes", ())) if known is not None else ()


def _would_go_back(moment: Moment, gates: Sequence[GateAgain]) -> tuple[str, ...]:
    """Return the routes that would have gone back alone; none in doubt, as in a cutover."""
    asked = [each for each in gates if each.gate != GATE and each.now is not None]
    # what nobody can tell may have been a failure of whole systems
    if moment.spec is None or any(each.now == UNKNOWN for each in asked):
        return ()
    judged = [GateVerdict(
        cutover_id=moment.cutover.id, stage=moment.record.key, gate=each.gate, round=1,
        attempt=moment.attempt, verdict=Verdict(str(each.now)), reason=each.reason, at=moment.at,
        # those of the plan come first, in its order; what it dropped decides nothing
        evidence=[dict(check.evidence or {}) for check in each.checks if check.now is not None],
    ) for each in asked]
    routes = failed_routes(moment.spec.routes, judged)
    return () if failing_elsewhere(moment.site, routes, judged, moment.plan) else routes


def _stored_checks(moment: Moment) -> list[Stored]:
    """Return what was stored of all checks of the evaluation."""
    found: list[Stored] = []
    for known in moment.gates:
        found += known.evidence
    return found


def _gate_again(moment: Moment, gate: str) -> GateAgain:
    known = moment.gate(gate)
    stored = [each for each in (known.evidence if known else []) if "check" in each]
    # a check may have come from another gate of the stage: its numbers are as good
    elsewhere: list[Stored] = []
    for other in moment.gates:
        if other is not known:
            elsewhere += [each for each in other.evidence if "check" in each]
    checks: list[CheckAgain] = []
    dropped: list[CheckAgain] = []
    results: list[CheckResult] = []
    for old, check in pairs(stored, moment.plan.all_gates[gate]):
        if check is None:
            dropped.append(_left_out(old or {}))
            continue
        near = old if old is not None else _elsewhere(elsewhere, check)
        again, result = _check_again(moment, gate, check, (old, near))
        checks.append(again)
        results.append(result)
    judged = judge_gate(gate, results)
    # the gate's judgement tells each check what its group says
    told = []
    for each, result in zip(checks, judged.results, strict=True):
        # what nobody can tell has no evidence
        has_any = each.evidence is not None
        told.append(replace(each, evidence=result.as_evidence()) if has_any else each)
    # undecided by data or undecided because something is not kept: the second is not known
    is_unknown = judged.verdict is Verdict.INCONCLUSIVE and any(
        each.now == UNKNOWN for each in told)
    return GateAgain(
        gate, str(known.verdict) if known else None,
        UNKNOWN if is_unknown else str(judged.verdict), judged.reason, [*told, *dropped],
        known.id if known else None)


def _elsewhere(stored: Sequence[Stored], check: CheckSpec) -> Stored | None:
    return next((old for old, new in pairs(stored, [check]) if new is not None), None)


def _check_again(
    moment: Moment, gate: str, check: CheckSpec, stored: tuple[Stored | None, Stored | None]
) -> tuple[CheckAgain, CheckResult]:
    """Return a check, and its result for the gate's verdict."""
    old, near = stored
    change = Change.NEW
    if old is not None:
        change = Change.SAME if is_same(old, check) else Change.CHANGED
    again = judge_again(moment, gate, check, near)
    then = str(old["verdict"]) if old is not None else None
    if again.result is None:
        unknown = _unknown(check, moment, again.basis)
        return CheckAgain(check.measured.name, condition(check), change, then, UNKNOWN, again.basis,
                          "nothing"), unknown
    result = again.result
    return CheckAgain(
        check.measured.name, condition(check), change, then, str(result.verdict), result.reason,
        again.basis, result.as_evidence()), result


def _unknown(check: CheckSpec, moment: Moment, why: str) -> CheckResult:
    """Return what stands for a result that nobody can give: it lets nothing pass."""
    return with_group(check, CheckResult(
        metric=check.measured.name, of=check.of, bound=condition(check),
        verdict=Verdict.INCONCLUSIVE, reason=f"{check.measured.name} cannot be evaluated: {why}",
        value=None, samples=0, min_samples=check.min_samples, start=moment.end, end=moment.end,
        on_fail=check.on_fail))


def _left_out(old: Stored) -> CheckAgain:
    return CheckAgain(
        str(old["metric"]), f"{old['metric']} {old['bound']}", Change.DROPPED,
        str(old["verdict"]), None, "the plan does not ask this any more", "nothing")


def _dropped(known: GateVerdict, moment: Moment) -> GateAgain:
    why = "the plan's stage does not have this gate" if moment.spec else "the plan has no stage "\
        f"{moment.record.key}"
    checks = [_left_out(each) for each in known.evidence if "check" in each]
    return GateAgain(known.gate, str(known.verdict), None, why, checks, known.id)


def _guardrails(moment: Moment) -> GateAgain | None:
    """Return the guardrails' verdict: what the plan leaves on stands as it was.

    What one would have said that was off then, nobody can tell.
    """
    known = moment.gate(GATE)
    if known is None:
        return None
    off = moment.plan.guardrails.turned_off
    bounds_off = [f"guardrail {name}" for name in off]
    left = [each for each in known.evidence if str(each.get("bound")) not in bounds_off]
    verdicts = [Verdict(each["verdict"]) for each in left]
    now = together(verdicts) if len(left) < len(known.evidence) else known.verdict
    asleep = [name for name in Guardrail if name not in off and was_off(name, known.reason)]
    unknown = [CheckAgain(
        MEANINGS[name].metric, f"guardrail {name}", Change.NEW, None, UNKNOWN,
        "it was off then", "nothing") for name in asleep]
    return GateAgain(GATE, str(known.verdict), str(now), known.reason, unknown, known.id)


def _action(
    moment: Moment, plan: Plan, verdicts: Mapping[str, str | None], *, is_asked_about: bool
) -> StageAction | None:
    """Return what follows from the verdicts of a stage's gates; None where one is unknown."""
    asked = [verdict for gate, verdict in verdicts.items() if gate != GATE and verdict is not None]
    # a gate that fails decides, whatever the unknown ones would say
    if UNKNOWN in asked and Verdict.FAIL not in asked:
        return None
    known = [Verdict(each) for each in asked if each != UNKNOWN]
    stage = next((each for each in plan.stages() if each.key == moment.record.key), None)
    return decide_stage(
        verdict=worst(known) if known else Verdict.PASS,
        rechecks_left=plan.patience.rechecks - moment.attempt,
        needs_approval=stage is not None and stage.approvers > 0,
        is_alarmed=verdicts.get(GATE) == Verdict.FAIL or is_asked_about,
    ).action
