"""What a person decides about work that nobody carries on: continue it, or end it where it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from changeover.domain import run_ends
from changeover.domain.audit import Author, NewEvent
from changeover.domain.rollbacks import Rollback, RollbackStatus
from changeover.domain.rollout import CutoverStatus
from changeover.domain.run_ends import CONTINUED, Carrier, Ended, PrefectState, Work, work_of
from changeover.errors import Refused, StaleEpoch
from changeover.observer.carrying import ended_now
from changeover.site.site import Site
from changeover.store import audit, carriers, cutovers, rollbacks, routing
from changeover.store.engine import Store

LEASE = timedelta(minutes=2)
"""How long a new run may take to start before another one may take over its rollback."""
OVER = ("COMPLETED", "FAILED", "CANCELLED", "CANCELLING")
MOST_RUNS = 50
"""Runs that were made for the work and cancelled before they began; more are a fault."""


def find_ended(site: Site, *, now: datetime) -> list[tuple[Carrier, Ended]]:
    """Return the work that can be continued, with what Prefect says now of how its run ended.

    Raises:
        Refused: Everything is carried on, there is nothing, or Prefect's server is another one.
        Unreachable: Prefect did not answer.
    """
    found, going = [], []
    for carrier in carriers.of(site.store, site.migration):
        if work_of(carrier.subject) not in CONTINUED:
            continue
        ended = ended_now(site, site.prefect, carrier, now=now)
        if ended is not None:
            found.append((carrier, ended))
        else:
            going.append(f"{carrier.subject} is carried by flow run {carrier.flow_run_id}")
    if not found:
        why = ", ".join(going) or "there is no cutover, rollback or retirement"
        raise Refused(
            f"nothing was changed because no run has ended before its work was done: {why}",
            next_step="See `changeover status`; cancel a run that should stop in Prefect first")
    return found


def continue_work(site: Site, carrier: Carrier, *, now: datetime) -> str:
    """Start a new run that continues the work where it was, and return its id.

    1. The run is made with a key: called twice, or again after a kill, it is the same run.
    2. From the moment the store names it, the former run may do nothing more, even when it is
       brought back in Prefect. A run that starts before that takes the work by itself.
    3. A former run that waits is cancelled, so that nobody answers it.

    Raises:
        Refused: Prefect would not start it, or somebody was faster.
        Unreachable: Prefect did not answer.
    """
    api = site.prefect
    # asked first: a run that no worker starts would only wait, and people would think it goes on
    if problem := api.pool_problem():
        raise Refused(f"{carrier.subject} was not continued because {problem}")
    run_id = _start(site, carrier)
    try:
        _hand_to(site.store, carrier, run_id, now)
    except Refused:
        # another run carries the work: this one must not begin
        api.cancel(run_id, message=f"another run carries {carrier.subject}")
        raise
    former = api.run(carrier.flow_run_id)
    if former is not None and former.state_type in (PrefectState.PAUSED, PrefectState.SCHEDULED):
        api.cancel(former.id, message=f"flow run {run_id} carries {carrier.subject} on")
    return run_id


def _start(site: Site, carrier: Carrier) -> str:
    """Return a run that has not ended; a new one for each that was cancelled before it began."""
    deployment, api = f"{carrier.flow}/main", site.prefect
    # the same key again is the same run; a new number is a new run
    key = f"continue-{carrier.migration}-{carrier.subject}-{carrier.flow_run_id}"
    parameters = _parameters(site.store, carrier)
    for number in range(MOST_RUNS):
        run_id = api.start(deployment, parameters=parameters, key=f"{key}-{number}")
        if run_id is None:
            break
        run = api.run(run_id)
        if run is not None and run.state_type not in OVER:
            return run_id
    raise Refused(f"{carrier.subject} was not continued because {deployment} is not deployed",
                  next_step="Run `changeover up` again, which deploys it")


def _parameters(store: Store, carrier: Carrier) -> dict[str, Any]:
    if work_of(carrier.subject) is not Work.ROLLBACK:
        return {"migration": carrier.migration}
    number = int(carrier.subject.rpartition(" ")[2])
    return rollback_parameters(next(
        each for each in rollbacks.all_of(store, carrier.migration) if each.id == number))


def rollback_parameters(rollback: Rollback) -> dict[str, Any]:
    """Return the parameters of a `rollback/main` that carries a rollback's further steps."""
    return {"migration": rollback.migration, "reason": rollback.reason,
            "severity": rollback.severity, "scope": rollback.scope, "rollback_id": rollback.id}


def _hand_to(store: Store, carrier: Carrier, run_id: str, now: datetime) -> None:
    """Name the new run as the one that carries the work.

    Raises:
        Refused: Somebody was faster.
    """
    number = int(carrier.subject.rpartition(" ")[2])
    if work_of(carrier.subject) is Work.RETIREMENT:
        carriers.assign(store, Carrier(
            carrier.migration, carrier.subject, carrier.flow, run_id, since=now))
    elif work_of(carrier.subject) is Work.ROLLBACK:
        rollbacks.acquire_lease(store, number, flow_run_id=run_id, lease=LEASE, now=now,
                         after=carrier.flow_run_id)
    # ours already: the run took the cutover by itself before this line
    elif not cutovers.adopt(store, number, carrier, flow_run_id=run_id, now=now) \
            and cutovers.get(store, number).flow_run_id != run_id:
        raise Refused(f"{carrier.subject} was not continued because somebody was faster",
                      next_step="See `changeover status`")


def end_work(
    store: Store, carrier: Carrier, ended: Ended, author: Author, *, now: datetime
) -> str:
    """End work where it is, and return a sentence that says so; users stay where they are.

    Args:
        store: The store.
        carrier: The work.
        ended: How its run ended.
        author: Who decided, and why.
        now: The present moment.
    """
    number = int(carrier.subject.rpartition(" ")[2])
    happened = run_ends.what(ended.end, ended.said)
    outcome = f"{author.actor} ended it where it was: {author.reason} ({happened})"
    if work_of(carrier.subject) is Work.CUTOVER:
        try:
            cutovers.finish(store, number, CutoverStatus.STOPPED, outcome=outcome, now=now)
        except StaleEpoch:
            # after a rollback the cutover did not stop where it was: its users are back
            cutovers.finish(store, number, CutoverStatus.ROLLED_BACK, outcome=outcome, now=now)
    elif work_of(carrier.subject) is Work.ROLLBACK:
        rollbacks.finish(store, number, status=RollbackStatus.NEEDS_PERSON, now=now,
                         analysis={"a_person_must": [outcome]})
    else:
        carriers.drop(store, carrier.migration, carrier.subject, flow_run_id=carrier.flow_run_id)
        audit.record(store, carrier.migration, NewEvent(
            actor=author.actor, kind="retirement.left", at=now, data={"reason": author.reason}))
    where = routing.read(store, carrier.migration).describe()
    return f"{carrier.subject} is ended where it was; users stay at {where}"
