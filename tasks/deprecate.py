"""Retiring the baseline: when it is due, who agrees, and the levers that do it."""

from __future__ import annotations

from datetime import datetime

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.procedures import deprecation, members
from changeover.procedures.deprecation import Retirement
from changeover.procedures.waiting import BEHIND, LOOK_AGAIN
from tasks.approve import ask_about
from tasks.steps import come_back, step


@step(name="begin retirement")
def begin_retirement(retirement: Retirement) -> datetime:
    """Note that this run carries the retirement, and return when the baseline may be retired."""
    return deprecation.begin(retirement)


async def until_all_finished(retirement: Retirement) -> None:
    """Return when every member of the migration's group has finished its cutover.

    Until then a member may have to go back, and the others' baselines may have to answer it.

    Raises:
        Pause: Not every one has; the worker starts the run again later.
    """
    while why := members.unfinished(retirement.site):
        at = clock.now() + LOOK_AGAIN
        said = f"the baseline stays because {why}"
        await come_back(at, name=BEHIND, message=said)


@step(name="see that nobody calls it")
def check_unused(retirement: Retirement) -> None:
    """See that the baseline answered nobody in the plan's period, before people are asked.

    Raises:
        Refused: It did.
        Unreachable: Nobody counted.
    """
    deprecation.refuse_while_called(retirement)


async def ask_to_retire(retirement: Retirement) -> StageDecision:
    """Suspend until every approver has agreed, or one has not; return the decision.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: Nobody has answered yet.
    """
    question = deprecation.question(retirement)
    return await ask_about(retirement.run, question)


@step(name="retire the baseline")
def pull_levers(retirement: Retirement) -> str:
    """Pull the phase's levers in order, stopping at the first that fails.

    Raises:
        Refused: Somebody still calls the baseline, or a rollback sent users there meanwhile.
        ChangeoverError: A lever failed; the ones after it were not pulled.
    """
    return deprecation.pull_levers(retirement)


@step(name="end retirement")
def end_retirement(retirement: Retirement) -> None:
    """Note that nothing of the retirement is left to be done."""
    deprecation.end(retirement)
