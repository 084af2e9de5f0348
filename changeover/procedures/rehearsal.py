"""The whole rehearsal of a rollback: on a copy, verification and analysis, as one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from changeover.domain.procedures import Step
from changeover.errors import ChangeoverError
from changeover.procedures import rehearsal_copy, rollback_analysis, verification
from changeover.procedures.steps import Found, Procedure
from changeover.procedures.suites import SuiteResult
from changeover.store import plans, steps


def carry_out(
    run: Procedure, suite: SuiteResult | None, *, log: Callable[[str], None]
) -> Step:
    """Rehearse the rollback and save whether it passed.

    Args:
        run: The rehearsal.
        suite: What the suite that verifies a rollback found just now; None when there is none.
        log: Given each line of what was done.

    Returns:
        The step; `data["lines"]` has what was done, also when it failed.
    """
    site, lines = run.site, list[str]()

    def rehearse() -> Found:
        problems = rehearsal_copy.rehearse(site.plan, lines.append, base=site.folder)
        problems += verification.rehearse(site, suite)
        problems += rollback_analysis.rehearse(site)
        if problems:
            raise ChangeoverError("; ".join(problems))
        if suite is not None:
            lines.append(f"suite {suite.suite}: {suite.reason}")
        return "everything that a rollback needs works", {
            "lines": lines, "plan": plans.digest_of(site.plan)}

    found = run.once(steps.REHEARSAL, rehearse)
    for line in lines:
        log(line)
    # a rehearsal that was done before has its lines in the step
    return replace(found, data={**found.data, "lines": lines or found.data.get("lines", [])})
