"""Step 1 of the rollback SOP: all traffic to the baseline, at once, from anywhere.

Called by the observer, by flows and by the command line. The steps after it (clean-up, restore,
analysis, verification) are the flow `rollback/main`, which finds this step done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from changeover.errors import PublishFailed
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.routing import Change, Mode, RoutingState
from changeover.store import cutovers, operations, routing
from changeover.store.engine import Store
from changeover.store.records import Publication, Rollback


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

    A kill between the steps is mended by calling again: the observer republishes what the gateway
    does not serve, and opens the row that is missing.

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
    """
    state = routing.change(
        store, plan.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
        actor=actor, reason=reason, now=now,
    )
    running = cutovers.active(store, plan.migration)
    rollback = operations.begin_rollback(
        store, plan.migration, epoch=state.epoch, reason=reason, severity=severity, scope=scope,
        actor=actor, cutover_id=running.id if running else None, now=now,
    )
    try:
        publication = gateway.publish(plan, state)
    except PublishFailed as failure:
        return RollbackStart(state, rollback, None, str(failure))
    operations.save_publication(store, publication)
    return RollbackStart(state, rollback, publication)
