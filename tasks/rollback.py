"""The rollback SOP's steps: traffic, clean-up, restore, analysis, verification."""

from __future__ import annotations

from typing import Any

from changeover.domain.rollbacks import RollbackStatus
from changeover.procedures import rollback_analysis, rollback_steps, undoing, verification
from changeover.procedures.rollback_steps import Wanted
from changeover.procedures.steps import RollbackRun
from changeover.procedures.suites import SuiteResult
from changeover.site.site import Site
from tasks.flow_runs import root_run_id
from tasks.steps import step


@step(name="1 safe flags and routes")
def move_to_baseline(site: Site, wanted: Wanted) -> RollbackRun:
    """Send everyone to the baseline; finds it done when the observer or a person did it."""
    return rollback_steps.move_to_baseline(site, wanted, root_run_id())


@step(name="take over rollback")
def take_over(run: RollbackRun) -> None:
    """Acquire the lease on the further steps, for this flow run alone.

    Raises:
        CarriedElsewhere: Another run carries them.
    """
    run.renew_lease()


@step(name="2 clean up")
def clean_up(run: RollbackRun) -> str:
    """Move the candidate's temporary files into quarantine; nothing else is ever touched."""
    return rollback_steps.clean_up(run)


@step(name="3 undo hooks")
def undo_hooks(run: RollbackRun) -> str:
    """Undo what hooks of stages did, newest first, each once."""
    return undoing.undo_hooks(run)


@step(name="3 restore")
def restore(run: RollbackRun) -> str:
    """Pull the plan's restore levers in order; one that fails does not stop the others."""
    return rollback_steps.restore(run)


@step(name="4 analysis")
def analyse(run: RollbackRun) -> dict[str, Any]:
    """Record what fired, the numbers before and after, and what users saw."""
    return rollback_analysis.analyse(run)


@step(name="5 verify")
def verify(run: RollbackRun, suite: SuiteResult | None) -> str:
    """See that nobody is on the candidate, the baseline well, queues empty, the suite passed."""
    return verification.verify(run, suite)


@step(name="close rollback")
def close(run: RollbackRun, analysis: dict[str, Any]) -> RollbackStatus:
    """Close the rollback and return its status; a person is needed when a step failed."""
    return rollback_steps.close(run, analysis)
