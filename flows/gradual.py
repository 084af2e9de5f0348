"""The gradual phase: a growing percentage of users gets the candidate, stage by stage."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from changeover.plan.model import PhaseKind
from flows.stage import Outcome, pass_stage, run_phase


@flow(
    name="gradual-stage",
    flow_run_name="gradual: {stage}",
    description="A growing percentage of users gets the candidate, stage by stage.",
    persist_result=True,
    validate_parameters=False,
)
async def gradual_stage(migration: str, cutover_id: int, stage: str) -> Outcome:
    """Move one more share of users, soak, and judge the gate; who was moved stays moved."""
    return await pass_stage(migration, cutover_id, stage)


@flow(name="gradual", flow_run_name="gradual alone", persist_result=True)
async def gradual(migration: str | None = None) -> State:
    """A growing percentage of users gets the candidate, stage by stage.

    The gradual phase alone, with its approvals, as a cutover of its own.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    return await run_phase(PhaseKind.GRADUAL, migration)
