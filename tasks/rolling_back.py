"""The rollback SOP's steps, each idempotent, timed, and safe to repeat after a crash."""

from __future__ import annotations

from typing import Any

from changeover import cleanup, clock
from changeover.cleanup.start import candidate_start
from changeover.domain.procedures import StepStatus, of_rollback
from changeover.domain.rollbacks import Cause, Rollback, RollbackSeverity, RollbackStatus
from changeover.domain.routing import Mode
from changeover.errors import ChangeoverError
from changeover.plan.units import format_duration
from changeover.procedures import baseline, rollback
from changeover.procedures.levers import pull_lever
from changeover.store import rollbacks, routing, steps
from tasks.carrying import carry_out, hold, keep, record_of
from tasks.runtime import Runtime, root_run_id, runtime_of
from tasks.steps import step
from tasks.traffic import site_of

MOST_TOLD = 20


@step(name="1 safe flags and routes")
def move_to_baseline(
    migration: str, reason: str, severity: RollbackSeverity, rollback_id: int | None
) -> int:
    """Send everyone to the baseline; finds it done when the observer or a person did it.

    A rollback that a person ended with `recover` in the meantime is not begun again.

    Args:
        migration: Name of the migration.
        reason: What happened.
        severity: How bad it is.
        rollback_id: The rollback to carry on, when step 1 was done before this run.

    Returns:
        The rollback's id.
    """
    runtime, began = runtime_of(migration), clock.now()
    known = _to_carry_on(runtime, rollback_id)
    state = routing.read(runtime.store, migration)
    if known is not None and (state.epoch, state.mode) != (known.epoch, Mode.EMERGENCY_ROLLBACK):
        detail = f"done before; since then {state.describe()}"
        keep(runtime, known.id, 1, "safe flags and routes", "done", detail, began)
        return known.id
    cause = Cause(reason, "rollback/main", severity)
    started = rollback.start(site_of(runtime), cause, flow_run_id=str(root_run_id()))
    status = "failed" if started.publication is None else "done"
    detail = started.problem or f"everyone is at the baseline: {started.state.describe()}"
    keep(runtime, started.rollback.id, 1, "safe flags and routes", status, detail, began)
    return started.rollback.id


def _to_carry_on(runtime: Runtime, rollback_id: int | None) -> Rollback | None:
    """Return the rollback that was given, or that this very run began before it was killed."""
    mine = str(root_run_id())
    for found in rollbacks.all_of(runtime.store, runtime.migration):
        if found.id == rollback_id or (rollback_id is None and found.flow_run_id == mine):
            return found
    return None


@step(name="2 clean up")
def clean_up(migration: str, rollback_id: int) -> str:
    """Move the candidate's temporary files into quarantine; nothing else is ever touched."""
    runtime = runtime_of(migration)
    return carry_out(runtime, rollback_id, 2, "clean up",
                      lambda: quarantine_files(runtime, f"rollback-{rollback_id}"))


def quarantine_files(runtime: Runtime, name: str) -> str:
    """Quarantine what the plan names, delete quarantines whose time is over, and say what was done.

    Raises:
        ChangeoverError: Something that matches was refused; a person must look at it.
    """
    spec = runtime.plan.rollback
    if not spec.cleanup:
        return "nothing to clean up"
    folder = runtime.site.folder
    found, moved = cleanup.quarantine(
        spec.roots, spec.cleanup, name=name, any_age=spec.any_age, base=folder,
        since=candidate_start(runtime.site), keep=[runtime.home.root])
    purged = cleanup.purge(spec.roots, older_than=spec.quarantine, now=clock.now(), base=folder)
    told = f"{len(moved)} files and folders are in quarantine for " \
        f"{format_duration(spec.quarantine)}; {len(purged)} older quarantines were deleted"
    if found.refused:
        refused = "; ".join(f"{each.path}: {each.reason}" for each in found.refused[:MOST_TOLD])
        raise ChangeoverError(f"{told}; {len(found.refused)} were left: {refused}",
                              next_step="A person must look at them")
    return told


@step(name="3 restore")
def restore(migration: str, rollback_id: int) -> str:
    """Pull the plan's restore levers in order; one that fails does not stop the others."""
    runtime = runtime_of(migration)

    def pull() -> str:
        problems = _bring_back(runtime, rollback_id)
        for name in runtime.plan.rollback.restore:
            patience = runtime.plan.levers[name].timeout
            hold(runtime, rollback_id, busy_for=patience)  # else two runs could pull it at once
            if problem := pull_lever(
                runtime.store, runtime.plan, name, actor="rollback/main",
                occasion=f"rollback-{rollback_id} restore",
            ):
                problems.append(problem)
        if problems:
            raise ChangeoverError("; ".join(problems), next_step="A person must do it")
        names = ", ".join(runtime.plan.rollback.restore)
        return f"pulled {names}" if names else "no lever to pull"

    return carry_out(runtime, rollback_id, 3, "restore", pull)


def _bring_back(runtime: Runtime, rollback_id: int) -> list[str]:
    """Start a baseline that a lever took away after step 1 had looked at it."""
    spec = runtime.plan.cutover.disable_baseline
    if spec is None or not baseline.was_out_of_use(runtime.store, runtime.plan) \
            or baseline.is_well(runtime.plan):
        return []
    hold(runtime, rollback_id, busy_for=spec.undo_within)
    found = baseline.pull_back(runtime.plan)
    baseline.keep(runtime.store, runtime.plan, found, actor="rollback/main")
    return [] if found.is_well else [str(baseline.not_back(runtime.plan, found))]


@step(name="close rollback")
def close(migration: str, rollback_id: int, analysis: dict[str, Any]) -> str:
    """Close the rollback; `needs_person` when a step failed.

    Returns:
        The status.
    """
    runtime = runtime_of(migration)
    hold(runtime, rollback_id)
    done = steps.all_of(runtime.store, runtime.migration, of_rollback(rollback_id))
    failed = [step for step in done if step.status is not StepStatus.DONE]
    analysis = {**analysis, "a_person_must": [f"{s.name}: {s.detail}" for s in failed]}
    closed = rollbacks.finish(
        runtime.store, rollback_id, analysis=analysis, now=clock.now(),
        status=RollbackStatus.NEEDS_PERSON if failed else RollbackStatus.COMPLETED,
    )
    return closed.status


def rollback_record(migration: str, rollback_id: int) -> Rollback:
    """Return the rollback's record."""
    return record_of(runtime_of(migration), rollback_id)
