"""The rehearsal of the rollback as a task; its age is a precondition of a cutover."""

from __future__ import annotations

from dataclasses import replace

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from changeover.domain.procedures import Step, StepStatus
from changeover.errors import ChangeoverError
from changeover.procedures import rehearsal
from changeover.store import plans, steps
from tasks.analysing import rehearse_analysis
from tasks.procedure import Found, once
from tasks.runtime import root_run_id, runtime_of
from tasks.steps import step
from tasks.validating import Result, run_rehearsed
from tasks.verifying import rehearse_verification


@step(name="rehearse")
def rehearse(migration: str, suite: Result | None) -> Step:
    """Rehearse the rollback and keep whether it passed.

    Args:
        migration: Name of the migration.
        suite: What the suite that verifies a rollback found just now; None when there is none.
    """
    runtime = runtime_of(migration)
    told: list[str] = []

    def carry_out() -> Found:
        problems = rehearsal.rehearse(runtime.plan, told.append, base=runtime.site.folder)
        problems += rehearse_verification(runtime, suite)
        problems += rehearse_analysis(runtime)
        if problems:
            raise ChangeoverError("; ".join(problems))
        if suite is not None:
            told.append(f"suite {suite['suite']}: {suite['reason']}")
        return "everything that a rollback needs works", {
            "told": told, "plan": plans.digest_of(runtime.plan)}

    found = once(runtime, f"rehearsal-{root_run_id()}", steps.REHEARSAL, carry_out)
    for line in told:
        get_run_logger().info(line)
    return replace(found, data={"told": told or found.data.get("told", [])})


async def rehearsed(migration: str) -> State:
    """Rehearse the rollback, and show what was done."""
    suite = await run_rehearsed(migration, runtime_of(migration).plan.rollback.verify)
    found = rehearse(migration, suite)
    await acreate_markdown_artifact(
        key=f"{migration}-rehearsal".replace("_", "-"),
        description="Newest rehearsal of the rollback",
        markdown="\n".join([f"# Rehearsal: {found.status}", found.detail,
                            *(f"- {line}" for line in found.data["told"])]))
    if found.status is not StepStatus.DONE:
        return Failed(name="Unfit", message=found.detail)
    return Completed(name="Rehearsed", message=found.detail)
