"""Carrying out hooks of stages: each once, whoever is killed, and its lever undone if need be.

1. A lever's step is noted as begun before it is pulled: a rollback from then on undoes it.
2. Then it is seen that no rollback has come: one that comes later finds the note.
3. `rollback.sh` is written anew, here and in the store, with the lever that undoes this one.
4. It is seen once more that no rollback has come: a rollback waits from 1 on for as long as the
   lever may take, not for a disk or a store that is slow.
5. The lever is pulled, with a key by which its receiver can refuse to act twice.
6. What came of it is noted. A kill before that repeats 2 to 6 with the same key.
7. `rollback.sh` is copied to the plan's target, which may hang without harm by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.hooks import Hook, Progress, When, due_before, facts_of, of_stage, to_undo
from changeover.domain.procedures import StepStatus
from changeover.domain.rollout import PASSED
from changeover.errors import EnvironmentProblem, StaleEpoch
from changeover.flags.state import NewValues
from changeover.procedures import preparation
from changeover.procedures.approvals import Question, numbered
from changeover.procedures.levers import pull_lever
from changeover.procedures.steps import CutoverRun
from changeover.procedures.suites import SuiteResult
from changeover.store import cutovers, flags, instructions, steps


def due(run: CutoverRun, stage: str, when: When) -> list[Hook]:
    """Return the hooks of a stage that did not pass yet, in order.

    None before a stage that was entered or skipped, none after one that was promoted or skipped.
    """
    store, plan = run.site.store, run.site.plan
    record = cutovers.stage(store, run.id, stage)
    if when is When.AFTER:
        if record is not None and record.status in PASSED:
            return []
        found = of_stage(plan.stage(stage), when)
    elif record is not None:
        # its users were moved: it is too late for what comes before that
        return []
    else:
        entered = cutovers.stages(store, run.id)
        given = instructions.all_of(store, run.id)
        found = due_before(plan, stage, entered, given)
    return [hook for hook in found if not progress(run, hook).is_passed]


def progress(run: CutoverRun, hook: Hook) -> Progress:
    """Return how far a hook came."""
    return Progress.of(run.known(hook.step))


def retry_at(run: CutoverRun, hook: Hook) -> datetime | None:
    """Return when a hook that failed is tried again; None for at once."""
    known = run.known(hook.step)
    if known is None or known.status is not StepStatus.FAILED:
        return None
    return known.ended_at + hook.spec.retry_after


@dataclass(frozen=True, slots=True)
class _Begun:
    """A hook that was noted as begun. `was_pulled`: an earlier attempt may have acted."""

    run: CutoverRun
    hook: Hook
    attempt: int
    was_pulled: bool

    def refuse_after_rollback(self) -> None:
        """See that no rollback has come; else note that this attempt did nothing.

        Raises:
            StaleEpoch: One has come; nothing was done.
        """
        try:
            self.run.current_state()
        except StaleEpoch as stale:
            said = f"{self.hook.title} was not done because {stale.what}"
            facts = facts_of(self.hook, self.attempt, is_pulled=self.was_pulled)
            self.run.save(self.hook.step, StepStatus.FAILED, said, data=facts)
            raise


def begin(run: CutoverRun, hook: Hook) -> int:
    """Note that a hook begins, and return which attempt it is.

    Raises:
        StaleEpoch: A rollback came first; nothing was done.
    """
    return _begin(run, hook).attempt


def _begin(run: CutoverRun, hook: Hook) -> _Begun:
    # a rollback that came before: nothing is noted, so nothing will have to be undone
    run.current_state()
    known = run.known(hook.step)
    # an earlier attempt may have acted: then the note must say so, whatever becomes of this one
    was_pulled = known is not None and bool(known.data.get("is_pulled"))
    attempt = Progress.of(known).next_attempt
    said = f"{hook.title} has begun, attempt {attempt}"
    facts = facts_of(hook, attempt, is_pulled=True)
    # noted before it acts: a rollback from here on knows that there is something to undo
    run.save(hook.step, StepStatus.BEGUN, said, data=facts)
    begun = _Begun(run, hook, attempt, was_pulled)
    # 2. above: whoever rolls back from here on finds the note, and one from before has not seen it
    begun.refuse_after_rollback()
    return begun


def pull(run: CutoverRun, hook: Hook) -> str:
    """Pull a hook's lever once, and return what came of it.

    Raises:
        StaleEpoch: A rollback came first; the lever was not pulled.
    """
    begun = _begin(run, hook)
    try:
        # the script must know of this lever before it acts: perhaps nothing else is left then
        preparation.renew_way_back(run, undo_levers(run))
        # 4. above: that may have taken longer than a rollback waits
        begun.refuse_after_rollback()
        # the same in every attempt: by it the lever's receiver refuses to act twice
        occasion = f"{run.subject} {hook.step}"
        problem = pull_lever(
            run.site, str(hook.spec.lever), actor=run.subject, occasion=occasion)
    # without a way back nothing is done
    except EnvironmentProblem as error:
        problem = str(error)
    said = end(run, hook, begun.attempt, problem)
    preparation.copy_way_back(run)
    return said


def end(run: CutoverRun, hook: Hook, attempt: int, problem: str) -> str:
    """Note what came of a hook, and return it for people."""
    status, detail = StepStatus.DONE, f"{hook.title} passed"
    if problem:
        status, detail = StepStatus.FAILED, f"{hook.title} failed: {problem}"
    facts = facts_of(hook, attempt, is_pulled=True)
    # it began when that was noted, not now
    known = run.known(hook.step)
    began = known.started_at if known else None
    run.save(hook.step, status, detail, data=facts, began=began)
    return detail


def set_flags(run: CutoverRun, hook: Hook) -> str:
    """Set a hook's flags for everyone, and return what came of it.

    Raises:
        StaleEpoch: A rollback came first; its safe values stay.
    """
    attempt = begin(run, hook)
    # once more where they are written: a rollback may come until then
    wanted = NewValues(hook.spec.flags or {}, run.site.environment, expected_epoch=run.epoch)
    author = Author(run.subject, hook.step)
    flags.set_values(run.site.store, run.migration, wanted, author, now=clock.now())
    return end(run, hook, attempt, "")


def end_suite(run: CutoverRun, hook: Hook, attempt: int, found: SuiteResult) -> str:
    """Note what a hook's suite found: only one that passed lets the stage go on."""
    problem = "" if found.is_passed else found.reason
    return end(run, hook, attempt, problem)


