"""The rollback SOP: four steps, then verification, then the report."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from changeover.domain.messages import Severity
from changeover.domain.rollbacks import RollbackSeverity, RollbackStatus
from changeover.errors import CarriedElsewhere, ChangeoverError
from tasks.analysing import analyse
from tasks.carrying import take_over
from tasks.lifecycle import end_cutover
from tasks.rehearsing import rehearsed
from tasks.reporting import publish_report, tell
from tasks.rolling_back import clean_up, close, move_to_baseline, restore, rollback_record
from tasks.runtime import open_runtime
from tasks.steps import PASSING_TROUBLE, try_again_later
from tasks.traffic import move_part_back
from tasks.verifying import run_suite, verify


@flow(name="rollback", flow_run_name="rollback: {reason}")
async def rollback(
    reason: str,
    migration: str | None = None,
    severity: RollbackSeverity = RollbackSeverity.HIGH,
    scope: str = "all",
    rehearsal: bool = False,
    rollback_id: int | None = None,
) -> State:
    """Bring everyone back to the baseline and put everything in order afterwards.

    Finds step 1 done when a trigger, a gate or a person moved the traffic already, and leaves the
    further steps to the run that carries them already.

    Args:
        reason: What happened, one sentence.
        migration: Name of the migration; empty takes the one that was started last.
        severity: How bad it is: critical, high or medium.
        scope: all; or a part of the users: segment:NAME, or stage for one stage back.
        rehearsal: Do everything against a copy of the state and a gateway of its own.
        rollback_id: Given by the observer when step 1 is done.
    """
    try:
        runtime = await open_runtime(migration)
        name = runtime.migration
        if rehearsal:
            return await rehearsed(name)
        if scope != "all":
            return Completed(name="Reduced", message=move_part_back(name, reason, scope))
        began = move_to_baseline(name, reason, severity, rollback_id)
        take_over(name, began)
        clean_up(name, began)
        restore(name, began)
        analysis = analyse(name, began)
        suite = await run_suite(name, runtime.plan.rollback.verify, began)
        outcome = verify(name, began, suite)
        status = close(name, began, analysis)
        record = rollback_record(name, began)
        if record.cutover_id is not None:
            end_cutover(name, record.cutover_id, "rolled_back", record.reason)
        is_complete = status == RollbackStatus.COMPLETED
        tell(name, f"rollback of {name}: {status}", f"{record.reason}; {outcome}",
             Severity.WARNING if is_complete else Severity.CRITICAL,
             key=f"rollback-{began}-{status}")
        await publish_report(name, record.cutover_id)
        if not is_complete:
            return Failed(name="NeedsPerson", message=f"everyone is at the baseline; {outcome}")
        return Completed(name="RolledBack", message=outcome)
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
    except CarriedElsewhere as other:
        return Completed(name="CarriedElsewhere", message=str(other))
    except ChangeoverError as error:
        return Failed(name="Refused", message=str(error))
