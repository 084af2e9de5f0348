"""A gate is all checks of a stage; what follows from its verdict is decided here. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from changeover.analysis.check import CheckResult
from changeover.domain.rollout import StageAction
from changeover.domain.verdict import Verdict, worst
from changeover.plan.conditions import OnFail


@dataclass(frozen=True, slots=True)
class Decision:
    """An action and why, as `<done or not done> because <cause>` needs it."""

    action: StageAction
    reason: str


@dataclass(frozen=True, slots=True)
class StageDecision:
    """What becomes of a stage. `stage` is its key, or what people were asked about at the end."""

    stage: str
    action: StageAction
    reason: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate's verdict: the worst of its checks'.

    `sums` are the packed sums of buckets that it was judged by; None where there were none.
    """

    gate: str
    verdict: Verdict
    reason: str
    results: tuple[CheckResult, ...]
    sums: bytes | None = None


def judge_gate(gate: str, results: Sequence[CheckResult]) -> GateResult:
    """Return the gate's verdict with the reasons of the checks that decided it.

    A check that is only shown decides nothing. One whose failure people are asked about keeps the
    gate from passing, and fails it not.
    """
    deciding = [result for result in results if result.on_fail is not OnFail.SHOW]
    verdict = worst(map(_counts_as, deciding))
    reasons = [result.told for result in deciding if _counts_as(result) is verdict]
    if verdict is Verdict.PASS:
        reasons = ["its one check passed" if len(deciding) == 1
                   else f"all {len(deciding)} checks passed"]
    none = "every check of the gate is only shown" if results else "the gate has no check"
    return GateResult(gate, verdict, "; ".join(reasons) or none, tuple(results))


def _counts_as(result: CheckResult) -> Verdict:
    is_asked = result.verdict is Verdict.FAIL and result.on_fail is OnFail.ASK
    return Verdict.INCONCLUSIVE if is_asked else result.verdict


def decide_stage(
    *, verdict: Verdict, rechecks_left: int, needs_approval: bool, is_alarmed: bool = False
) -> Decision:
    """Return what follows from a stage's worst verdict.

    Args:
        verdict: The worst verdict of its gates.
        rechecks_left: How often an inconclusive gate may still be looked at again.
        needs_approval: Whether the plan, or a trigger that says hold, wants people asked.
        is_alarmed: Whether a guardrail wants people asked, whatever the plan says: at once, since
            more data for the gate changes nothing of that.
    """
    if verdict is Verdict.FAIL:
        return Decision(StageAction.ROLLBACK, "the gate failed")
    if is_alarmed:
        return Decision(StageAction.ASK, "a guardrail is alarmed; people decide")
    if verdict is Verdict.INCONCLUSIVE and rechecks_left > 0:
        return Decision(StageAction.WAIT, "too little data; it is looked at again")
    if verdict is Verdict.INCONCLUSIVE:
        return Decision(StageAction.ASK, "too little data to judge; people decide")
    if needs_approval:
        return Decision(StageAction.ASK, "the gate passed and approval is needed")
    return Decision(StageAction.PROMOTE, "the gate passed")
