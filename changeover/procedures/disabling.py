"""Taking the baseline out of use at the end of a cutover, and undoing it when a rollback comes."""

from __future__ import annotations

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.audit import Author
from changeover.domain.procedures import Step, StepStatus
from changeover.domain.rollout import StageAction
from changeover.errors import ChangeoverError, StaleEpoch
from changeover.flags.state import NewValues
from changeover.procedures import baseline
from changeover.procedures.approvals import Question
from changeover.procedures.levers import pull_lever
from changeover.procedures.steps import CutoverRun, Found
from changeover.site import capacity
from changeover.store import flags

SUBJECT = "disable-baseline"
NOTHING_TO_DISABLE = StageDecision("", StageAction.HOLD, "the plan disables nothing")
_FINAL = "final configuration"
"""Name of the step, and what flags and levers are set and pulled for."""


def question(run: CutoverRun) -> Question | None:
    """Return what people are asked before the baseline is disabled; None: the plan never does."""
    spec = run.site.plan.cutover.disable_baseline
    if spec is None:
        return None
    room = capacity.room(run.site.store, run.site.plan, now=clock.now())
    levers = ", ".join(spec.levers)
    text = (
        f"## Take the baseline of {run.migration} out of use?\n\n"
        f"Everyone is on the candidate. Levers: {levers}.\n\n"
        f"**Way back**, when it is in use again: {room.text}.\n\n"
        "- **promote**: pull them; a rollback pulls the restore levers first.\n"
        "- **hold**: leave the baseline as it is and go on.\n"
        "- **rollback**: everyone back to the baseline now.\n"
    )
    return Question(SUBJECT, lambda _ordinal: text, spec.approval.approvers)


def configure_finally(run: CutoverRun) -> str:
    """Set the plan's final flags and pull its levers, unless a rollback came first."""
    plan = run.site.plan
    spec = plan.cutover.final
    if spec is None:
        return "nothing to configure"
    # a rollback has set its own flags: the final ones must not come after them
    run.current_state()

    def configure() -> Found:
        # and once more where they are written: a rollback may come until then
        wanted = NewValues(
            spec.flags, run.site.environment, expected_epoch=run.epoch)
        author = Author(run.subject, _FINAL)
        changed = flags.set_values(
            run.site.store, run.migration, wanted, author, now=clock.now())
        _pull(run, _FINAL, spec.levers)
        names = ", ".join(changed) or "none"
        levers = ", ".join(spec.levers) or "none"
        return f"flags set: {names}; levers: {levers}", {}

    return _result(run.once(_FINAL, configure))


def disable(run: CutoverRun) -> str:
    """Pull the levers that take the baseline out of use; people agreed to it before.

    1. It is noted that the baseline may be out of use: a rollback from now on brings it back
       before users are sent to it.
    2. A rollback that came before that note, or while a lever was pulled, is seen before the next
       lever and after the last. What was pulled is undone then.
    3. A kill leaves the note, whose meaning is the same: brought back before users come.

    Raises:
        StaleEpoch: A rollback came; the baseline's levers were undone.
    """
    spec = run.site.plan.cutover.disable_baseline
    if spec is None:
        return "the baseline stays in use"
    run.current_state()

    def pull() -> Found:
        # before the first lever: see 1. above
        if run.known(baseline.DISABLED) is None:
            run.save(baseline.DISABLED, StepStatus.BEGUN, "the levers are being pulled")
        try:
            _pull(run, baseline.DISABLED, spec.levers)
        except StaleEpoch:
            _undo(run, spec.undo)
            raise
        return f"levers: {', '.join(spec.levers)}", {}

    return _result(run.once(baseline.DISABLED, pull))


def _undo(run: CutoverRun, names: list[str]) -> None:
    """Bring the baseline back, and save that it is in use."""
    undone = baseline.pull_back(run.site.plan)
    baseline.save_return(run.site, undone, actor="cutover/main")
    problems = [f"undone because a rollback came: {', '.join(names)}", *undone.problems]
    run.save(baseline.DISABLED, StepStatus.FAILED, "; ".join(problems))


def _pull(run: CutoverRun, step_name: str, names: list[str]) -> None:
    """Pull levers in order, whatever fails, while no rollback came.

    Raises:
        StaleEpoch: One came before or meanwhile; the levers after that were not pulled.
        ChangeoverError: Levers failed.
    """
    problems: list[str] = []
    for name in names:
        # asked before each lever and after the last: see 2. above
        run.current_state()
        occasion = f"{run.subject} {step_name}"
        problem = pull_lever(
            run.site, name, actor="cutover/main", occasion=occasion)
        if problem:
            problems.append(problem)
    run.current_state()
    if problems:
        raise ChangeoverError(
            "; ".join(problems), next_step="A person must do it")


def _result(found: Step) -> str:
    """Return what a step did; a failed one shows in the criteria and stops nothing."""
    if found.status is not StepStatus.DONE:
        return f"failed: {found.detail}"
    return found.detail
