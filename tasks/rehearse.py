"""The rehearsal of the rollback; its age is a precondition of a cutover."""

from __future__ import annotations

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from changeover.domain.procedures import Step, StepStatus
from changeover.procedures import rehearsal
from changeover.procedures.steps import Procedure
from changeover.procedures.suites import SuiteResult
from changeover.site.site import Site
from tasks.flow_runs import root_run_id
from tasks.steps import step
from tasks.validate import run_suite


@step(name="rehearse")
def rehearse(run: Procedure, suite: SuiteResult | None) -> Step:
    """Rehearse the rollback and save whether it passed.

    Args:
        run: The rehearsal.
        suite: What the suite that verifies a rollback found just now; None when there is none.
    """
    return rehearsal.carry_out(run, suite, log=get_run_logger().info)


async def rehearsed(site: Site) -> State:
    """Rehearse the rollback, and show what was done."""
    run_id = root_run_id()
    verify = site.plan.rollback.verify
    suite = await run_suite(site, verify, f"rehearsal {run_id}")
    run = Procedure(site, f"rehearsal-{run_id}", run_id)
    found = rehearse(run, suite)
    lines = [f"# Rehearsal: {found.status}", found.detail]
    for line in found.data.get("lines", []):
        lines.append(f"- {line}")
    await acreate_markdown_artifact(
        # Prefect's keys have small letters, digits and hyphens
        key=f"{site.migration}-rehearsal".replace("_", "-"),
        description=f"Newest rehearsal of a rollback of {site.migration}: no user was moved",
        markdown="\n".join(lines))
    return ended(found)


def ended(found: Step) -> State:
    """Return the state of a run that rehearsed: only a rehearsal without a fault counts."""
    if found.status is not StepStatus.DONE:
        return Failed(name="Unfit", message=found.detail)
    return Completed(name="Rehearsed", message=found.detail)
