"""The whole rehearsal of a rollback: the copy, verification and analysis, kept as one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from changeover.domain.procedures import Step
from changeover.errors import ChangeoverError
from changeover.procedures import rehearsal, rollback_analysis, verification
from changeover.procedures.steps import Found, Procedure
from changeover.procedures.suites import SuiteResult
from changeover.store import plans, steps


def carry_out(run: Procedure, suite: SuiteResult | None, *, tell: Callable[[str], None]) -> Step:
    """Rehearse the rollback and keep whether it passed.

    Args:
        run: The rehearsal.
        suite: What the suite that verifies a rollback found just now; None when there is none.
        tell: Given each line of what was done.

    Returns:
        The step; `data["told"]` has what was done, also when it failed.
    """
    site, told = run.site, list[str]()

    def rehearse() -> Found:
        problems = rehearsal.rehearse(site.plan, told.append, base=site.folder)
        problems += verification.rehearse(site, suite)
        problems += rollback_analysis.rehearse(site)
        if problems:
            raise ChangeoverError("; ".join(problems))
        if suite is not None:
            told.append(f"suite {suite.suite}: {suite.reason}")
        return "everything that a rollback needs works", {
            "told": told, "plan": plans.digest_of(site.plan)}

    found = run.once(steps.REHEARSAL, rehearse)
    for line in told:
        tell(line)
    return replace(found, data={**found.data, "told": told or found.data.get("told", [])})
