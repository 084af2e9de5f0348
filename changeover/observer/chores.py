"""What the observer does beside the watch: runs, messages, the store's upkeep.

None of it needs what is measured. Each has a thread of its own, so a slow one delays no other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from changeover import clock
from changeover.domain.procedures import of_cutover
from changeover.errors import StoreError, Unreachable
from changeover.gateway.rewritten_files import RewrittenFiles
from changeover.notify import outbox
from changeover.observer.late import Late
from changeover.observer.recovery import Recovery
from changeover.observer.standing_table import StandingTable
from changeover.observer.throttle import LogOnce, Throttle
from changeover.observer.workers import WorkerWatch
from changeover.procedures.announcing import put_reminders
from changeover.procedures.way_back_notice import can_shrink, tell_of_way_back
from changeover.site import keyless_status
from changeover.site.bucket_sums import BucketSums
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import (
    cutovers,
    health_results,
    hours,
    minutes,
    pruning,
    shared_files,
    slices,
)

LOG = logging.getLogger("changeover.observer")

SWEEP_SECONDS = 1.5
IDLE_SWEEP_SECONDS = 6.0
"""While no run carries anything, by the store: each sweep asks Prefect several times."""
WORKER_SECONDS = 10.0
SCHEDULES_SECONDS = 60.0
MESSAGES_SECONDS = 1.0
REMINDERS_SECONDS = 10.0
WAY_BACK_SECONDS = 20.0
"""A month of minutes may be read: not each second."""
CERTIFICATES_SECONDS = 1.0
HOUSE_TICK_SECONDS, HOUSE_SECONDS = 1.0, 60.0
CHECKPOINT_SECONDS = 2.0
"""How often the store's write-ahead log is copied: some hundred pages each time."""
LONG_LOG_PAGES = 64_000
"""Pages (256 MB) that could not be copied: somebody has been reading for a long time."""


