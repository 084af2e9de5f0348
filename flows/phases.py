"""The four phases: as a part of the cutover, and each alone as a cutover of its own."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from changeover.analysis.gate import StageDecision
from changeover.plan.model import PhaseKind
from flows.stage import Phase, pass_stage, run_phase

WHO_GETS_WHAT = {
    PhaseKind.SHADOW: "The candidate runs beside the baseline; no user gets its answers.",
    PhaseKind.BETA: "A few users and the named segments get the candidate.",
    PhaseKind.GRADUAL: "A growing percentage of users gets the candidate, stage by stage.",
    PhaseKind.FULL: "Everyone gets the candidate; the baseline stands by.",
}


def _stage_flow(kind: PhaseKind) -> Phase:
    """Return the flow that passes one stage of a phase: a subflow of the cutover."""

    async def passes(migration: str, cutover_id: int, stage: str) -> StageDecision:
        return await pass_stage(migration, cutover_id, stage)

    # Prefect finds a subflow's earlier runs by the function's name: phases must not share one
    passes.__name__ = passes.__qualname__ = f"{kind}_stage"
    made: Phase = flow(
        name=f"{kind}-stage",
        flow_run_name=f"{kind}: {{stage}}",
        description=WHO_GETS_WHAT[kind],
        persist_result=True,
        validate_parameters=False,
    )(passes)
    return made


def _alone(kind: PhaseKind) -> Any:
    """Return the flow that carries out one phase as a cutover of its own."""

    async def alone(migration: str | None = None) -> State:
        return await run_phase(kind, migration)

    # Prefect shows the text as the flow's description and its parameters' in the form
    alone.__name__ = alone.__qualname__ = str(kind)
    alone.__doc__ = f"""{WHO_GETS_WHAT[kind]}

    The {kind} phase alone, with its approvals, as a cutover of its own.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
    """
    return flow(name=str(kind), flow_run_name=f"{kind} alone", persist_result=True)(alone)


STAGE_FLOWS = {kind: _stage_flow(kind) for kind in WHO_GETS_WHAT}

shadow = _alone(PhaseKind.SHADOW)
beta = _alone(PhaseKind.BETA)
gradual = _alone(PhaseKind.GRADUAL)
full = _alone(PhaseKind.FULL)
