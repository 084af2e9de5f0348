"""Whether flow runs still carry what is not done: Prefect is asked, the store keeps the answer.

Used by the observer on every sweep, and by commands and flows that must know at this moment.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from changeover.domain import run_ends
from changeover.domain.rollout import CutoverStatus
from changeover.domain.run_ends import Carrier, End, Ended, PrefectState, Sight, Work, work_of
from changeover.domain.suites import SuiteVerdict
from changeover.site.prefect_api import FlowRun, PrefectApi
from changeover.store import approvals, carriers, cutovers, routing, validations
from changeover.store.engine import Store

WATCHED_SCHEDULES = ("health-check",)
"""Flows that must run by themselves: nothing else notices when they do not."""


@dataclass
class CarrierWatch:
    """Keeps in the store which runs ended without doing their work.

    Call `look` every second or two, `look_at_schedules` every minute.

    Args:
        store: The store.
        api: Prefect's API.
        migration: Name of the migration.
        began: When the watch began: what is overdue then may yet be started.
        missing: Since when runs are unknown to Prefect, by their ids.
    """

    store: Store
    api: PrefectApi
    migration: str
    began: datetime | None = None
    missing: dict[str, datetime] = field(default_factory=dict)

    def look(self, now: datetime, given_up: Collection[str]) -> list[str]:
        """Note what ended, and what goes on after all; return one sentence for each.

        Args:
            now: The present moment.
            given_up: Runs that are not tried again.

        Raises:
            Unreachable: Prefect did not answer.
            StoreError: The store cannot be used.
        """
        self.began = self.began or now
        done = []
        for carrier in carriers.of(self.store, self.migration):
            if work_of(carrier.subject) is Work.SCHEDULE:
                continue
            if _is_history(self.store, carrier):
                carriers.drop(self.store, self.migration, carrier.subject,
                              flow_run_id=carrier.flow_run_id)
                continue
            ended = self._ended(carrier, now, given_up)
            if ended is not None and ended.end is not carrier.end:
                done += self._note(carrier, ended, now)
            elif ended is None and carrier.end is not None \
                    and carriers.note_back(self.store, carrier, now=now):
                done.append(f"{carrier.subject} is carried on again")
        return done

    def look_at_schedules(self, now: datetime) -> list[str]:
        """Note schedules that were paused or deleted, and those that are back."""
        done = []
        for flow in WATCHED_SCHEDULES:
            subject, problem = f"{Work.SCHEDULE} {flow}", self.api.schedule_problem(f"{flow}/main")
            known = carriers.one(self.store, self.migration, subject)
            if problem and known is None:
                carriers.assign(self.store, Carrier(
                    self.migration, subject, flow, flow_run_id="", since=now))
                known = carriers.one(self.store, self.migration, subject)
            if known is not None and problem and known.end is None:
                done += self._note(known, Ended(End.NOT_STARTED, now, problem), now)
            elif known is not None and not problem:
                carriers.note_back(self.store, known, now=now)
                carriers.drop(self.store, self.migration, subject, flow_run_id="")
                done.append(f"{subject} is on again")
        return done

    def _ended(
        self, carrier: Carrier, now: datetime, given_up: Collection[str]
    ) -> Ended | None:
        run = self.api.run(carrier.flow_run_id)
        if run is None:
            known = carrier.since if carrier.end is End.UNKNOWN else now
            self.missing.setdefault(carrier.flow_run_id, known)
        else:
            self.missing.pop(carrier.flow_run_id, None)
        return how_ended(
            self.store, self.api, carrier, run, now=now,
            is_given_up=carrier.flow_run_id in given_up,
            seen_since=self.missing.get(carrier.flow_run_id, self.began or now))

    def _note(self, carrier: Carrier, ended: Ended, now: datetime) -> list[str]:
        if work_of(carrier.subject) is Work.SUITE:
            validations.finish(self.store, int(carrier.subject.rpartition(" ")[2]),
                               verdict=SuiteVerdict.ERROR, actor="observer", now=now)
        where = routing.read(self.store, self.migration).describe()
        text = run_ends.sentence(carrier.subject, ended, where)
        is_new = carriers.note_end(self.store, carrier, ended, text=text, now=now)
        return [f"nobody carries on {carrier.subject}: {run_ends.what(ended.end, ended.said)}"] \
            if is_new else []


def ended_now(store: Store, api: PrefectApi, carrier: Carrier, *, now: datetime) -> Ended | None:
    """Return how a run ended, by what Prefect says at this moment; None while it goes on.

    An end that the observer noted stands while Prefect says nothing better: it watched for longer.

    Raises:
        Unreachable: Prefect did not answer.
    """
    run = api.run(carrier.flow_run_id)
    if run is None:
        return Ended(End.UNKNOWN, carrier.since if carrier.end is End.UNKNOWN else now, "")
    return how_ended(store, api, carrier, run, now=now, seen_since=now, is_given_up=False)


def how_ended(
    store: Store, api: PrefectApi, carrier: Carrier, run: FlowRun | None, *, now: datetime,
    seen_since: datetime, is_given_up: bool,
) -> Ended | None:
    """Return how the run of a piece of work ended; None while it goes on.

    Args:
        store: The store: whether people are asked.
        api: Prefect's API: whether the run's deployment is there.
        carrier: The work.
        run: What Prefect says of its run, None when it knows none.
        now: The present moment.
        seen_since: Since when we look: what is overdue by then may yet be started.
        is_given_up: The run is not tried again.
    """
    if run is None:
        end = run_ends.judge(Sight("", seen_since), now)
        return Ended(end, seen_since, "") if end else None
    needs_deployment = run.state_type in run_ends.NEEDS_DEPLOYMENT
    due = max(run.scheduled_for or run.state_at, seen_since)
    end = run_ends.judge(Sight(
        run.state_type, run.state_at, due=due,
        is_deployed=not needs_deployment or run.deployment_id is None
        or api.has_deployment(run.deployment_id),
        is_asked=run.state_type == PrefectState.PAUSED
        and approvals.waits_for(store, carrier.migration, run.id),
        is_tried_again=not (is_given_up or carrier.end is End.FAILED)
        and is_tried_again(carrier, run),
    ), now)
    if end is None and carrier.end is End.NOT_STARTED and run.state_type == PrefectState.SCHEDULED \
            and run.scheduled_for is not None and run.scheduled_for <= carrier.since:
        end = End.NOT_STARTED  # noted by somebody who has looked for longer
    if end is None:
        return None
    said = api.pool_problem(now) if end is End.NOT_STARTED else run.said
    return Ended(end, due if end is End.NOT_STARTED else run.state_at, said.strip().rstrip("."))


def is_tried_again(carrier: Carrier, run: FlowRun) -> bool:
    """Whether the observer brings a run back: all that crashed; of failed ones those that could
    not say how their work ended."""
    if run.state_type != PrefectState.FAILED:
        return work_of(carrier.subject) is not Work.SUITE
    return work_of(carrier.subject) in (Work.CUTOVER, Work.ROLLBACK)


def _is_history(store: Store, carrier: Carrier) -> bool:
    """Whether nothing is left to be done: a suite whose end was told, an earlier retirement."""
    if work_of(carrier.subject) is Work.SUITE:
        return carrier.end is not None
    if work_of(carrier.subject) is not Work.RETIREMENT:
        return False
    newest = cutovers.latest(store, carrier.migration)
    return newest is None or carrier.subject != f"{Work.RETIREMENT} {newest.id}" \
        or newest.status is not CutoverStatus.PROMOTED
