"""After the last stage: final configuration, the baseline out of use, the time of observation."""

from __future__ import annotations

from datetime import datetime

from changeover.analysis.gate import StageDecision
from changeover.procedures import disabling, finishing
from changeover.procedures.finishing import Criterion
from changeover.procedures.steps import CutoverRun
from changeover.procedures.suites import SuiteResult
from tasks.approve import ask_about
from tasks.steps import step


@step(name="final configuration")
def configure_finally(run: CutoverRun) -> str:
    """Set the plan's final flags and pull its levers, unless a rollback came first."""
    return disabling.configure_finally(run)


async def ask_to_disable(run: CutoverRun) -> StageDecision:
    """Suspend until people have agreed to disable the baseline, or have not.

    Returns:
        Promote disables it, hold leaves it in use, rollback brings everyone back.

    Raises:
        StaleEpoch: A rollback came first.
    """
    question = disabling.question(run)
    if question is None:
        return disabling.NOTHING_TO_DISABLE
    return await ask_about(run, question)


@step(name="disable the baseline")
def disable_baseline(run: CutoverRun) -> str:
    """Pull the levers that take the baseline out of use; people agreed to it before.

    Raises:
        StaleEpoch: A rollback came; the baseline's levers were undone.
    """
    return disabling.disable(run)


@step(name="observed until")
def observed_until(run: CutoverRun, round_: int) -> datetime:
    """Return when the time of observation ends, counted from the first call of its round.

    Raises:
        StaleEpoch: A rollback came first: there is nothing to observe.
    """
    return finishing.observed_until(run, round_)


@step(name="success criteria")
def judge_success(run: CutoverRun, suite: SuiteResult | None, round_: int) -> list[Criterion]:
    """Judge the criteria of success one by one and keep them for the report."""
    return finishing.judge_success(run, suite, round_)


async def ask_to_accept(run: CutoverRun, unmet: list[Criterion], round_: int) -> StageDecision:
    """Suspend until people have said what becomes of a cutover that is no success yet.

    Returns:
        Promote accepts it, hold observes once more, rollback brings everyone back.

    Raises:
        StaleEpoch: A rollback came first.
    """
    question = finishing.question(run, unmet, round_)
    return await ask_about(run, question)
