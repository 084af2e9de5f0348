"""The shadow phase: the candidate runs beside the baseline; no user gets its answers."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from changeover.plan.model import PhaseKind
from flows.stage import Outcome, pass_stage, run_phase


@flow(
    name="shadow-stage",
    flow_run_name="shadow: {stage}",
    description="The candidate runs beside the baseline; no user gets its answers.",
    persist_result=True,
    validate_parameters=False,
)
async def shadow_stage(migration: str, cutover_id: int, stage: str) -> Outcome:
    """Move nobody: soak the candidate beside the baseline, and judge whether it is fit."""
    return await pass_stage(migration, cutover_id, stage)


@flow(name="shadow", flow_run_name="shadow alone", persist_result=True)
async def shadow(migration: str | None = None) -> State:
    """The candidate runs beside the baseline; no user gets its answers.

    The shadow phase alone, with its approvals, as a cutover of its own.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    return await run_phase(PhaseKind.SHADOW, migration)
