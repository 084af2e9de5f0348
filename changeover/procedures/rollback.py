"""Step 1 of the rollback SOP: all traffic to the baseline, at once, from anywhere.

Called by the observer, by flows and by the command line. The steps after it (clean-up, restore,
analysis, verification) are the flow `rollback/main`, which finds this step done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Rollback
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.errors import InvalidInput, PublishFailed, Refused
from changeover.gateway.publish import Gateway
from changeover.plan.model import PhaseKind, Plan
from changeover.procedures import baseline
from changeover.store import audit, cutovers, flags, publications, rollbacks, routing
from changeover.store.engine import Store
from changeover.store.write_queue import first_in_line


@dataclass(frozen=True, slots=True)
class RollbackStart:
    """What step 1 did. `publication` is None when the gateway could not be told;
    `problem` then says why, and the observer goes on trying."""

    state: RoutingState
    rollback: Rollback
    publication: Publication | None
    problem: str = ""


def start(
    store: Store, gateway: Gateway, plan: Plan, *, reason: str, severity: str, actor: str,
    now: datetime, scope: str = "all", flow_run_id: str | None = None,
    is_baseline_back: bool = False,
) -> RollbackStart:
    """Move all traffic to the baseline and open the rollback's record; idempotent.

    1. The routing state goes to `emergency_rollback` and the epoch grows: whatever a flow decided
       before can no longer promote. A second call finds this done and changes nothing.
    2. The rollback's row is made, one per epoch, so that exactly one `rollback/main` follows.
    3. The gateway is told and confirms.
    4. The plan's safe flags are set and stay; those that mirror the migration go on doing so.

    A kill between the steps is mended by calling again: the observer republishes what the gateway
    does not serve, and opens the row that is missing.

    A baseline that was taken out of use is brought back first: users must not be sent to nobody.

    Args:
        store: The store.
        gateway: Where to publish.
        plan: The migration's plan.
        reason: What happened, one sentence with numbers.
        severity: `critical`, `high` or `medium`.
        actor: Who or what decided: `observer`, `flow`, a person's name.
        now: The present moment.
        scope: `all`.
        flow_run_id: The `rollback/main` that calls this and carries the further steps itself.
        is_baseline_back: The caller has brought a baseline that was out of use back.

    Raises:
        StoreBusy: It takes too long; move users at the gateway first then.
        StoreError: The store cannot be used; use the gateway's break-glass then.
        Unreachable: The baseline was out of use and does not come back.
        Refused: The baseline was retired: there is nobody to send users to.
    """
    baseline.refuse_when_retired(store, plan)
    if not is_baseline_back:
        baseline.bring_back(store, plan, actor=actor)
    with first_in_line():
        state = routing.change(
            store, plan.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
            actor=actor, reason=reason, now=now,
        )
        running = cutovers.active(store, plan.migration)
        rollback = rollbacks.begin(
            store, plan.migration, epoch=state.epoch, reason=reason, severity=severity,
            scope=scope, actor=actor, cutover_id=running.id if running else None, now=now,
            flow_run_id=flow_run_id,
        )
    publication, problem = _publish(store, gateway, plan, state)
    flags.set_values(
        store, plan.migration, plan.rollback.safe_flags, actor=actor,
        reason=f"rollback {rollback.id}", now=now, may_mirror=True,
        environment=plan.environment or flags.BASE)
    return RollbackStart(state, rollback, publication, problem)


def _publish(
    store: Store, gateway: Gateway, plan: Plan, state: RoutingState
) -> tuple[Publication | None, str]:
    """Tell the gateway; return what it serves, and why nobody knows when it did not confirm."""
    publication, problem = None, ""
    try:
        publication = gateway.publish(plan, state)
        publications.save(store, publication)
    except PublishFailed as failure:
        problem = str(failure)
    return publication, problem


@dataclass(frozen=True, slots=True)
class Reduced:
    """What is left to the candidate after a part of the users went back."""

    weight: int
    segments: tuple[str, ...]
    epoch: int


def reduce(
    store: Store, gateway: Gateway, plan: Plan, target: Reduced, *, scope: str, reason: str,
    actor: str, now: datetime, occasion: str,
) -> RoutingState:
    """Move the users back that `smaller` found; repeating it changes nothing more.

    A running cutover stays in its stage, soaks it anew with fewer users, and then asks people:
    their promotion gives the stage its share again.

    Args:
        store: The store.
        gateway: Where to publish.
        plan: The migration's plan.
        target: What is left, from `smaller`.
        scope: `segment:NAME` or `stage`.
        reason: What happened.
        actor: Who or what decided.
        now: The present moment.
        occasion: Names this rollback; it is told once in the audit.

    Raises:
        StaleEpoch: Everyone was rolled back in between.
        PublishFailed: The gateway did not confirm.
    """
    state = routing.read(store, plan.migration)
    if Reduced(state.weight, state.segments, state.epoch) != target:
        change = Change(mode=Mode.GRADUAL, weight=target.weight, segments=target.segments,
                        expected_epoch=target.epoch)
        state = routing.change(store, plan.migration, change, actor=actor, now=now,
                               reason=f"rollback of {scope}: {reason}")
    audit.record_once(
        store, plan.migration, key=occasion, actor=actor, kind="rollback.partial", now=now,
        data={"scope": scope, "reason": reason, "state": state.describe()})
    publications.save(store, gateway.publish(plan, state))
    running = cutovers.active(store, plan.migration)
    for record in cutovers.stages(store, running.id) if running else ():
        if record.decided_at is None:
            cutovers.extend_soak(store, record.cutover_id, record.key, rechecks=record.rechecks + 1,
                                 until=now + plan.stage(record.key).soak)
    return state


def smaller(plan: Plan, state: RoutingState, scope: str) -> Reduced:
    """Return what is left after a part of the users went back: one segment, or the last stage.

    Args:
        plan: The migration's plan.
        state: The present routing state.
        scope: `segment:NAME`, or `stage` for one stage back.

    Raises:
        InvalidInput: `scope` is not understood.
        Refused: There is nothing smaller to go back to; roll back all then.
    """
    kind, _, name = scope.partition(":")
    if kind == "segment" and name in plan.routing.segments:
        if state.mode is not Mode.GRADUAL:
            raise Refused(f"not done because the routing state is {state.describe()}, which knows "
                          "no segments", next_step="Use scope `stage` or `all`")
        left = tuple(segment for segment in state.segments if segment != name)
        return Reduced(state.weight, left, state.epoch)
    if scope != "stage":
        known = ", ".join(f"segment:{segment}" for segment in plan.routing.segments)
        raise InvalidInput(f"scope {scope!r} is unknown", allowed=f"all, stage, {known}")
    lower = [stage for stage in plan.stages() if stage.weight < state.weight
             and stage.phase in (PhaseKind.BETA, PhaseKind.GRADUAL)]
    if not lower:
        raise Refused("not done because no stage has fewer users", next_step="Use scope `all`")
    return Reduced(lower[-1].weight, lower[-1].segments, state.epoch)
