"""Bringing flow runs back whose process vanished, and starting what must follow a rollback.

Prefect marks a run whose process was killed as Crashed and leaves it. A stopped worker leaves its
runs Running for ever. Both are found here:

1. Crashed (or Failed on trouble) for some seconds: scheduled again. Not at once, since the worker
   writes Crashed a second time about 1.5 s later and would overwrite it.
2. Running or Pending, but the process that gave a sign of life is gone: scheduled again.
3. Asleep or suspended although a rollback came first: woken, so that it ends as rolled back.
4. A rollback without `rollback/main`: that run is created, with one key per epoch.

What ended otherwise (cancelled, deleted, given up) is for a person to decide: it is recorded and
people are notified, see `observer.carrying`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from changeover.domain.messages import Message, Severity
from changeover.domain.rollbacks import Rollback
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Mode
from changeover.domain.run_ends import End, PrefectState, Work
from changeover.errors import Unreachable
from changeover.observer.carrying import CarrierWatch
from changeover.observer.continuing import rollback_parameters
from changeover.observer.flow_signs import FlowSigns
from changeover.procedures import steering
from changeover.site.prefect_api import PrefectApi
from changeover.site.prefect_rows import FlowRun
from changeover.site.site import Site
from changeover.store import (
    carriers,
    cutovers,
    heartbeats,
    known_runs,
    messages,
    rollbacks,
    routing,
)

LOG = logging.getLogger("changeover.recovery")

DURABLE_FLOWS = (
    "cutover", "shadow", "beta", "gradual", "full", "deprecation", "rollback", "daily-summary")
"""Flows whose runs are repeated when their process vanished; what is done is not done again."""
CRASH_SETTLES = timedelta(seconds=5)
"""Younger states may still change by themselves: see 1. above."""
SIGN_OF_LIFE_WITHIN = timedelta(seconds=60)
"""A flow's process takes seconds to start, on a busy machine most of a minute."""
MOST_ATTEMPTS = 100
MOST_ATTEMPTS_FAILED = 5
"""A failed run said what is wrong: the same fault mostly comes back."""


