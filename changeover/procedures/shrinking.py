"""Before the baseline is made smaller: would a rollback still fit, and who agrees if not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.capacity import SMALLER, STILL_FITS, Fit, Room, Shrink, shrinking
from changeover.domain.procedures import StepStatus
from changeover.domain.rollout import Approval, StageAction
from changeover.procedures.approvals import Question, numbered
from changeover.procedures.steps import CutoverRun
from changeover.site import capacity
from changeover.store import approvals

FINAL = "final"


@dataclass(frozen=True, slots=True)
class Shrinking:
    """Levers that are about to make the baseline smaller.

    Args:
        place: Where in the cutover: a hook's `before-gradual-25-1`, or `final`.
        stage: Key of the stage whose approvers are asked.
        levers: What they are.
    """

    place: str
    stage: str
    levers: tuple[Shrink, ...]

    @property
    def step(self) -> str:
        """Name of the step that says that they may be pulled."""
        return f"room for a rollback {self.place}"

    @property
    def subject(self) -> str:
        """What people are asked about."""
        return f"capacity-{self.place}"


def is_settled(run: CutoverRun, what: Shrinking) -> bool:
    """Whether the levers may be pulled: nothing shrinks, it fits, or people agreed before."""
    if not what.levers:
        return True
    known = run.known(what.step)
    return known is not None and known.status is StepStatus.DONE


def was_asked(run: CutoverRun, what: Shrinking, round_: int) -> bool:
    """Whether the question of a round was put; its answer counts, whatever is known by now."""
    asked = what.subject, round_
    for each in approvals.all_of(run.site.store, run.id):
        if (each.stage, each.round) == asked:
            return True
    return False


def room(run: CutoverRun, what: Shrinking) -> Room:
    """Return whether rolling back would fit afterwards, by what is known now."""
    return capacity.room(run.site.store, run.site.plan, what.levers, now=clock.now())


def may_go_on(run: CutoverRun, what: Shrinking, found: Room) -> bool:
    """Note that the levers may be pulled if it fits, or if a stage's approvers knew; else False."""
    if found.fit is Fit.FITS:
        _settle(run, what, found.text, found)
        return True
    # the stage's own question has said it: nobody is asked the same twice
    agreed = _agreed_before(run, what)
    if agreed:
        said = f"{found.text}; {agreed} agreed to it with the stage"
        _settle(run, what, said, found)
    return bool(agreed)


def agree(run: CutoverRun, what: Shrinking, found: Room, decision: StageDecision) -> None:
    """Note that people go on although it would not fit, or nobody knows."""
    said = f"{found.text}; gone on all the same: {decision.reason}"
    _settle(run, what, said, found)


def question(run: CutoverRun, what: Shrinking, found: Room, round_: int) -> Question:
    """Return what people are asked: whether the baseline may become too small to come back to."""
    stage = run.site.plan.stage(what.stage)
    # one at least, also where the stage itself needs nobody
    needed = max(1, stage.approvers)
    text = (
        f"## Make the baseline of {run.migration} smaller?\n\n"
        f"{found.text}.\n\n"
        "A rollback to a baseline that is too small is an outage.\n\n"
        "- **promote**: go on all the same.\n"
        "- **hold**: it was measured meanwhile, look again; everybody stays where they are.\n"
        "- **rollback**: everyone back to the baseline now, while it has its size.\n")

    return Question(what.subject, numbered(text, needed), needed, round_)


def finally_shrinking(run: CutoverRun) -> Shrinking:
    """Return what the final configuration makes smaller, asked of the last stage's approvers."""
    plan = run.site.plan
    final = plan.cutover.final
    names: Sequence[str] = final.levers if final else ()
    last = plan.stages()[-1]
    return Shrinking(FINAL, last.key, shrinking(plan, names))


def _settle(run: CutoverRun, what: Shrinking, detail: str, found: Room) -> None:
    run.save(what.step, StepStatus.DONE, detail, data=found.document())


def _agreed_before(run: CutoverRun, what: Shrinking) -> str:
    """Return who promoted a stage whose question said that these levers leave too little.

    One who agreed does not count when another one, asked the same, did not.
    """
    put: dict[tuple[str, int], list[Approval]] = {}
    for each in approvals.all_of(run.site.store, run.id):
        # what was answered to this very question is noted by `agree`
        if each.stage != what.subject and not each.is_void:
            put.setdefault((each.stage, each.round), []).append(each)
    for asked in put.values():
        if all(each.decision is StageAction.PROMOTE and _says(each, what) for each in asked):
            return ", ".join(str(each.approver) for each in asked)
    return ""


def _says(asked: Approval, what: Shrinking) -> bool:
    """Whether a question said that the levers leave a baseline that is too small."""
    # as Markdown it has escapes
    plain = asked.question.replace("\\", "")
    # not told, or told that it still fits: they agreed to something else
    if SMALLER not in plain or STILL_FITS in plain:
        return False
    return all(f"`{each.lever}`" in plain for each in what.levers)
