"""The steps of the rollback SOP, each idempotent, timed, and safe to repeat after a crash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from changeover import cleanup, clock
from changeover.cleanup.start import candidate_start
from changeover.domain.procedures import StepStatus
from changeover.domain.rollbacks import Cause, Rollback, RollbackSeverity, RollbackStatus
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import ROLLED_BACK, Mode
from changeover.errors import ChangeoverError
from changeover.plan.units import format_duration
from changeover.procedures import baseline, gradual_return, rollback
from changeover.procedures.levers import pull_lever
from changeover.procedures.steps import Found, RollbackRun
from changeover.site.site import Site
from changeover.store import cutovers, rollbacks, routing, steps

MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A rollback of everyone that a flow run was started for.

    Args:
        reason: What happened.
        severity: How bad it is.
        rollback_id: The rollback to carry on, when step 1 was done before this run.
    """

    reason: str
    severity: RollbackSeverity
    rollback_id: int | None = None


def move_to_baseline(site: Site, wanted: Wanted, flow_run_id: str) -> RollbackRun:
    """Send everyone to the baseline; finds it done when the observer or a person did it.

    A rollback that a person ended with `recover` in the meantime is not begun again.
    """
    began = clock.now()
    known = _to_carry_on(site, wanted, flow_run_id)
    state = routing.read(site.store, site.migration)
    if known is not None:
        is_its_own = state.epoch == known.epoch
        # step 1 is over: a person has decided since, and that stands
        if not is_its_own or state.mode not in ROLLED_BACK:
            run = RollbackRun(site, known.id, flow_run_id)
            said = f"done before; since then {state.describe()}"
            run.save(run.STEPS[0], StepStatus.DONE, said, began=began)
            return run
    cause = Cause("rollback/main", wanted.reason, wanted.severity)
    started = rollback.start(site, cause, flow_run_id=flow_run_id)
    state = started.state
    run = RollbackRun(site, started.rollback.id, flow_run_id)
    status = StepStatus.DONE
    if started.publication is None:
        status = StepStatus.FAILED
    how = gradual_return.told(site, state.epoch)
    where = f"everyone is at the baseline: {state.describe()}"
    detail = started.problem or "; ".join(filter(None, (where, how)))
    run.save(run.STEPS[0], status, detail, began=began)
    return run


def _to_carry_on(site: Site, wanted: Wanted, flow_run_id: str) -> Rollback | None:
    """Return the rollback that was given, or that this very run began before it was killed."""
    given = wanted.rollback_id
    for found in rollbacks.all_of(site.store, site.migration):
        is_mine = given is None and found.flow_run_id == flow_run_id
        if is_mine or found.id == given:
            return found
    return None


def clean_up(run: RollbackRun) -> str:
    """Move the candidate's temporary files into quarantine; nothing else is ever touched."""
    def move() -> Found:
        _refuse_late(run)
        # under the rollback's name: after a kill the rest goes into the same quarantine
        return quarantine_files(run.site, run.subject), {}

    return run.once("clean up", move).detail


def _refuse_late(run: RollbackRun) -> None:
    """Refuse what would harm users who came to the candidate again since this rollback.

    Raises:
        ChangeoverError: People went on meanwhile, by hand or with another cutover.
    """
    site = run.site
    state = routing.read(site.store, site.migration)
    later = cutovers.latest(site.store, site.migration)
    is_going_on = later is not None and later.status is CutoverStatus.RUNNING \
        and later.epoch >= run.record.epoch
    if is_going_on or state.mode not in {*ROLLED_BACK, Mode.BASELINE_ONLY}:
        raise ChangeoverError(
            f"not done because people went on since: {state.describe()}",
            next_step="See whether it is still wanted, and do it by hand")


