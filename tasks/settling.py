"""What a decision does to a stage: promoted, held for another soak, or looked at again."""

from __future__ import annotations

from changeover import clock
from changeover.domain.rollout import StageAction, StageStatus
from changeover.store import cutovers
from tasks.lifecycle import cutover_of
from tasks.runtime import current_state, runtime_of
from tasks.steps import step


@step(name="promote stage", task_run_name="promote: {stage}")
def promote_stage(migration: str, cutover_id: int, stage: str, reason: str) -> None:
    """Close the stage as promoted.

    Raises:
        StaleEpoch: A rollback came first; the stage is not promoted.
    """
    runtime = runtime_of(migration)
    current_state(runtime, cutover_of(migration, cutover_id))
    cutovers.decide(
        runtime.store, cutover_id, stage, status=StageStatus.PROMOTED, reason=reason,
        now=clock.now(),
    )


@step(name="hold stage", task_run_name="hold: {stage}")
def hold_stage(migration: str, cutover_id: int, stage: str, round_: int) -> None:
    """Begin the stage's next soak because a person held it in round `round_`."""
    runtime = runtime_of(migration)
    now = clock.now()
    cutovers.next_round(
        runtime.store, cutover_id, stage, expected_round=round_,
        until=now + runtime.plan.stage(stage).soak, now=now,
    )


@step(name="look again later", task_run_name="look again: {stage}")
def recheck_later(migration: str, cutover_id: int, stage: str, rechecks: int) -> None:
    """Wait the plan's `patience.recheck` before look number `rechecks + 1`."""
    runtime = runtime_of(migration)
    cutovers.extend_soak(
        runtime.store, cutover_id, stage,
        until=clock.now() + runtime.plan.patience.recheck, rechecks=rechecks + 1,
    )


def promoted(migration: str, cutover_id: int, stage: str) -> dict[str, str] | None:
    """Return the outcome of a stage that was promoted before; None when it was not."""
    record = cutovers.stage(runtime_of(migration).store, cutover_id, stage)
    if record is None or record.status is not StageStatus.PROMOTED:
        return None
    return {"stage": stage, "action": str(StageAction.PROMOTE), "reason": record.reason}


def settled(migration: str, cutover_id: int, stage: str) -> dict[str, str] | None:
    """Return the outcome of a stage whose whole phase was promoted; None when it was not.

    A run wakes many times; what the store knows of passed phases need not be asked of Prefect.
    Only of whole phases: Prefect knows the runs of one flow by counting its calls, so either all
    calls of a phase's flow are made again or none.
    """
    plan = runtime_of(migration).plan
    phase = plan.stage(stage).phase
    outcomes = {each.key: promoted(migration, cutover_id, each.key)
                for each in plan.stages() if each.phase is phase}
    return outcomes[stage] if all(outcomes.values()) else None


def round_of(migration: str, cutover_id: int, stage: str) -> tuple[int, int]:
    """Return (round, rechecks) of a stage; (1, 0) before it was entered."""
    record = cutovers.stage(runtime_of(migration).store, cutover_id, stage)
    return (record.round, record.rechecks) if record else (1, 0)
