"""The rehearsal of the rollback as a task; its age is a precondition of a cutover."""

from __future__ import annotations

from dataclasses import replace

from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, State

from changeover import rehearsal
from changeover.errors import ChangeoverError
from changeover.store import plans, sop
from changeover.store.sop import SopStep
from changeover.validation.saving import scene_of
from tasks.procedure import Found, once
from tasks.runtime import root_run_id, runtime_of
from tasks.steps import step


@step(name="rehearse")
def rehearse(migration: str) -> SopStep:
    """Rehearse the rollback and keep whether it passed."""
    runtime = runtime_of(migration)
    told: list[str] = []

    def carry_out() -> Found:
        folder = scene_of(runtime.home, runtime.plan, runtime.store).folder
        if problems := rehearsal.rehearse(runtime.plan, told.append, base=folder):
            raise ChangeoverError("; ".join(problems))
        return "everything that a rollback needs works", {
            "told": told, "plan": plans.digest_of(runtime.plan)}

    found = once(runtime, f"rehearsal-{root_run_id()}", sop.REHEARSAL, carry_out)
    for line in told:
        get_run_logger().info(line)
    return replace(found, data={"told": told or found.data.get("told", [])})


async def rehearsed(migration: str) -> State:
    """Rehearse the rollback, and show what was done."""
    found = rehearse(migration)
    await acreate_markdown_artifact(
        key=f"{migration}-rehearsal".replace("_", "-"),
        description="Newest rehearsal of the rollback",
        markdown="\n".join([f"# Rehearsal: {found.status}", found.detail,
                            *(f"- {line}" for line in found.data["told"])]))
    if found.status != sop.DONE:
        return Failed(name="Unfit", message=found.detail)
    return Completed(name="Rehearsed", message=found.detail)
