"""A gate is all checks of a stage; what follows from its verdict is decided here. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from changeover.analysis.check import CheckResult
from changeover.analysis.scored import judge_score
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
    """What becomes of a stage. `stage` is its key, or what people were asked about at the end.

    `back` are the routes that go back alone before the stage is evaluated again.
    """

    stage: str
    action: StageAction
    reason: str
    back: tuple[str, ...] = ()


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
    gate from passing, and fails it not. The checks of a group decide together.
    """
    deciding = [result for result in results if result.on_fail is not OnFail.SHOW]
    parts = _parts(deciding)
    verdict = worst(part.verdict for part in parts)
    reasons = [part.reason for part in parts if part.verdict is verdict]
    if verdict is Verdict.PASS:
        has_groups = any(len(part.checks) > 1 for part in parts)
        what = "parts" if has_groups else "checks"
        reasons = [f"all {len(parts)} {what} passed"]
        if len(deciding) == 1:
            reasons = ["its one check passed"]
    none = "every check of the gate is only shown" if results else "the gate has no check"
    reason = "; ".join(reasons) or none
    return GateResult(gate, verdict, reason, tuple(_with_group(results, parts)))


@dataclass(frozen=True, slots=True)
class _Part:
    """A check of a gate, or a group of them, that decides."""

    verdict: Verdict
    reason: str
    checks: tuple[CheckResult, ...]


def _parts(results: Sequence[CheckResult]) -> list[_Part]:
    """Return what decides of a gate, in the plan's order."""
    parts: list[_Part] = []
    groups: dict[int, list[CheckResult]] = {}
    for result in results:
        if result.group is not None:
            groups.setdefault(result.group["number"], []).append(result)
    for result in results:
        if result.group is None:
            parts.append(_Part(_counts_as(result), _reason(result), (result,)))
        # A group stands where its first check does; popped, it is not counted again.
        elif (members := groups.pop(result.group["number"], None)) is not None:
            parts.append(_group(result.group, members))
    return parts


def _group(group: Mapping[str, Any], members: Sequence[CheckResult]) -> _Part:
    """Return what a group says: three answers, and no more passes turn one into a failure."""
    if group.get("score"):
        return _Part(*judge_score(group, members), tuple(members))
    verdicts = [_counts_as(each) for each in members]
    passed, failed = verdicts.count(Verdict.PASS), verdicts.count(Verdict.FAIL)
    verdict = Verdict.INCONCLUSIVE
    if passed >= group["needed"]:
        verdict = Verdict.PASS
    # So many failed that even if all others passed it would not be enough.
    elif failed > group["of"] - group["needed"]:
        verdict = Verdict.FAIL
    reasons = []
    for member, said in zip(members, verdicts, strict=True):
        if said is verdict:
            reasons.append(_reason(member))
    counts = f"{group['words']}, {passed} did and {failed} failed"
    return _Part(verdict, f"{counts}: {', and '.join(reasons)}", tuple(members))


def _with_group(results: Sequence[CheckResult], parts: Sequence[_Part]) -> list[CheckResult]:
    """Return the results with the verdict of the group that each belongs to."""
    said = {}
    for part in parts:
        group = part.checks[0].group
        if group is not None:
            said[group["number"]] = part.verdict
    found = []
    for result in results:
        # All of a score may be muted; then it says nothing.
        if result.group is not None and result.group["number"] in said:
            verdict = str(said[result.group["number"]])
            result = replace(result, group={**result.group, "verdict": verdict})
            # Nobody waits for the rest of a group that passed.
            if verdict == Verdict.PASS:
                result = replace(result, outlook=None)
        found.append(result)
    return found


def _reason(result: CheckResult) -> str:
    """Return a check's reason; a failure that people decide about says so."""
    reason = result.full_reason
    return f"people are asked, because {reason}" if _is_asked(result) else reason


def _counts_as(result: CheckResult) -> Verdict:
    # Neither a pass nor a failure until people have said what it is.
    return Verdict.INCONCLUSIVE if _is_asked(result) else result.verdict


def _is_asked(result: CheckResult) -> bool:
    return result.verdict is Verdict.FAIL and result.on_fail is OnFail.ASK


def fails_its_gate(result: CheckResult, shown: Sequence[CheckResult]) -> bool:
    """Whether a failed check fails its gate: of a group so many must have failed.

    Args:
        result: A check that failed.
        shown: All checks of the gate that failed.
    """
    if result.group is None:
        return True
    number, together = result.group["number"], 0
    for each in shown:
        together += each.group is not None and each.group["number"] == number
    left_out: int = result.group["of"] - result.group["needed"]
    return together > left_out


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
