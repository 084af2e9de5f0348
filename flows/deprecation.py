"""Weeks after the cutover: retire the baseline, with approval."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from changeover.domain.approvers import RETIRE
from changeover.domain.rollout import StageAction
from changeover.errors import CarriedElsewhere, ChangeoverError
from changeover.procedures.deprecation import Retirement
from tasks.deprecate import (
    ask_to_retire,
    begin_retirement,
    check_unused,
    end_retirement,
    pull_levers,
    until_all_finished,
)
from tasks.flow_runs import open_site, root_run_id
from tasks.starting import note_starter
from tasks.steps import PASSING_TROUBLE, come_back, try_again_later


@flow(name="deprecation", flow_run_name="deprecation of the baseline", persist_result=True)
async def deprecation(
    migration: str | None = None, started_by: str | None = None, code: str | None = None,
) -> State:
    """Wait for the plan's time since promotion, see that nobody calls it, ask, and remove it.

    A member of a group waits until each of the others has finished, too.

    Args:
        migration: Name of the migration; empty takes the one that was started last.
        started_by: Who starts it: `four_eyes` in the plan need to know. Empty: two people must
            approve wherever one would.
        code: What `changeover approver code start` shows, where the plan wants tokens.
    """
    try:
        retirement = Retirement(await open_site(migration), root_run_id())
        note_starter(retirement.run, started_by, code, part=RETIRE)
        due = begin_retirement(retirement)
        message = f"the baseline stands by until {due:%F %T} UTC"
        await come_back(due, name="Waiting", message=message)
        await until_all_finished(retirement)
        # after the wait, not before: weeks have passed
        check_unused(retirement)
        decision = await ask_to_retire(retirement)
        is_agreed = decision.action is StageAction.PROMOTE
        retired = pull_levers(retirement) if is_agreed else ""
        end_retirement(retirement)
        if not is_agreed:
            message = f"the baseline stays: {decision.action} was decided"
            return Completed(name="Kept", message=message)
        return Completed(name="Retired", message=retired)
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
    except CarriedElsewhere as other:
        return Cancelled(name="CarriedElsewhere", message=str(other))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
