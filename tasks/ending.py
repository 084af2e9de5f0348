"""How a cutover ends: promoted with its report, or rolled back with what follows."""

from __future__ import annotations

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from changeover import clock
from changeover.domain.messages import Severity
from changeover.domain.rollbacks import Cause
from changeover.domain.rollout import CutoverStatus, StageAction, StageStatus
from changeover.errors import StaleEpoch
from changeover.procedures import rollback
from changeover.store import cutovers, rollbacks, routing
from tasks.lifecycle import cutover_of, end_cutover
from tasks.reporting import publish_report, tell, update_progress
from tasks.runtime import current_state, runtime_of
from tasks.steps import step
from tasks.traffic import site_of


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


async def end_again(migration: str, cutover_id: int) -> State | None:
    """Return how a cutover ended that a run before this one closed; None while it runs.

    What follows the end is done once more: that run may have been killed before it.
    """
    cutover = cutover_of(migration, cutover_id)
    if cutover.status is CutoverStatus.RUNNING:
        return None
    return await _end(migration, cutover_id, cutover.status, cutover.outcome)


async def end_not_begun(migration: str, cutover_id: int, reason: str) -> State:
    """Close a cutover whose preconditions do not hold; nobody was moved."""
    return await _end(migration, cutover_id, CutoverStatus.FAILED, reason)


async def end_promoted(migration: str, cutover_id: int, outcome: str) -> State:
    """Close the cutover as promoted, unless a rollback came first."""
    runtime = runtime_of(migration)
    try:
        current_state(runtime, cutover_of(migration, cutover_id))
    except StaleEpoch as stale:
        superseded = {"stage": "", "action": StageAction.SUPERSEDED, "reason": str(stale)}
        return await end_rolled_back(migration, cutover_id, superseded)
    return await _end(migration, cutover_id, CutoverStatus.PROMOTED, outcome)


async def end_rolled_back(migration: str, cutover_id: int, decision: dict[str, str]) -> State:
    """Bring everyone to the baseline if that was not done yet, and close the cutover.

    The further steps (clean-up, restore, analysis, verification) are `rollback/main`, which the
    observer starts with one key per rollback, whoever began it.
    """
    runtime = runtime_of(migration)
    if decision["action"] == StageAction.ROLLBACK:
        roll_back_now(migration, cutover_id, decision["stage"], decision["reason"])
    epoch = routing.read(runtime.store, migration).epoch
    known = rollbacks.of_epoch(runtime.store, migration, epoch)
    reason = known.reason if known else decision["reason"]
    return await _end(migration, cutover_id, CutoverStatus.ROLLED_BACK, reason)


_TOLD = {
    CutoverStatus.PROMOTED: ("was promoted", Severity.INFO),
    CutoverStatus.ROLLED_BACK: ("was rolled back", Severity.CRITICAL),
    CutoverStatus.FAILED: ("was not begun", Severity.WARNING),
    CutoverStatus.STOPPED: ("was ended where it was", Severity.WARNING),
}


async def _end(migration: str, cutover_id: int, status: CutoverStatus, reason: str) -> State:
    """Close the cutover, tell people once, and render the report; the first end stands."""
    if status is CutoverStatus.ROLLED_BACK:
        _close_stage(migration, cutover_id, reason)
    end_cutover(migration, cutover_id, status, reason)
    ended = cutover_of(migration, cutover_id)
    text, severity = _TOLD[ended.status]
    tell(migration, f"cutover {cutover_id} of {migration} {text}", ended.outcome, severity,
         key=f"cutover-{cutover_id}-ended")
    await update_progress(migration, cutover_id)
    await publish_report(migration, cutover_id)
    if ended.status is CutoverStatus.PROMOTED:
        return Completed(name="Promoted", message=ended.outcome)
    if ended.status is CutoverStatus.STOPPED:
        return Cancelled(name="Stopped", message=ended.outcome)
    if ended.status is CutoverStatus.FAILED:
        return Failed(name="NotBegun", message=ended.outcome)
    return Failed(name="RolledBack", message=f"everyone is at the baseline because {ended.outcome}")


@step(name="roll back now")
def roll_back_now(migration: str, cutover_id: int, stage: str, reason: str) -> None:
    """Step 1 of the rollback: all traffic to the baseline. Does nothing after another rollback."""
    runtime = runtime_of(migration)
    cutover = cutover_of(migration, cutover_id)
    if routing.read(runtime.store, migration).epoch != cutover.epoch:
        return
    rollback.start(
        site_of(runtime), Cause(f"stage {stage}: {reason}", f"cutover {cutover_id}"))


def _close_stage(migration: str, cutover_id: int, reason: str) -> None:
    """Close the stage that was open when the rollback came."""
    runtime = runtime_of(migration)
    for record in cutovers.stages(runtime.store, cutover_id):
        if record.decided_at is None:
            cutovers.decide(
                runtime.store, cutover_id, record.key, status=StageStatus.ROLLED_BACK,
                reason=reason, now=clock.now(),
            )
