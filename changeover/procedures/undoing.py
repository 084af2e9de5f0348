"""Undoing what hooks of stages did, after a rollback has moved the traffic: each once."""

from __future__ import annotations

from datetime import timedelta

from changeover import clock
from changeover.domain.hooks import ToUndo
from changeover.domain.procedures import StepStatus
from changeover.errors import ChangeoverError
from changeover.procedures.hook_log import left
from changeover.procedures.levers import pull_lever
from changeover.procedures.steps import Found, Procedure, RollbackRun
from changeover.store import steps

LOOK_SECONDS = 0.2


def undo_hooks(run: RollbackRun) -> str:
    """Undo all hooks, newest first; one that cannot be undone does not stop the others.

    Returns:
        What was done, for people; empty when there was nothing to undo.
    """
    # known: a run before this one did it, and its text is wanted again
    if run.known(run.UNDO) is None and not _left(run):
        return ""
    return run.once(run.UNDO, lambda: _undo_all(run)).detail


def _left(run: RollbackRun) -> list[ToUndo]:
    # users of a cutover that began after this rollback still need what its hooks did
    return left(run.site, before_epoch=run.record.epoch)


def _undo_all(run: RollbackRun) -> Found:
    done, problems = [], []
    for each in _left(run):
        # one by one: what was done last may rest on what was done before it
        _until_settled(run, each)
        # its process found the rollback before it pulled the lever, and says so by now
        if (each.subject, each.step) not in {
                (found.subject, found.step) for found in _left(run)}:
            continue
        problem = _undo(run, each)
        if problem:
            problems.append(f"{each.step}: {problem}")
        else:
            done.append(f"{each.lever} ({each.step})")
    told = f"undone, newest first: {', '.join(done)}" if done else "nothing is left to undo"
    if problems:
        raise ChangeoverError(f"{told}; not undone: {'; '.join(problems)}",
                              next_step="A person must do it")
    return told, {}


def _until_settled(run: RollbackRun, each: ToUndo) -> None:
    """Wait until a lever that may be acting has ended: else its effect would come after.

    The process that pulled it says so, or was killed; then its own time limit is waited for.
    """
    site = run.site

    def is_settled() -> bool:
        known = steps.one(site.store, site.migration, each.subject, each.step)
        is_begun = known is not None and known.status is StepStatus.BEGUN
        return not is_begun or clock.now() >= each.settled_at

    # longer than the lease lasts, perhaps: nobody else must take the rollback over meanwhile
    longest = max(timedelta(0), each.settled_at - clock.now())
    lever = site.plan.levers.get(each.lever)  # a later plan may no longer have it
    run.renew_lease(busy_for=longest + (lever.timeout if lever else timedelta(0)))
    clock.poll_until(is_settled, bool, seconds=longest.total_seconds(), pause=LOOK_SECONDS)


def _undo(run: RollbackRun, each: ToUndo) -> str:
    """Undo one hook and note it; return why that failed, or an empty text."""
    site, began = run.site, clock.now()
    if each.lever not in site.plan.levers:
        problem = f"the plan has no lever {each.lever} any more"
    else:
        problem = pull_lever(site, each.lever, actor="rollback/main",
                             occasion=f"{each.subject} {each.undo_step}")
    status = StepStatus.FAILED if problem else StepStatus.DONE
    detail = problem or f"lever {each.lever} was pulled"
    # among the cutover's steps, beside the hook: whoever asks what is left looks there
    # with the cutover's own steps, so that no other rollback undoes it again
    Procedure(site, each.subject).save(each.undo_step, status, detail, began=began)
    return problem
