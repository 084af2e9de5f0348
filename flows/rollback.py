"""The rollback SOP: four steps, then verification, then the report."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from changeover.domain.messages import Severity
from changeover.domain.rollbacks import RollbackSeverity, RollbackStatus
from changeover.errors import CarriedElsewhere, ChangeoverError
from changeover.procedures.notices import notify
from changeover.procedures.rollback_steps import Wanted
from changeover.procedures.steps import RollbackRun
from flows.fields import Reason, Scope
from tasks.flow_runs import open_site
from tasks.rehearse import rehearsed
from tasks.report import publish_report
from tasks.rollback import (
    analyse,
    clean_up,
    close,
    move_to_baseline,
    restore,
    take_over,
    undo_hooks,
    verify,
)
from tasks.steps import PASSING_TROUBLE, try_again_later
from tasks.traffic import move_part_back
from tasks.validate import run_verification


@flow(name="rollback", flow_run_name="rollback: {reason}")
async def rollback(
    reason: Reason,
    migration: str | None = None,
    *,
    severity: RollbackSeverity = RollbackSeverity.HIGH,
    scope: Scope = "all",
    rehearsal: bool = False,
    rollback_id: int | None = None,
) -> State:
    """Bring everyone back to the baseline and put everything in order afterwards.

    Finds step 1 done when a trigger, a gate or a person moved the traffic already, and leaves the
    further steps to the run that carries them already.

    Args:
        reason: What happened, one sentence.
        migration: Name of the migration; empty takes the one that was started last.
        severity: How bad it is.
        scope: Who goes back: all users, those of the newest stage, one segment as segment:NAME, or
            one route of the traffic as route:NAME.
        rehearsal: Do everything against a copy of the state and a gateway of its own.
        rollback_id: Leave it empty: the observer gives it when step 1 is done.
    """
    try:
        site = await open_site(migration)
        if rehearsal:
            return await rehearsed(site)
        if scope != "all":
            return Completed(name="Reduced", message=move_part_back(site, reason, scope))
        run = move_to_baseline(site, Wanted(reason, severity, rollback_id))
        return await _carry_out(run)
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
    except CarriedElsewhere as other:
        return Completed(name="CarriedElsewhere", message=str(other))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))


async def _carry_out(run: RollbackRun) -> State:
    """Do the steps that follow the traffic, then the report."""
    site = run.site
    # everyone is at the baseline by now: from here on one run alone goes on
    take_over(run)
    clean_up(run)
    undo_hooks(run)
    restore(run)
    analysis = analyse(run)
    suite = await run_verification(site, run.id)
    seen = verify(run, suite)
    status = close(run, analysis)
    record, is_complete = run.record, status is RollbackStatus.COMPLETED
    notify(site, f"rollback of {site.migration}: {status}", f"{record.reason}; {seen}",
           Severity.WARNING if is_complete else Severity.CRITICAL,
           key=f"rollback-{run.id}-{status}")
    # last: the report tells of every step
    await publish_report(site, record.cutover_id)
    if not is_complete:
        return Failed(name="NeedsPerson", message=f"everyone is at the baseline; {seen}")
    return Completed(name="RolledBack", message=seen)
