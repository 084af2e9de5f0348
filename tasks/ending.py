"""How a cutover ends: promoted with its report, or rolled back with what follows."""

from __future__ import annotations

from prefect.states import Completed, Failed, State

from changeover import clock, rollback
from changeover.errors import StaleEpoch
from changeover.store import cutovers, operations, routing
from tasks.lifecycle import cutover_of, end_cutover
from tasks.reporting import publish_report, tell, update_progress
from tasks.runtime import current_state, runtime_of
from tasks.steps import step


def is_superseded(migration: str, cutover_id: int, stage: str) -> bool:
    """Whether a rollback came before this stage was ever entered, so that it never will be."""
    runtime = runtime_of(migration)
    if cutovers.stage(runtime.store, cutover_id, stage) is not None:
        return False
    try:
        current_state(runtime, cutover_of(migration, cutover_id))
    except StaleEpoch:
        return True
    return False


async def end_not_begun(migration: str, cutover_id: int, reason: str) -> State:
    """Close a cutover whose preconditions do not hold; nobody was moved."""
    end_cutover(migration, cutover_id, "failed", reason)
    await publish_report(migration, cutover_id)
    tell(migration, f"cutover {cutover_id} of {migration} was not begun", reason, "warning")
    return Failed(name="NotBegun", message=reason)


async def end_promoted(migration: str, cutover_id: int, outcome: str) -> State:
    """Close the cutover as promoted, unless a rollback came first."""
    runtime = runtime_of(migration)
    try:
        current_state(runtime, cutover_of(migration, cutover_id))
    except StaleEpoch as stale:
        superseded = {"stage": "", "action": "superseded", "reason": str(stale)}
        return await end_rolled_back(migration, cutover_id, superseded)
    end_cutover(migration, cutover_id, "promoted", outcome)
    await update_progress(migration, cutover_id)
    await publish_report(migration, cutover_id)
    tell(migration, f"cutover {cutover_id} of {migration} was promoted", outcome)
    return Completed(name="Promoted", message=outcome)


async def end_rolled_back(migration: str, cutover_id: int, decision: dict[str, str]) -> State:
    """Bring everyone to the baseline if that was not done yet, and close the cutover.

    The further steps (clean-up, restore, analysis, verification) are `rollback/main`, which the
    observer starts with one key per rollback, whoever began it.
    """
    runtime = runtime_of(migration)
    if decision["action"] == "rollback":
        roll_back_now(migration, cutover_id, decision["stage"], decision["reason"])
    epoch = routing.read(runtime.store, migration).epoch
    known = operations.rollback_of(runtime.store, migration, epoch)
    reason = known.reason if known else decision["reason"]
    _close_stage(migration, cutover_id, reason)
    end_cutover(migration, cutover_id, "rolled_back", reason)
    await update_progress(migration, cutover_id)
    await publish_report(migration, cutover_id)
    tell(migration, f"cutover {cutover_id} of {migration} was rolled back", reason, "critical")
    return Failed(name="RolledBack", message=f"everyone is at the baseline because {reason}")


@step(name="roll back now")
def roll_back_now(migration: str, cutover_id: int, stage: str, reason: str) -> None:
    """Step 1 of the rollback: all traffic to the baseline. Does nothing after another rollback."""
    runtime = runtime_of(migration)
    cutover = cutover_of(migration, cutover_id)
    if routing.read(runtime.store, migration).epoch != cutover.epoch:
        return
    rollback.start(
        runtime.store, runtime.gateway, runtime.plan, reason=f"stage {stage}: {reason}",
        severity="high", actor=f"cutover {cutover_id}", now=clock.now(),
    )


def _close_stage(migration: str, cutover_id: int, reason: str) -> None:
    """Close the stage that was open when the rollback came."""
    runtime = runtime_of(migration)
    for record in cutovers.stages(runtime.store, cutover_id):
        if record.decided_at is None:
            cutovers.decide(
                runtime.store, cutover_id, record.key, decision="rolled_back", reason=reason,
                now=clock.now(),
            )
