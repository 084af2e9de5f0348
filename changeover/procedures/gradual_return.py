"""A rollback in steps, for what is not urgent: begun here, and carried on by the observer.

1. The first step raises the epoch, as every rollback: no flow can promote any more. In the same
   transaction the audit gets the schedule, from which all further steps follow.
2. Each step is a change of the routing state with its audit event, and the gateway confirms it
   before the next one is made. The last step is made in any case when its time has come.
3. The last step is the rollback that everyone knows (`rollback.start`): safe flags, then
   `rollback/main`. Whoever calls that in between brings everyone back at once.

A kill at any line is mended by the next call: what is due depends on the start and on the clock.
"""

from __future__ import annotations

from dataclasses import replace

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.gradual_return import KEY, Return
from changeover.domain.rollbacks import Cause, RollbackSeverity
from changeover.domain.routing import TRIED, Change, Mode, RoutingState
from changeover.errors import Refused
from changeover.procedures import baseline, rollback, traffic
from changeover.procedures.rollback import RollbackStart
from changeover.site.site import Site
from changeover.store import audit, returns, rollbacks, routing
from changeover.store.write_queue import first_in_line

ACTOR = "observer"
_STEPS = (Mode.RETURNING, Mode.EMERGENCY_ROLLBACK)
_NO_STEPS = "not rolled back in steps because the plan has no `rollback.return`"
_ADD_STEPS = (
    "Add `rollback: {return: {over: 5m}}`, "
    "or bring everyone back at once with `changeover rollback`")


def begin(site: Site, cause: Cause, *, is_baseline_back: bool = False) -> RollbackStart:
    """Begin to bring users back in the plan's steps; idempotent.

    Where no user is on the candidate there is nothing to do in steps, and everything is done at
    once, as it is when everyone is back already.

    Args:
        site: The migration.
        cause: Who decided, what happened, and how severe it is.
        is_baseline_back: The caller has brought a baseline that was out of use back.

    Raises:
        Refused: The plan does not say how users return, the baseline was retired, or the home's
            gateway is another migration's.
        Unreachable: The baseline was out of use and does not come back.
        StoreError: The store cannot be used.
    """
    site.refuse_elsewhere("not rolled back in steps")
    spec = site.plan.rollback.return_
    if spec is None:
        raise Refused(_NO_STEPS, next_step=_ADD_STEPS)
    store, migration = site.store, site.migration
    baseline.refuse_when_retired(site)
    # before the first step: it must answer those whom that sends to it
    if not is_baseline_back:
        baseline.bring_back(site, actor=cause.actor)
    with first_in_line():
        state = routing.read(store, migration)
        now = clock.now()
        if state.mode in TRIED:
            plan = Return(now, spec.over, spec.steps, state.weight)
            first = _first(plan, state)
            # with the state, in one transaction: every further step follows from it
            first = replace(first, audited={KEY: plan.document()}, above=rollback.served_here(site))
            state = routing.change(store, migration, first, cause, now=now)
        elif state.mode is not Mode.RETURNING:
            return rollback.start(site, cause, is_baseline_back=True)
        record = rollback.open_record(site, state, cause)
        served, problem = rollback.publish(site, state)
        return RollbackStart(state, record, served, problem)


def _first(plan: Return, state: RoutingState) -> Change:
    left = plan.left_after(1)
    return Change(
        mode=Mode.RETURNING, weight=left.weight,
        segment_weight=left.segment_weight, expected_epoch=state.epoch)


def carry_on(site: Site) -> RoutingState | None:
    """Make the step that is due, if any; called again and again while users return.

    Returns:
        The state after the step; None when no step was due.

    Raises:
        PublishFailed: The gateway did not confirm the present step yet; the next one waits.
        StoreError: The store cannot be used.
    """
    state, now = routing.read(site.store, site.migration), clock.now()
    if state.mode is not Mode.RETURNING:
        return None
    plan = returns.schedule(site.store, state)
    # without a schedule nobody knows the steps: everyone returns at once
    if plan is None:
        return rollback.start(site, _cause(site, state)).state
    change = plan.change_at(state, now)
    if change is None:
        return None
    if change.mode is Mode.EMERGENCY_ROLLBACK:
        return rollback.start(site, _cause(site, state)).state
    # confirmed first: users would skip a step that the gateway never served
    if not site.gateway.serving(state).is_current:
        traffic.publish(site, state)
    step = f"step {plan.step_at(now)} of {plan.steps} back to the baseline"
    return traffic.move(site, change, Author(ACTOR, step))


def told(site: Site, epoch: int) -> str:
    """Return how users returned in the rollback that created an epoch; empty for one at once."""
    store, migration = site.store, site.migration
    began = audit.newest_of(store, migration, "rollback.started")
    if began is None or KEY not in began.data:
        return ""
    # the newest start is of another rollback
    if routing.read(store, migration).epoch != epoch:
        return ""
    # the first step began the rollback: it is not among the events after that
    steps, last = 1, None
    for event in audit.events(store, migration, after_seq=began.seq):
        mode = event.data.get("mode")
        if event.kind != "routing.changed" or mode not in _STEPS:
            continue
        steps, last = steps + 1, event.at
        # everyone is back: what moves users afterwards is another story
        if mode == Mode.EMERGENCY_ROLLBACK:
            break
    if last is None:
        return ""
    return f"users returned in {steps} steps from {began.at:%F %T} to {last:%F %T} UTC"


def _cause(site: Site, state: RoutingState) -> Cause:
    """Return why the rollback began; its record may be missing after a kill."""
    store, migration = site.store, site.migration
    known = rollbacks.of_epoch(store, migration, state.epoch)
    if known is not None:
        return Cause(known.actor, known.reason, known.severity)
    actor, reason = ACTOR, "see the audit"
    began = audit.newest_of(store, migration, "rollback.started")
    if began is not None:
        actor = began.actor
        reason = str(began.data.get("reason", ""))
    return Cause(actor, reason, RollbackSeverity.HIGH)
