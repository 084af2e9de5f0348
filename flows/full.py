"""The full phase: everyone gets the candidate; the baseline stands by."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from changeover.plan.model import PhaseKind
from flows.stage import Outcome, pass_stage, run_phase


@flow(
    name="full-stage",
    flow_run_name="full: {stage}",
    description="Everyone gets the candidate; the baseline stands by.",
    persist_result=True,
    validate_parameters=False,
)
async def full_stage(migration: str, cutover_id: int, stage: str) -> Outcome:
    """Move everyone, soak, and judge the gate; the baseline stands by for a rollback."""
    return await pass_stage(migration, cutover_id, stage)


@flow(name="full", flow_run_name="full alone", persist_result=True)
async def full(migration: str | None = None) -> State:
    """Everyone gets the candidate; the baseline stands by.

    The full phase alone, with its approvals, as a cutover of its own.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    return await run_phase(PhaseKind.FULL, migration)