def accept(run: CutoverRun, hook: Hook, reason: str) -> None:
    """Note that people go on although a hook failed."""
    known = run.known(hook.step)
    if known is None:
        return
    # why it failed stays beside it
    said = f"{known.detail}; gone on all the same: {reason}"
    run.save(
        hook.step, StepStatus.DONE, said, data=known.data, began=known.started_at)


def question(run: CutoverRun, hook: Hook, times: int) -> Question:
    """Return what people are asked about a hook that failed.

    Args:
        run: The cutover.
        hook: The hook.
        times: For which time they are asked, from 1.
    """
    stage = run.site.plan.stage(hook.stage)
    found = progress(run, hook)
    # one at least: a stage without approvers has nobody else to decide about a failure
    needed = max(1, stage.approvers)
    where = f"Nobody was moved into {stage.title}."
    if hook.when is When.AFTER:
        where = (f"The users of {stage.title} stay where they are; "
                 "the next stage has not begun.")
    text = (
        f"## {hook.title} of migration {run.migration} failed\n\n"
        f"{found.detail} (attempt {found.attempt}). {where}\n\n"
        "- **promote**: go on all the same.\n"
        "- **hold**: try it again; everybody stays where they are meanwhile.\n"
        "- **rollback**: everyone back to the baseline now; the hooks that ran are undone.\n")

    return Question(hook.subject, numbered(text, needed), needed, times)


def undo_levers(run: CutoverRun) -> list[str]:
    """Return the levers that undo what the cutover's hooks did, newest first."""
    known = steps.all_of(run.site.store, run.migration, run.subject)
    return [each.lever for each in to_undo(run.site.plan, known)]
