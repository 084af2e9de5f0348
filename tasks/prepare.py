"""Before the first user moves: preconditions, backup, and the way back without anything."""

from __future__ import annotations

from changeover.procedures import preconditions, preparation
from changeover.procedures.steps import CutoverRun
from changeover.procedures.suites import SuiteResult
from tasks.report import BackupBar
from tasks.steps import step


@step(name="preconditions")
def check_preconditions(run: CutoverRun, suite: SuiteResult | None) -> str:
    """See that everything holds that the plan wants, and return what was found.

    Raises:
        Refused: Something does not hold; every reason is named, and nobody was moved.
    """
    return preconditions.check(run, suite)


@step(name="back up")
def back_up(run: CutoverRun) -> str:
    """Make the plan's backup, see that it can be restored, and return where it is.

    Raises:
        Refused: It could not be made or is not good; nobody was moved.
    """
    return preparation.back_up(run, lambda items: BackupBar(run.migration, items))


@step(name="write rollback.sh")
def write_way_back(run: CutoverRun) -> str:
    """Write `rollback.sh`, which needs nothing of us to run, and say where it is."""
    return preparation.write_way_back(run)
