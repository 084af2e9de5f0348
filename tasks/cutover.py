"""Begin and end of a cutover."""

from __future__ import annotations

from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Failed

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.rollout import CutoverStatus, StageAction
from changeover.domain.routing import Mode
from changeover.errors import CutoverActive, Refused, StaleEpoch
from changeover.observer.carrying import ended_now
from changeover.procedures import ending, traces
from changeover.procedures.steps import CutoverRun
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import PREFECT_SECONDS, Site
from changeover.store import carriers, cutovers, routing
from tasks.flow_runs import root_run_id
from tasks.report import publish_report, update_progress
from tasks.steps import step


@step(name="begin cutover")
def begin_cutover(site: Site, flow: str = "cutover") -> CutoverRun:
    """Open the cutover in the store, find the one that this run carries, or continue one.

    One is continued whose own run has ended in Prefect without ending it (cancelled, deleted,
    given up): it goes on where it was, and its former run may do nothing more.

    Args:
        site: The migration.
        flow: The flow that carries it: a phase alone is continued by that phase's flow.

    Raises:
        CutoverActive: Another cutover of the migration has not ended, and its run goes on.
        Refused: The routing state allows no cutover.
    """
    own, now = root_run_id(), clock.now()
    try:
        cutover = cutovers.begin(
            site.store, site.migration, flow_run_id=own, now=now, flow=flow)
    except CutoverActive as other:
        # asked only then: mostly the run begins its own cutover
        return _continue(site, flow, own, other)
    run = CutoverRun(site, cutover, own)
    # not when the run was woken again
    if cutover.started_at == now:
        traces.began_cutover(run)
    return run


def _continue(site: Site, flow: str, own: str, other: CutoverActive) -> CutoverRun:
    """Take up the running cutover when nobody carries it on.

    Raises:
        CutoverActive: Its run goes on.
        Refused: Another flow began it, which does something else.
    """
    cutover = cutovers.active(site.store, site.migration)
    if cutover is None:
        raise other
    carrier = carriers.one(site.store, site.migration, cutovers.subject(cutover.id))
    if carrier is None:
        raise other
    now = clock.now()
    # the flow asks the server that runs it, which need not be the home's
    url = str(PREFECT_API_URL.value())
    api = PrefectApi(url, timeout=PREFECT_SECONDS, owner=lambda: site.store_id)
    if ended_now(site, api, carrier, now=now) is None:
        raise other
    if carrier.flow != flow:
        why = f"not continued because {carrier.flow}/main began cutover {cutover.id}"
        raise Refused(
            why, next_step="Run `changeover continue`, which starts that flow again")
    # one of several that continue at once wins
    is_ours = cutovers.adopt(
        site.store, cutover.id, carrier, flow_run_id=own, now=now)
    if not is_ours:
        raise other
    return CutoverRun(site, cutover, own)


async def end_again(run: CutoverRun) -> State | None:
    """Return how a cutover ended that a run before this one closed; None while it runs.

    What follows the end is done once more: that run may have been killed before it.
    """
    cutover = run.record
    if cutover.status is CutoverStatus.RUNNING:
        return None
    return await _end(run, cutover.status, cutover.outcome)


async def end_not_begun(run: CutoverRun, reason: str) -> State:
    """Close a cutover whose preconditions do not hold; nobody was moved."""
    return await _end(run, CutoverStatus.FAILED, reason)


async def end_promoted(run: CutoverRun, outcome: str) -> State:
    """Close the cutover as promoted, unless a rollback came first."""
    try:
        run.current_state()
        # one that comes in this very moment is found as the cutover is closed
        return await _end(run, CutoverStatus.PROMOTED, outcome)
    except StaleEpoch as stale:
        superseded = StageDecision("", StageAction.SUPERSEDED, str(stale))
        return await end_rolled_back(run, superseded)


async def end_rolled_back(run: CutoverRun, decision: StageDecision) -> State:
    """Bring everyone to the baseline if that was not done yet, and close the cutover.

    The further steps (clean-up, restore, analysis, verification) are `rollback/main`, which the
    observer starts with one key per rollback, whoever began it.
    """
    # what was superseded is rolled back already
    if decision.action is StageAction.ROLLBACK:
        roll_back_now(run, decision)
    reason = ending.reason_of_rollback(run, decision.reason)
    return await _end(run, CutoverStatus.ROLLED_BACK, reason)


async def _end(run: CutoverRun, status: CutoverStatus, reason: str) -> State:
    """Close the cutover and render the report; the first end stands."""
    # first: what follows may fail, and the end must stand
    end_cutover(run, status, reason)
    await update_progress(run)
    await publish_report(run.site, run.id)
    return _state_of(run)


def _state_of(run: CutoverRun) -> State:
    """Return the state of the flow run that says how the cutover ended."""
    ended = run.record
    if ended.status is CutoverStatus.PROMOTED:
        return Completed(name="Promoted", message=ended.outcome)
    if ended.status is CutoverStatus.STOPPED:
        return Cancelled(name="Stopped", message=ended.outcome)
    if ended.status is CutoverStatus.FAILED:
        return Failed(name="NotBegun", message=ended.outcome)
    state = routing.read(run.site.store, run.migration)
    where = "everyone is at the baseline"
    if state.mode is Mode.RETURNING:
        where = "users return to the baseline in steps"
    return Failed(name="RolledBack", message=f"{where} because {ended.outcome}")


@step(name="end cutover", task_run_name="end cutover: {status}")
def end_cutover(run: CutoverRun, status: CutoverStatus, reason: str) -> None:
    """Close the cutover and notify people once; the first end stands."""
    ending.close(run, status, reason)


@step(name="roll back now")
def roll_back_now(run: CutoverRun, decision: StageDecision) -> None:
    """Step 1 of the rollback: all traffic to the baseline. Does nothing after another rollback."""
    ending.roll_back_now(run, decision)
