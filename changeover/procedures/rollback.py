"""Step 1 of the rollback SOP: all traffic to the baseline, at once, from anywhere.

Called by the observer, by flows and by the command line. The steps after it (clean-up, restore,
analysis, verification) are the flow `rollback/main`, which finds this step done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from changeover import clock, telemetry
from changeover.domain.audit import Author, NewEvent
from changeover.domain.going_back import Reduced
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Cause, Rollback
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.errors import PublishFailed
from changeover.flags.state import NewValues
from changeover.gateway.envoy.streams import group_of_scope
from changeover.gateway.long_connections import open_now
from changeover.procedures import baseline, traces, traffic
from changeover.site.site import Site
from changeover.store import audit, cutovers, flags, rollbacks, routing
from changeover.store.write_queue import first_in_line

NOTHING_SERVED = (-1, -1)


@dataclass(frozen=True, slots=True)
class RollbackStart:
    """What step 1 did. `publication` is None when the gateway confirmed nothing; `problem` then
    says why, and the observer goes on trying."""

    state: RoutingState
    rollback: Rollback
    publication: Publication | None
    problem: str = ""


def start(
    site: Site, cause: Cause, *, flow_run_id: str | None = None, is_baseline_back: bool = False
) -> RollbackStart:
    """Move all traffic to the baseline and open the rollback's record; idempotent.

    A baseline that was taken out of use is brought back first: it must answer before users come.

    Args:
        site: The migration.
        cause: Who decided, what happened, and how severe it is.
        flow_run_id: The `rollback/main` that calls this and carries the further steps itself.
        is_baseline_back: The caller has brought a baseline that was out of use back.

    Raises:
        StoreBusy: It takes too long; move users at the gateway first then.
        StoreError: The store cannot be used; use the gateway's break-glass then.
        Unreachable: The baseline was out of use and does not come back.
        Refused: The baseline was retired: no system is left that could answer users. Or the home's
            gateway is another migration's.
    """
    site.refuse_elsewhere("not rolled back")
    baseline.refuse_when_retired(site)
    if not is_baseline_back:
        baseline.bring_back(site, actor=cause.actor)
    return _begin(site, cause, flow_run_id)


def _begin(site: Site, cause: Cause, flow_run_id: str | None) -> RollbackStart:
    """Roll back to a baseline that is in use.

    1. The routing state goes to `emergency_rollback` and the epoch grows: whatever a flow decided
       before can no longer promote. It is later than what any gateway serves, also after the store
       was restored to an earlier state. A second call finds this done and changes nothing.
    2. The rollback's row is made, one per epoch, so that exactly one `rollback/main` follows.
    3. The gateway gets the routes and confirms them.
    4. The plan's safe flags are set and stay; those that mirror the migration go on doing so.

    A kill between the steps is mended by calling again: the observer republishes what the gateway
    does not serve, and opens the row that is missing.
    """
    store, plan, begun = site.store, site.plan, clock.now()
    # before all writers that wait: users are at the candidate until this is done
    with first_in_line():
        to_baseline = Change(mode=Mode.EMERGENCY_ROLLBACK, above=served_here(site))
        state = routing.change(store, site.migration, to_baseline, cause, now=clock.now())
        rollback = open_record(site, state, cause, flow_run_id=flow_run_id)
        # from the decision, which was before the record that names the trace
        with telemetry.span(
            "move everyone to the baseline", traces.of_rollback(site, state.epoch), begun=begun
        ):
            publication, problem = publish(site, state)
    # last: traffic must not wait for flags
    safe = NewValues(plan.rollback.safe_flags, site.environment, may_mirror=True)
    author = Author(cause.actor, f"rollback {rollback.id}")
    flags.set_values(store, site.migration, safe, author, now=clock.now())
    return RollbackStart(state, rollback, publication, problem)


def served_here(site: Site) -> tuple[int, int] | None:
    """Return what a rollback must be later than, beside what gateways elsewhere serve.

    None when glass was broken here: that has rules of its own.
    """
    if site.gateway.files.journal.exists():
        return None
    return site.gateway.on_disk() or NOTHING_SERVED


def open_record(
    site: Site, state: RoutingState, cause: Cause, *, flow_run_id: str | None = None
) -> Rollback:
    """Open the record of the rollback that led to a state, unless it is there already.

    Args:
        site: The migration.
        state: The routing state after the rollback.
        cause: Who decided, what happened, and how severe it is.
        flow_run_id: The `rollback/main` that carries the further steps; None: one is started.
    """
    running = cutovers.active(site.store, site.migration)
    cutover_id = running.id if running else None
    record = Rollback(
        migration=site.migration, epoch=state.epoch, reason=cause.reason,
        severity=cause.severity, scope="all", actor=cause.actor,
        started_at=clock.now(), cutover_id=cutover_id, flow_run_id=flow_run_id)
    found = rollbacks.begin(site.store, record)
    if found.started_at == record.started_at:
        traces.began_rollback(site, state, cause.reason)
    return found


def publish(site: Site, state: RoutingState) -> tuple[Publication | None, str]:
    """Publish the routes; return what the gateway serves, or why it did not confirm."""
    try:
        return traffic.publish(site, state), ""
    # the state stands, and the observer goes on publishing it
    except PublishFailed as failure:
        return None, str(failure)


def reduce(
    site: Site, target: Reduced, *, scope: str, cause: Cause, occasion: str,
    soaks_anew: bool = True,
) -> RoutingState:
    """Move the users back that `smaller` found; repeating it changes nothing more.

    A running cutover stays in its stage, soaks it anew, and asks people: promoting gives its share.

    Args:
        site: The migration.
        target: What is left, from `smaller`.
        scope: `segment:NAME`, `route:NAME` or `stage`.
        cause: Who decided, and what happened.
        occasion: Names this rollback; it is audited once.
        soaks_anew: False for a caller who moves several parts, and then calls `soak_anew`.

    Raises:
        StaleEpoch: Everyone was rolled back in between.
        PublishFailed: The gateway did not confirm.
    """
    site.refuse_elsewhere("not rolled back")
    store, now = site.store, clock.now()
    state = routing.read(store, site.migration)
    # after a kill the state may be there already
    if not target.is_of(state):
        author = Author(cause.actor, f"rollback of {scope}: {cause.reason}")
        state = routing.change(store, site.migration, target.change, author, now=now)
    # those that are about to end
    facts = {"scope": scope, "reason": cause.reason, "state": state.describe(),
             "long_connections": open_now(site.gateway, group_of_scope(scope))}
    audit.record(store, site.migration, NewEvent(
        actor=cause.actor, kind="rollback.partial", at=now, data=facts, once_key=occasion))
    try:
        # the observer waits 3 s for all of this, and then takes everyone back
        traffic.publish(site, state, is_urgent=True)
    finally:  # also when a gateway lags: the state stands
        if soaks_anew:
            soak_anew(site, now)
    return state


def soak_anew(site: Site, now: datetime) -> None:
    """Soak the undecided stages anew: the gate must see those users who are left."""
    store = site.store
    running = cutovers.active(store, site.migration)
    if running is None:
        return
    for record in cutovers.stages(store, running.id):
        if record.decided_at is not None:
            continue
        until = now + site.plan.stage(record.key).soak
        # as another evaluation: the stored verdict was of those who have left, too
        cutovers.extend_soak(
            store, running.id, record.key,
            rechecks=record.rechecks + 1, until=until)
