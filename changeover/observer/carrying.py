"""Whether flow runs still carry unfinished work: asks Prefect, and saves the answer.

Used by the observer on every sweep, and by commands and flows that must know at this moment.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from changeover import clock
from changeover.domain import run_ends
from changeover.domain.rollout import CutoverStatus
from changeover.domain.run_ends import Carrier, End, Ended, PrefectState, Sight, Work, work_of
from changeover.domain.suites import SuiteVerdict
from changeover.errors import Refused, Unreachable
from changeover.site.elsewhere import API_VARIABLE
from changeover.site.prefect_api import PrefectApi
from changeover.site.prefect_rows import FlowRun
from changeover.site.site import Site
from changeover.store import approvals, carriers, cutovers, routing, validations
from changeover.store.engine import Store

WATCHED_SCHEDULES = ("health-check",)
"""Flows that must run by themselves: nothing else notices when they do not."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the run of a piece of work.

    Args:
        carrier: The work.
        run: What Prefect says of its run; None when it knows no such run.
        since: When we began to watch it: what was overdue by then may still be started.
        is_given_up: The observer does not try the run again.
    """

    carrier: Carrier
    run: FlowRun | None
    since: datetime
    is_given_up: bool = False


@dataclass
class CarrierWatch:
    """Records in the store which runs ended without doing their work.

    Call `poll` every second or two, `poll_schedules` every minute.

    Args:
        site: The migration.
        api: Prefect's API.
        began: When the watch began: what is overdue then may still be started.
        missing: Since when runs are unknown to Prefect, by their ids.
    """

    site: Site
    api: PrefectApi
    began: datetime | None = None
    missing: dict[str, datetime] = field(default_factory=dict)

    def poll(self, now: datetime, given_up: Collection[str]) -> list[str]:
        """Record what ended, and what goes on after all; return one sentence for each.

        Args:
            now: The present moment.
            given_up: Runs that are not tried again.

        Raises:
            Unreachable: Prefect did not answer.
            StoreError: The store cannot be used.
        """
        self.began = self.began or now
        store, done = self.site.store, []
        for carrier in carriers.of(store, self.site.migration):
            # nothing carries a schedule: a flow run ends, the schedule stays
            if work_of(carrier.subject) is Work.SCHEDULE:
                continue  # see `poll_schedules`
            if _is_history(store, carrier):
                carriers.drop(store, carrier.migration, carrier.subject,
                              flow_run_id=carrier.flow_run_id)
                continue
            ended = self._ended(carrier, now, given_up)
            # an end that is recorded already is no news, another end is
            if ended is not None and ended.end is not carrier.end:
                done += self._record(carrier, ended, now)
            elif ended is None and carrier.end is not None \
                    and carriers.note_back(store, carrier, now=now):
                done.append(f"{carrier.subject} is carried on again")
        return done

    def poll_schedules(self, now: datetime) -> list[str]:
        """Record schedules that were paused or deleted, and those that are on again."""
        store, migration, done = self.site.store, self.site.migration, []
        # not recorded before it is missing: a row for each schedule would say nothing
        for flow in WATCHED_SCHEDULES:
            subject, problem = f"{Work.SCHEDULE} {flow}", self.api.schedule_problem(f"{flow}/main")
            known = carriers.one(store, migration, subject)
            if problem and known is None:
                carriers.assign(store, Carrier(migration, subject, flow, "", since=now))
                known = carriers.one(store, migration, subject)
            if known is not None and problem and known.end is None:
                done += self._record(known, Ended(End.NOT_STARTED, now, problem), now)
            elif known is not None and not problem:
                carriers.note_back(store, known, now=now)
                carriers.drop(store, migration, subject, flow_run_id="")
                done.append(f"{subject} is on again")
        return done

    def _ended(
        self, carrier: Carrier, now: datetime, given_up: Collection[str]
    ) -> Ended | None:
        run = self.api.run(carrier.flow_run_id)
        if run is None:
            # known as missing before a restart of the observer: since then, not since now
            known = carrier.since if carrier.end is End.UNKNOWN else now
            self.missing.setdefault(carrier.flow_run_id, known)
        else:
            self.missing.pop(carrier.flow_run_id, None)
        since = self.missing.get(carrier.flow_run_id, self.began or now)
        is_given_up = carrier.flow_run_id in given_up
        return _how_ended(self.site.store, self.api, Seen(carrier, run, since, is_given_up), now)

    def _record(self, carrier: Carrier, ended: Ended, now: datetime) -> list[str]:
        store = self.site.store
        if work_of(carrier.subject) is Work.SUITE:
            validations.finish(store, int(carrier.subject.rpartition(" ")[2]),
                               verdict=SuiteVerdict.ERROR, actor="observer", now=now)
        where = routing.read(store, carrier.migration).describe()
        text = run_ends.sentence(carrier.subject, ended, where)
        is_new = carriers.note_end(store, carrier, ended, text=text, now=now)
        if not is_new:
            return []
        return [f"nobody carries on {carrier.subject}: {run_ends.what(ended.end, ended.said)}"]


def ended_now(site: Site, api: PrefectApi, carrier: Carrier, *, now: datetime) -> Ended | None:
    """Return how a run ended, by what Prefect says at this moment; None while it goes on.

    Where Prefect does not know the run, the end that the observer recorded counts: it has watched
    for longer.

    Raises:
        Unreachable: Prefect did not answer.
        Refused: On another machine, this Prefect server need not be the one of the run.
    """
    run = api.run(carrier.flow_run_id)
    if run is None:
        if site.is_elsewhere and not api.is_own(f"{carrier.flow}/main"):
            raise _another_server(api, carrier)
        since = carrier.since if carrier.end is End.UNKNOWN else now
        return Ended(End.UNKNOWN, since)
    return _how_ended(site.store, api, Seen(carrier, run, since=now), now)


def _another_server(api: PrefectApi, carrier: Carrier) -> Refused:
    return Refused(
        f"nothing was changed because this Prefect server knows neither flow run "
        f"{carrier.flow_run_id} of {carrier.subject} nor flows of this database: the run may go on "
        "at another server", where=api.url,
        next_step=f"Set ${API_VARIABLE} to the server of the migration's flows; when it has lost "
        "them, deploy them first with `changeover deploy` (or `changeover up`)")


def _how_ended(store: Store, api: PrefectApi, seen: Seen, now: datetime) -> Ended | None:
    """Return how the run of a piece of work ended; None while it goes on.

    Args:
        store: The store: whether people are asked.
        api: Prefect's API: whether the run's deployment is there.
        seen: What is known of the run.
        now: The present moment.
    """
    carrier, run = seen.carrier, seen.run
    if run is None:
        end = run_ends.judge(Sight(PrefectState.NONE, seen.since), now)
        return Ended(end, seen.since) if end else None
    # overdue from the later moment on: a watch that only just began has not waited yet
    due = max(run.scheduled_for or run.state_at, seen.since)
    is_over = seen.is_given_up or carrier.end is End.FAILED
    end = run_ends.judge(Sight(
        run.state_type, run.state_at, due=due,
        is_deployed=_is_deployed(api, run),
        # asked in this order: mostly the run is not paused, and the store is not asked
        is_asked=run.state_type == PrefectState.PAUSED
        and approvals.waits_for(store, carrier.migration, run.id),
        is_tried_again=not is_over and _is_tried_again(carrier, run),
    ), now)
    if end is None and _was_not_started(carrier, run):
        end = End.NOT_STARTED
    if end is None:
        return None
    if end is End.NOT_STARTED:
        return Ended(end, due, _plain(api.pool_problem(now)))
    return Ended(end, run.state_at, _plain(run.said))


def _is_deployed(api: PrefectApi, run: FlowRun) -> bool:
    """Whether a worker can still start the run, where that is needed for it to go on."""
    # a run that is running needs its deployment no more
    if run.state_type not in run_ends.NEEDS_DEPLOYMENT or run.deployment_id is None:
        return True
    return api.has_deployment(run.deployment_id)


def _was_not_started(carrier: Carrier, run: FlowRun) -> bool:
    """Whether somebody who has watched for longer recorded that no worker starts this run."""
    if carrier.end is not End.NOT_STARTED or run.state_type != PrefectState.SCHEDULED:
        return False
    return run.scheduled_for is not None and run.scheduled_for <= carrier.since


def _plain(said: str) -> str:
    return said.strip().rstrip(".")


def _is_tried_again(carrier: Carrier, run: FlowRun) -> bool:
    """Whether the observer brings a run back: all that crashed; of failed ones those that could
    not say how their work ended."""
    if run.state_type != PrefectState.FAILED:
        return work_of(carrier.subject) is not Work.SUITE
    return work_of(carrier.subject) in (Work.CUTOVER, Work.ROLLBACK)


def _is_history(store: Store, carrier: Carrier) -> bool:
    """Whether nothing is left to do: a suite whose end was recorded, an earlier retirement."""
    if work_of(carrier.subject) is Work.SUITE:
        return carrier.end is not None
    if work_of(carrier.subject) is not Work.RETIREMENT:
        return False
    newest = cutovers.latest(store, carrier.migration)
    return newest is None or carrier.subject != f"{Work.RETIREMENT} {newest.id}" \
        or newest.status is not CutoverStatus.PROMOTED


def describe_end(site: Site, carrier: Carrier | None) -> str:
    """Return how a run ended before its work was done, and what to do; empty while it goes on.

    Prefect is asked; when it does not answer, or is another server, what the observer noted last
    counts.
    """
    if carrier is None:
        return ""
    ended = carrier.ended
    try:
        ended = ended_now(site, site.prefect, carrier, now=clock.now())
    except (Unreachable, Refused):
        # the observer has seen nothing either: as far as is known, it goes on
        if ended is None:
            return ""
    if ended is None:
        return ""
    where = routing.read(site.store, carrier.migration).describe()
    return run_ends.sentence(carrier.subject, ended, where)