class Chores:
    """The observer's chores for one migration.

    Args:
        site: The migration on this machine.
        api: Prefect's API, or None to do without recovery.
        log: Where problems are logged.
    """

    def __init__(self, site: Site, api: PrefectApi | None, log: LogOnce) -> None:
        self._site, self.api, self._log = site, api, log
        self._throttle = Throttle()

    def recover_runs(self, stop: threading.Event) -> None:
        """Recover runs and hand over rollbacks until `stop`; asks again while Prefect is away."""
        if self.api is None:
            stop.wait()
            return
        recovery = Recovery(self._site, self.api)
        workers = WorkerWatch(self._site, self.api, clock.now())
        while not stop.wait(SWEEP_SECONDS):
            try:
                is_idle = not recovery.has_work()
                if is_idle and not self._throttle.is_due("idle sweep", IDLE_SWEEP_SECONDS):
                    continue
                self._sweep(recovery, workers)
                self._log.fine("runs", "runs are watched again")
            except (Unreachable, StoreError) as error:
                self._log.problem("runs", f"runs were not watched because {error}")

    def show_gates(self, stop: threading.Event) -> None:
        """Show in Prefect's page how the gates stand, until `stop`."""
        if self.api is None:
            stop.wait()
            return
        StandingTable(self._site, self.api, self._log).watch(stop)

    def _sweep(self, recovery: Recovery, workers: WorkerWatch) -> None:
        recovery.sweep(clock.now())
        if self._throttle.is_due("schedules", SCHEDULES_SECONDS):
            recovery.carrier_watch.poll_schedules(clock.now())
        if not self._throttle.is_due("worker", WORKER_SECONDS):
            return
        if done := workers.poll(clock.now()):
            LOG.warning(done)

    def deliver_messages(self, stop: threading.Event) -> None:
        """Send the messages that wait; a slow service delays nothing but the next message."""
        while not stop.wait(MESSAGES_SECONDS):
            if self._site.plan.notify:
                self._log.run("messages", self._deliver)
                if self._throttle.is_due("reminders", REMINDERS_SECONDS):
                    self._log.run("reminders", self._remind)

    def _deliver(self) -> None:
        outbox.deliver(self._site.store, self._site.plan, clock.now)

    def _remind(self) -> None:
        put_reminders(self._site, now=clock.now())

    def watch_way_back(self, stop: threading.Event) -> None:
        """Notify people when a rollback would no longer fit, or fits again, until `stop`."""
        if not can_shrink(self._site.plan):
            stop.wait()
            return
        while True:
            self._log.run("way back", self._tell_of_way_back)
            if stop.wait(WAY_BACK_SECONDS):
                return

    def _tell_of_way_back(self) -> None:
        tell_of_way_back(self._site, now=clock.now())

    def watch_certificates(self, stop: threading.Event) -> None:
        """Have Envoy read certificates again that were written in place, until `stop`."""
        rewritten = RewrittenFiles(self._site.plan, self._site.gateway.files)
        while not stop.wait(CERTIFICATES_SECONDS):
            self._log.run("certificates", rewritten.look)

    def copy_store_log(self, stop: threading.Event) -> None:
        """Copy the store's write-ahead log at its own pace, so that no writer has to."""
        while not stop.wait(CHECKPOINT_SECONDS):
            try:
                left = self._site.store.checkpoint()
            except StoreError as error:
                self._log.problem("checkpoints", f"the store's log was not copied because {error}")
                continue
            if left > LONG_LOG_PAGES:
                self._log.problem(
                    "checkpoints", f"{left} pages of the store's write-ahead log cannot be copied "
                    "while somebody reads them: end what reads for so long (a report, a program)")
            else:
                self._log.fine("checkpoints", "the store's log is copied again")

    def of_upkeep(
        self, stop: threading.Event, stored_until: Callable[[], int], late: Late
    ) -> list[tuple[str, Callable[[], None]]]:
        """Return the parts that keep the store and Envoy's files in order; see `keep_house`."""
        return [("housekeeping", lambda: self.keep_house(stop, stored_until, late)),
                ("certificates", lambda: self.watch_certificates(stop)),
                ("checkpoints", lambda: self.copy_store_log(stop))]

    def keep_house(
        self, stop: threading.Event, stored_until: Callable[[], int], late: Late
    ) -> None:
        """Sum up and remove old measurements until `stop`: of hundreds of gateways it takes long.

        Args:
            stop: Ends it.
            stored_until: Returns the second up to which this machine's own seconds are in the
                store. A minute that is summed up without them would stay so.
            late: Those that came after another observer had summed up their minutes.
        """
        while not stop.wait(HOUSE_TICK_SECONDS):
            self._try("minutes lack what came late", late.sum_up_when_due)
            until = stored_until()
            # nothing is known right after a start
            if until and self._throttle.is_due("housekeeping", HOUSE_SECONDS):
                self._try("old measurements are not removed",
                          partial(self._remove_old_rows, until))
                self._try("nobody is told of requests without a key",
                          lambda: keyless_status.tell(self._site, now=clock.now()))

    def _try(self, otherwise: str, work: Callable[[], None]) -> None:
        try:
            work()
            self._log.fine(otherwise, "the store works again")
        except StoreError as error:
            self._log.problem(otherwise, f"{otherwise} because {error}")

    def _remove_old_rows(self, stored_until: int) -> None:
        """Roll up old measurements and remove what is older than the plan's retention.

        Args:
            stored_until: Minutes that end later are not summed up yet.

        Raises:
            StoreError: The store cannot be used.
        """
        store, migration = self._site.store, self._site.migration
        retention, now = self._site.plan.retention, clock.now()
        # summed up first: what is removed afterwards lives on in the sums
        until = min(now, clock.from_timestamp(stored_until))
        minutes.rollup(store, migration, now=until)
        hours.rollup(store, migration, now=now)
        pruning.prune(store, migration, retention, now=now)
        # what is sent again after a kill would replace a sum that begins where it does
        BucketSums(store, migration).sum_up(until)
        slices.prune(store, migration, before=int((now - retention.minutes).timestamp()))
        health_results.prune(store, migration, before=now - retention.health)
        active = cutovers.active(store, migration)
        shared_files.prune(store, migration, before=now - retention.of_reports,
                           running=of_cutover(active.id) if active else "")