@dataclass
class Recovery:
    """Brings back one migration's flow runs; call `sweep` every second or two.

    Args:
        site: The migration.
        api: Prefect's API.
        attempts: How often each run was scheduled again.
        said: What the last sweep did; the same again is not logged.
        given_up: Runs that are not tried again.
    """

    site: Site
    api: PrefectApi
    attempts: dict[str, int] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Watch the runs that carry what is not done."""
        self.carrier_watch, self.signs = CarrierWatch(self.site, self.api), FlowSigns()
        self.store, self.migration = self.site.store, self.site.migration

    def has_work(self) -> bool:
        """Whether a run carries something, or a rollback waits for its run; only reads the store.

        Raises:
            StoreError: The store cannot be used.
        """
        return bool(carriers.of(self.store, self.migration)
                    or rollbacks.not_handed_over(self.store, self.migration))

    def sweep(self, now: datetime) -> list[str]:
        """Do what is due and return one sentence for each thing done or impossible.

        A rollback that cannot be handed over does not keep runs from being recovered.

        Raises:
            Unreachable: Prefect did not answer a part; the other parts are done.
            StoreError: The store cannot be used.
        """
        done: list[str] = []
        failed: Unreachable | None = None
        # rollbacks first: whatever else waits, their further steps must not
        parts = (self._hand_over_all, self._wake_stale, self._wake_instructed, self._recover_all,
                 self._note_ends)
        for part in parts:
            try:
                done += part(now)
            except Unreachable as error:
                failed = error
        # the same sentence comes with each sweep until the cause is gone
        for sentence in done:
            if sentence not in self.said:
                LOG.info(sentence)
        self.said = set(done)
        if failed is not None:
            raise failed
        return done

    def _hand_over_all(self, now: datetime) -> list[str]:
        waiting = rollbacks.not_handed_over(self.store, self.migration)
        if not waiting:
            return []
        state, done = routing.read(self.store, self.migration), []
        for rollback in waiting:
            # while users return in steps, the candidate's files and levers are still needed
            is_under_way = state.mode is Mode.RETURNING and rollback.epoch == state.epoch
            if not is_under_way:
                done.append(self._hand_over(rollback, now))
        return done

    def _wake_stale(self, now: datetime) -> list[str]:
        return [self._wake(run, now) for run in self._stale_sleepers(now)]

    def _wake_instructed(self, now: datetime) -> list[str]:
        """Wake the run if people, or another member of its group, ended what it waits for."""
        run = steering.oversleeping(self.site, now)
        if run is None:
            return []
        self.api.schedule(run.id, at=now, name="Continuing", message="it need not wait any more")
        return [f"{run.name} was woken because it need not wait any more"]

    def _recover_all(self, now: datetime) -> list[str]:
        lost = self._crashed(now) + self._vanished(now)
        done: list[str] = []
        for run, why in lost:
            done += self._recover(run, why, now)
        return done

    def _note_ends(self, now: datetime) -> list[str]:
        return self.carrier_watch.poll(now, self.given_up)

    def _hand_over(self, rollback: Rollback, now: datetime) -> str:
        # The key makes this one run for an epoch, however often the observer is killed here.
        run_id = self.api.start(
            "rollback/main",
            parameters=rollback_parameters(rollback),
            key=f"rollback-{self.migration}-{rollback.epoch}",
        )
        if run_id is None:
            title = "rollback/main was not started because it is not deployed"
            messages.put(self.store, Message(
                self.migration, key=f"not-deployed-rollback-{rollback.id}",
                severity=Severity.CRITICAL, title=title,
                body=f"Everyone is at the baseline because of: {rollback.reason}. The steps that "
                "follow wait: run `changeover up` again, which deploys the flow and starts it.",
                at=now), is_once=True)
            return title
        rollbacks.hand_over(self.store, rollback.id, flow_run_id=run_id, now=now)
        return f"rollback/main was started because of: {rollback.reason}"

    def _stale_sleepers(self, now: datetime) -> list[FlowRun]:
        """Return the sleeping run of the active cutover when a rollback came first."""
        cutover = cutovers.active(self.store, self.migration)
        if cutover is None or cutover.flow_run_id is None:
            return []
        if routing.read(self.store, self.migration).epoch == cutover.epoch:
            return []
        run = self.api.run(cutover.flow_run_id)
        if run is None:
            return []
        # about to begin anyway: waking it would only change its state once more
        soon = now + timedelta(seconds=3)
        is_asleep = run.state_type == PrefectState.SCHEDULED and (
            run.scheduled_for is not None and run.scheduled_for > soon)
        return [run] if run.state_type == PrefectState.PAUSED or is_asleep else []

    def _wake(self, run: FlowRun, now: datetime) -> str:
        message = "woken because a rollback came first"
        self.api.schedule(run.id, at=now, name="Recovering", message=message)
        return f"{run.name} was {message}"

    def _runs(self, state_types: Sequence[str]) -> list[FlowRun]:
        """Return the runs to watch, without those of which it is known that they are over.

        These are the runs of our deployments, and those that carry something although their
        deployment was made anew since.
        """
        found = {run.id: run for run in self.api.runs(DURABLE_FLOWS, state_types)
                 if run.migration in ("", self.migration) and self._is_own(run)}
        for carrier in carriers.of(self.store, self.migration):
            id_ = carrier.flow_run_id
            if carrier.end in (End.FAILED, End.NOT_DEPLOYED):
                found.pop(id_, None)
            elif carrier.flow in DURABLE_FLOWS and id_ not in found:
                run = self.api.run(id_)
                if run is not None and run.state_type in state_types:
                    found[id_] = replace(run, flow=carrier.flow)
        return list(found.values())

    def _is_own(self, run: FlowRun) -> bool:
        """Whether a run is of this database; one without a tag is if the store knows it."""
        return bool(run.owner or not self.api.owner() or known_runs.known(self.store, [run.id]))

    def _crashed(self, now: datetime) -> list[tuple[FlowRun, str]]:
        found = []
        for run in self._runs(["CRASHED", "FAILED"]):
            if now - run.state_at > CRASH_SETTLES and self._is_unfinished(run):
                found.append((run, f"it {run.state_name.lower()}"))
        return found

    def _vanished(self, now: datetime) -> list[tuple[FlowRun, str]]:
        """Return runs whose process is gone.

        1. A process gives its sign of life after its run turned Running: an older sign is one of
           the process before, which left on purpose.
        2. Pending is no proof: the worker starts a process some seconds before the run is due.
        """
        runs = self._runs(["RUNNING", "PENDING"])
        self.signs.turn()
        beats = {beat.service: beat for beat in heartbeats.every(self.store)}
        lost = []
        for run in runs:
            beat = beats.get(f"flow:{run.id}")
            is_running = run.state_type == PrefectState.RUNNING
            if is_running and beat is not None and beat.at >= run.state_at:
                # its process was another one if the number alone is the same: see `FlowSigns`
                if now - run.state_at > CRASH_SETTLES and (why := self.signs.why_lost(beat)):
                    lost.append((run, why))
            elif now - run.state_at > SIGN_OF_LIFE_WITHIN:
                lost.append((run, "it gave no sign of life"))
        return lost

    def _is_unfinished(self, run: FlowRun) -> bool:
        """Whether the run's work is still to be done.

        A crashed run never said how it ended: perhaps only the last step is missing, which
        notifies people. A failed one did, so the store decides.
        """
        if run.state_type == PrefectState.CRASHED:
            return True
        if run.flow == Work.ROLLBACK:
            mine = [found for found in rollbacks.all_of(self.store, self.migration)
                    if found.flow_run_id == run.id]
            return any(found.ended_at is None for found in mine)
        cutover = cutovers.of_flow_run(self.store, run.id)
        return cutover is not None and cutover.status is CutoverStatus.RUNNING

    def _recover(self, run: FlowRun, why: str, now: datetime) -> list[str]:
        """Schedule a lost run again, unless it went on or was suspended in the meantime."""
        # A person may have cancelled or suspended it since the list was read.
        known = self.api.run(run.id)
        if known is None or (known.state_type, known.state_at) != (run.state_type, run.state_at):
            return []
        attempt = self.attempts.get(run.id, 0) + 1
        most = MOST_ATTEMPTS_FAILED if run.state_type == PrefectState.FAILED else MOST_ATTEMPTS
        if attempt > most:
            return self._give_up(run, most, now)
        self.attempts[run.id] = attempt
        self.api.schedule(
            run.id, at=now, name="Recovering", message=f"attempt {attempt}, because {why}"
        )
        return [f"{run.name} was scheduled again because {why}"]

    def _give_up(self, run: FlowRun, most: int, now: datetime) -> list[str]:
        """Leave a run that does not recover; notify people, with what it carried if it did."""
        given_up = f"{run.name} was not recovered because {most} attempts did not help"
        self.given_up.add(run.id)
        if any(each.flow_run_id == run.id for each in carriers.of(self.store, self.migration)):
            return []  # the carrier watch notifies people, with what the run carried
        messages.put(self.store, Message(
            self.migration, key=f"given-up-{run.id}", severity=Severity.CRITICAL, title=given_up,
            body=f"Its last state: {run.state_name}. See its logs in Prefect, "
            "fix the cause and start it again.",
            at=now), is_once=True)
        return [given_up]
