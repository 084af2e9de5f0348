"""Step 1 of the rollback SOP: all traffic to the baseline, at once, from anywhere.

Called by the observer, by flows and by the command line. The steps after it (clean-up, restore,
analysis, verification) are the flow `rollback/main`, which finds this step done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

import httpx

from changeover import clock, levers
from changeover.errors import InvalidInput, PublishFailed, Refused, Unreachable
from changeover.gateway.publish import Gateway
from changeover.plan.model import PhaseKind, Plan
from changeover.routing import Change, Mode, RoutingState
from changeover.store import audit, cutovers, flags, operations, routing, sop
from changeover.store.engine import Store
from changeover.store.records import Publication, Rollback

DISABLED, ENABLED = "baseline disabled", "baseline enabled"


@dataclass(frozen=True, slots=True)
class RollbackStart:
    """What step 1 did. `publication` is None when the gateway could not be told;
    `problem` then says why, and the observer goes on trying."""

    state: RoutingState
    rollback: Rollback
    publication: Publication | None
    problem: str = ""


def start(
    store: Store,
    gateway: Gateway,
    plan: Plan,
    *,
    reason: str,
    severity: str,
    actor: str,
    now: datetime,
    scope: str = "all",
) -> RollbackStart:
    """Move all traffic to the baseline and open the rollback's record; idempotent.

    1. The routing state goes to `emergency_rollback` and the epoch grows: whatever a flow decided
       before can no longer promote. A second call finds this done and changes nothing.
    2. The rollback's row is made, one per epoch, so that exactly one `rollback/main` follows.
    3. The gateway is told and confirms.
    4. The plan's safe flags are set, also when the gateway did not confirm. They stay set when the
       rollback ends; a flag that mirrors the migration goes on mirroring it.

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

    Raises:
        StoreError: The store cannot be used; use the gateway's break-glass then.
        Unreachable: The baseline was out of use and does not come back.
    """
    bring_back_baseline(store, plan, actor=actor)
    state = routing.change(
        store, plan.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
        actor=actor, reason=reason, now=now,
    )
    running = cutovers.active(store, plan.migration)
    rollback = operations.begin_rollback(
        store, plan.migration, epoch=state.epoch, reason=reason, severity=severity, scope=scope,
        actor=actor, cutover_id=running.id if running else None, now=now,
    )
    publication, problem = None, ""
    try:
        publication = gateway.publish(plan, state)
        operations.save_publication(store, publication)
    except PublishFailed as failure:
        problem = str(failure)
    flags.set_values(
        store, plan.migration, plan.rollback.safe_flags, actor=actor,
        reason=f"rollback {rollback.id}", now=now, may_mirror=True,
        environment=plan.environment or flags.BASE)
    return RollbackStart(state, rollback, publication, problem)


def is_baseline_disabled(store: Store, plan: Plan) -> bool:
    """Whether a cutover took the baseline out of use and nothing has brought it back."""
    newest = cutovers.latest(store, plan.migration)
    if newest is None or plan.cutover.disable_baseline is None:
        return False
    subject = f"cutover-{newest.id}"
    if sop.one(store, plan.migration, subject, DISABLED) is None:
        return False
    back = sop.one(store, plan.migration, subject, ENABLED)
    return back is None or back.status != sop.DONE


def bring_back_baseline(store: Store, plan: Plan, *, actor: str) -> None:
    """Pull the levers that undo the baseline's disabling and wait until it is well.

    Does nothing when it is in use. Repeated after a kill, it pulls the levers again.

    Raises:
        Unreachable: It is not well in the plan's time; nobody was moved to it.
    """
    spec = plan.cutover.disable_baseline
    if spec is None or not is_baseline_disabled(store, plan):
        return
    began = clock.now()
    newest = cutovers.latest(store, plan.migration)
    problems = levers.pull_all(store, plan, spec.undo, actor=actor)
    if newest is None or not _gets_well(plan, spec.undo_within.total_seconds()):
        raise Unreachable(
            f"{plan.systems.baseline.name} was taken out of use and does not come back"
            + (f"; {'; '.join(problems)}" if problems else ""),
            where=plan.systems.baseline.url,
            next_step="Start it by hand; `changeover rollback --break-glass` sends users to it "
            "whatever its health")
    sop.save(store, sop.SopStep(
        plan.migration, f"cutover-{newest.id}", ENABLED, sop.DONE,
        f"levers: {', '.join(spec.undo)}; the baseline is well", began, clock.now()))


def _gets_well(plan: Plan, seconds: float) -> bool:
    spec = plan.systems.baseline
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = httpx.get(spec.url.rstrip("/") + spec.health, trust_env=False,
                               timeout=spec.health_timeout.total_seconds())
            if answer.is_success:
                return True
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


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
    operations.save_publication(store, gateway.publish(plan, state))
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
