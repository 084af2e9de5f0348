"""A validation suite of the plan: every check, every failure at once, a report."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from changeover.errors import ChangeoverError
from flows.fields import Suite
from tasks.flow_runs import open_site, root_run_id
from tasks.validate import (
    assign_suite,
    begin_suite,
    carry_out_checks,
    close_suite,
    drop_suite,
)

# Any: Prefect's decorator does not accept its own runner's type
BESIDE_EACH_OTHER: Any = ThreadPoolTaskRunner(max_workers=4)


@flow(
    name="validation", flow_run_name="validation: {suite}",
    task_runner=BESIDE_EACH_OTHER,
)
async def validation(suite: Suite = "staging", migration: str | None = None) -> State:
    """Run the checks of a suite; failed unless every one passed.

    Args:
        suite: Which suite of the plan: one of the usual ones, or any other that it has.
        migration: Name of the migration; empty takes the one that was started last.
    """
    try:
        site = await open_site(migration)
        run_id = begin_suite(site, suite, f"{root_run_id()}-{suite}")
        assign_suite(site, run_id)
        carry_out_checks(site, suite, run_id)
        result = await close_suite(site, run_id, "validation/main")
        drop_suite(site, run_id)
        if result.is_passed:
            return Completed(name="Passed", message=result.reason)
        return Failed(name=result.verdict.title(), message=result.reason)
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
