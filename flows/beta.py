"""The beta phase: a few users and the named segments get the candidate."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from changeover.plan.model import PhaseKind
from flows.stage import Outcome, pass_stage, run_phase


@flow(
    name="beta-stage",
    flow_run_name="beta: {stage}",
    description="A few users and the named segments get the candidate.",
    persist_result=True,
    validate_parameters=False,
)
async def beta_stage(migration: str, cutover_id: int, stage: str) -> Outcome:
    """Move the first users and the named segments to the candidate, soak, and judge the gate."""
    return await pass_stage(migration, cutover_id, stage)


@flow(name="beta", flow_run_name="beta alone", persist_result=True)
async def beta(migration: str | None = None) -> State:
    """A few users and the named segments get the candidate.

    The beta phase alone, with its approvals, as a cutover of its own.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    return await run_phase(PhaseKind.BETA, migration)