def quarantine_files(site: Site, name: str) -> str:
    """Quarantine what the plan names, delete quarantines whose time is over, and say what was done.

    Raises:
        ChangeoverError: Something that matches was refused; a person must check it. Or the files
            are on another machine.
    """
    spec = site.plan.rollback
    if not spec.cleanup:
        return "nothing to clean up"
    base, kept_for = site.folder, spec.quarantine
    _refuse_elsewhere(site)
    # older files are not the candidate's, and what we keep is nobody's temporary file
    since = candidate_start(site)
    task = cleanup.Cleanup.of(
        spec, base=base, since=since, spared=site.home.spared())
    found, moved = cleanup.quarantine(task, name)
    purged = cleanup.purge(
        spec.roots, older_than=kept_for, now=clock.now(), base=base)
    done = (f"{len(moved)} files and folders are in quarantine "
            f"for {format_duration(kept_for)}; "
            f"{len(purged)} older quarantines were deleted")
    left = found.refused
    if not left:
        return done
    told = [f"{each.path}: {each.reason}" for each in left[:MOST_TOLD]]
    refused = f"{done}; {len(left)} were left: {'; '.join(told)}"
    raise ChangeoverError(refused, next_step="A person must check them")


def _refuse_elsewhere(site: Site) -> None:
    """Refuse to find nothing to clean up on a machine that has not the candidate's files.

    Raises:
        ChangeoverError: A folder that the plan names is not here.
    """
    roots = [site.folder / root for root in site.plan.rollback.roots]
    missing = [str(root) for root in roots if site.is_elsewhere and not root.is_dir()]
    if missing:
        raise ChangeoverError(
            f"nothing was cleaned up, since {', '.join(missing)} is not on this machine",
            next_step="On the machine that has the candidate's files: `changeover cleanup --yes`")


def restore(run: RollbackRun) -> str:
    """Pull the plan's restore levers in order; one that fails does not stop the others."""
    return run.once("restore", lambda: _pull_all(run)).detail


def _pull_all(run: RollbackRun) -> Found:
    _refuse_late(run)
    plan = run.site.plan
    problems = _bring_back(run)
    # in order: the plan's author has put what must run first at the beginning
    for name in plan.rollback.restore:
        # renewed for as long as the lever may take: else two runs could pull it at once
        run.renew_lease(busy_for=plan.levers[name].timeout)
        occasion = f"{run.subject} restore"
        problem = pull_lever(
            run.site, name, actor="rollback/main", occasion=occasion)
        if problem:
            problems.append(problem)
    if problems:
        raise ChangeoverError(
            "; ".join(problems), next_step="A person must do it")
    names = ", ".join(plan.rollback.restore)
    said = f"pulled {names}" if names else "no lever to pull"
    return said, {}


def _bring_back(run: RollbackRun) -> list[str]:
    """Start a baseline that a lever took out of use after step 1 had checked it."""
    plan = run.site.plan
    spec = plan.cutover.disable_baseline
    if spec is None or not baseline.was_out_of_use(run.site):
        return []
    # a lever that was under way may have come after step 1: so it is asked again
    if baseline.is_well(plan):
        return []
    run.renew_lease(busy_for=spec.undo_within)
    found = baseline.pull_back(plan)
    baseline.save_return(run.site, found, actor="rollback/main")
    if found.is_well:
        return []
    return [str(baseline.not_back(plan, found))]


def close(run: RollbackRun, analysis: dict[str, Any]) -> RollbackStatus:
    """Close the rollback, and the cutover that it ended; a person is needed when a step failed.

    Returns:
        The status.
    """
    run.renew_lease()
    store = run.site.store
    todo = []
    for step in steps.all_of(store, run.migration, run.subject):
        # also steps that only began: nobody knows how far they came
        if step.status is not StepStatus.DONE:
            todo.append(f"{step.name}: {step.detail}")
    status = RollbackStatus.COMPLETED
    if todo:
        status = RollbackStatus.NEEDS_PERSON
    known = {**analysis, "a_person_must": todo}
    closed = rollbacks.finish(
        store, run.id, status=status, analysis=known, now=clock.now())
    if closed.cutover_id is not None:
        cutovers.finish(
            store, closed.cutover_id, CutoverStatus.ROLLED_BACK,
            outcome=closed.reason, now=clock.now())
    return closed.status
