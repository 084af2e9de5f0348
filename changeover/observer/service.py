"""The observer's loop: read, measure, watch, act. One slow part never stops the others.

The loop touches no network and no store: probes, the store and Prefect have threads of their own.
Triggers are evaluated from memory, so they work while the store is away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from changeover import clock
from changeover.analysis.trigger import Firing
from changeover.analysis.window import SHADOW, Sample
from changeover.domain.messages import Severity
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import System
from changeover.errors import ChangeoverError, Refused, StoreError
from changeover.gateway.accesslog import Entry, Tailer
from changeover.observer.accumulate import Accumulator
from changeover.observer.back_pressure import BackPressure
from changeover.observer.chores import Chores
from changeover.observer.position import Position
from changeover.observer.probes import ProcessMeter, probe_every_second
from changeover.observer.slice_log import SliceLog
from changeover.observer.slicing import Place
from changeover.observer.standings import Standings
from changeover.observer.throttle import LogOnce, Throttle
from changeover.observer.traffic import Traffic
from changeover.observer.unsaved import Fired, Unsaved
from changeover.observer.watch import Watch
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerAction
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import (
    cutovers,
    firings,
    heartbeats,
    outcomes,
    place_counts,
    routing,
    samples,
)

LOG = logging.getLogger("changeover.observer")

TICK_SECONDS = 0.1
SECOND_SETTLES = 0.35
"""A second is evaluated this long after its end, when the gateway has flushed its log."""
FOLLOW_SECONDS = 0.2
COMPARISONS_ARRIVE = 15
"""Seconds in which comparisons and outcomes of a request are stored; only gates see later ones."""
CONSOLE_LISTENS = timedelta(seconds=20)
"""How long after the console's last sign of life (every 5 s) outcomes are expected."""
LOG_LIMIT_BYTES = 64 << 20


class Observer:
    """Watches one migration.

    Args:
        site: The migration on this machine, its store opened with a short timeout.
        api: Prefect's API, or None to do without recovery.
    """

    def __init__(self, site: Site, api: PrefectApi | None) -> None:
        self.site, self.plan, self.store = site, site.plan, site.store
        self.watch = Watch(self.plan)
        self._later: list[Sample] = []
        self.stop = threading.Event()
        self.log, self.throttle = LogOnce(), Throttle()
        self.traffic = Traffic(site, self.log, self._watch_anew)
        self.back_pressure = BackPressure(site, self.traffic, self.log)
        self.chores = Chores(site, api, self.log)
        self.standings = Standings(site)
        self.unsaved = Unsaved()
        self._lock = threading.Lock()
        self._position = Position(site.home.gateway_files.root / "observer.json")
        place, first = self._position.read()
        self.slices = SliceLog(site)
        self._tailer = Tailer(
            site.home.gateway_files.access_log, _hosts(self.plan),
            position=_earlier(place, self.slices.place))
        self._accumulator = Accumulator(first=first)
        self._meters = {
            str(name): ProcessMeter(self.plan.system(name), partial(self._pid_of, str(name)))
            for name in System
        }
        self._judged = self._metered = 0
        self._began = int(time.time())
        self._recorded_before: set[str] = set()
        self._restart_since: int | None = None
        self._pending: deque[Firing] = deque()
        self._must_reopen = False

    def run(self) -> None:
        """Observe until `stop` is set."""
        self.log.run("start", self._restore)
        parts: list[tuple[str, Callable[[], None]]] = [
            *((f"probe of {name}", partial(self._probe, str(name))) for name in System),
            ("store", self._follow_store),
            ("recovery", lambda: self.chores.recover_runs(self.stop)),
            ("gates", self._watch_gates),
            ("messages", lambda: self.chores.deliver_messages(self.stop)),
            ("checkpoints", lambda: self.chores.copy_store_log(self.stop)),
            ("back-pressure", lambda: self.back_pressure.watch(self.stop)),
            *([("baseline", self._watch_baseline)] if self.plan.cutover.disable_baseline else []),
            ("back-pressure's levers", lambda: self.back_pressure.work_off(self.stop)),
            ("emergency levers", lambda: self.back_pressure.work_off_urgent(self.stop)),
        ]
        for name, part in parts:
            threading.Thread(target=self._forever, args=(name, part), daemon=True).start()
        LOG.info("observing %s", self.site.migration)
        while not self.stop.wait(TICK_SECONDS):
            self.log.run("access log", self._read_log)
            self.log.run("triggers", self._judge)
            self.log.run("rollback", self._roll_back)
            self.log.run("processes", self._meter)
            self.log.run("log rotation", self._rotate)
        self.log.run("last samples", lambda: self.unsaved.save(self.store, self.site.migration))
        self.log.run("last sums by bucket", self.slices.save)

    def _read_log(self) -> None:
        unreadable = self._tailer.unreadable
        if known := self.slices.bytes_known(self._tailer.position):
            self._count(self._tailer.read_on(known))  # after a restart: samples only
        entries = self._tailer.read()
        self._count(entries)
        self.slices.add(entries, self._tailer.position,
                        is_withholding=self.back_pressure.is_withholding)
        if lost := self._tailer.unreadable - unreadable:
            LOG.warning("lines of the access log that cannot be read: %d", lost)
            self.traffic.notices.put(
                Severity.WARNING, f"requests of {self.site.migration} are in no metric",
                f"{lost} lines of the gateway's access log are cut or cannot be read. Check for a "
                f"full disk, and whether something else writes to {self._tailer.path}")
        if not self._tailer.is_behind():
            self._position.reach(int(time.time()), self._tailer.position, self._is_stored)

    def _count(self, entries: Iterable[Entry]) -> None:
        with self._lock:
            for entry in entries:
                self._accumulator.add(entry)

    def _is_stored(self, second: int) -> bool:
        return second < self._judged and not self.unsaved.has_until(second)

    def _watch_anew(self) -> None:
        self._restart_since = int(time.time())

    def _judge(self) -> None:
        """Finish the seconds that are complete and step the triggers through them."""
        # Guardrails must not fire for requests that back-pressure sends to the baseline.
        if self.back_pressure.is_withholding:
            self.watch.withhold(int(time.time()))
        before = int(time.time() - SECOND_SETTLES)
        if self._tailer.is_behind():  # after a pause: no further than the log was read
            before = min(before, self._accumulator.newest - 1)
        if before <= self._judged:
            return
        with self._lock:
            changed = self._accumulator.pop_changed(before)
            users = self._accumulator.pop_user_errors()
        self.unsaved.add(changed, users)
        self.watch.feed([*changed, *self._later])
        since, self._restart_since = self._restart_since, None
        if since is not None:
            self.watch.restart(since=since)
        # After a long pause only so many seconds as a restart evaluates: rollbacks must not wait.
        first = max(self._judged or before - 1, before - self.watch.replay_seconds)
        self._judged = before
        for second in range(first, before):
            for action, firing in self.watch.step(second):
                self._act(action, firing)

    def _act(self, action: TriggerAction, firing: Firing) -> None:
        """Do what a trigger asks for; a rollback without users on the candidate is an alert."""
        is_rollback = action is TriggerAction.ROLLBACK
        # Users came to the candidate during the evaluation: the firing is about the time before.
        is_before_start = firing.at < (self._restart_since or 0)
        if is_rollback and self.traffic.is_on_users and not is_before_start:
            LOG.warning("trigger %s fired because %s", firing.trigger, firing.reason)
            self._pending.append(firing)
        elif firing.at >= self._began or firing.trigger not in self._recorded_before:
            LOG.warning("trigger %s fired because %s", firing.trigger, firing.reason)
            self._announce(firing, TriggerAction.ALERT if is_rollback else action)

    def _announce(self, firing: Firing, action: TriggerAction) -> None:
        """Record and announce a trigger that shifts no traffic."""
        epoch = self.traffic.state.epoch
        self.traffic.notices.put(
            Severity.WARNING, f"trigger {firing.trigger} of {self.site.migration} fired ({action})",
            firing.reason)
        self.unsaved.add_firing(Fired(firing, action, epoch, clock.now()))

    def _roll_back(self) -> None:
        """Do the rollback that a trigger or a failed item calls for; a failure is retried."""
        overdue = self.traffic.overdue
        if overdue is not None:
            try:
                self.traffic.roll_back(overdue)
            except Refused as refusal:  # people are notified; triggers must not wait for it
                self.log.problem("failed item", str(refusal))
        while self._pending:
            firing, at = self._pending[0], clock.now()
            if self.traffic.is_on_users:
                try:
                    done = self.traffic.roll_back(f"trigger {firing.trigger}: {firing.reason}")
                except Refused as refusal:
                    LOG.error("trigger %s: %s", firing.trigger, refusal)
                    self._announce(firing, TriggerAction.ALERT)
                    self._pending.popleft()
                    continue
                if done is None:  # the baseline is being brought back
                    return
                self.unsaved.add_firing(
                    Fired(firing, TriggerAction.ROLLBACK, done.epoch, at, done.confirmed_at)
                )
            else:  # another trigger or a person was faster
                self._announce(firing, TriggerAction.ALERT)
            self._pending.popleft()

    def _meter(self) -> None:
        second = int(time.time())
        if second == self._metered:
            return
        self._metered = second
        for system, meter in self._meters.items():
            figures = meter.read()
            if figures is not None:
                with self._lock:
                    self._accumulator.add_process(
                        system, second, memory_bytes=figures[0], cpu_cores=figures[1]
                    )

    def _rotate(self) -> None:
        if self.throttle.is_due("rotation", 60) and self._tailer.rotate(LOG_LIMIT_BYTES):
            self._must_reopen = True
        # Retried at every tick: until Envoy has opened a new log it writes to the moved one.
        if self._must_reopen:
            self.site.gateway.admin.reopen_logs()
            self._must_reopen = False

    def _probe(self, system: str) -> None:
        def report(second: int, is_up: bool) -> None:
            with self._lock:
                self._accumulator.add_probe(system, second, is_up=is_up)

        probe_every_second(self.plan.system(system), report, self.stop)

    def _follow_store(self) -> None:
        """Follow the store's state and write to the store; a failure is retried."""
        while not self.stop.wait(FOLLOW_SECONDS):
            self.traffic.follow()
            self.log.fine("store", "the store is back")
            if self.throttle.is_due("save", 0.45):
                self._with_store("measurements stay in memory", self._save)
            if self.throttle.is_due("slices", 1.9):
                self._with_store("sums by bucket are kept in memory", self.slices.save)
            has_later = self.plan.shadow or self.watch.has_outcomes
            if has_later and self.throttle.is_due("comparisons", 0.9):
                self._with_store("comparisons and outcomes are not read", self._read_later)
            if self.throttle.is_due("beat", 5):
                self._with_store("the observer looks silent to others", self._beat)
            if self.throttle.is_due("housekeeping", 60):
                self._with_store("old measurements are not removed", self.chores.remove_old_rows)

    def _with_store(self, otherwise: str, action: Callable[[], None]) -> None:
        # each is a part of its own: a locked store can still be read
        try:
            action()
            self.log.fine(otherwise, "the store works again")
        except StoreError as error:
            self.log.problem(otherwise, f"{otherwise} because {error}")

    def _save(self) -> None:
        self.unsaved.save(self.store, self.site.migration)
        self.traffic.save()

    def _read_later(self) -> None:
        """Read what the shadow service and applications reported lately; replaced as a whole."""
        since = clock.now() - timedelta(seconds=COMPARISONS_ARRIVE)
        found = samples.recent(self.store, self.site.migration, since=since)
        self._later = [sample for sample in found if sample.system == SHADOW]
        if self.watch.has_outcomes:
            self._later += outcomes.recent(self.store, self.site.migration, since=since)
        if self.watch.places:
            memory = clock.now() - timedelta(seconds=self.watch.memory_seconds + 10)
            self.watch.feed_places(place_counts.since(
                self.store, self.site.migration, self.watch.places, start=memory))

    def _beat(self) -> None:
        heartbeats.beat(self.store, "observer", pid=os.getpid(), now=clock.now())
        console = next((beat for beat in heartbeats.every(self.store)
                        if beat.service == "console"), None)
        if console is not None:
            until = int((console.at + CONSOLE_LISTENS).timestamp())
            with self._lock:
                self._accumulator.listening_until = until

    def _watch_gates(self) -> None:
        """Say what the gates would say now; harm that is shown rolls back at once."""
        while not self.stop.wait(self.standings.pause):
            for firing in self.standings.evaluate():
                self._act(TriggerAction.ROLLBACK, firing)

    def _watch_baseline(self) -> None:
        self.traffic.restorer.watch(self.stop, lambda: self.traffic.needs_the_baseline)

    def _restore(self) -> None:
        """After a restart, continue where the observer before stopped.

        1. The samples of the time that triggers remember come from the store. The seconds since
           come from the access log, which is read from the saved place on.
        2. Triggers are stepped through that time again, from the start of the cutover at most.
        3. A rollback that is due then is done. Other firings are recorded only if they were not.
        """
        migration = self.site.migration
        since = clock.now() - timedelta(seconds=self.watch.memory_seconds)
        known = samples.recent(self.store, migration, since=since)
        self.watch.feed(known)
        if self.watch.has_outcomes:
            self.watch.feed(outcomes.recent(self.store, migration, since=since))
        self._accumulator.restore(known)
        self.traffic.update(routing.read(self.store, migration))
        self._restart_since = None
        cutover = cutovers.latest(self.store, migration)
        begin = 0
        if cutover is not None:
            is_over = cutover.status in (CutoverStatus.ROLLED_BACK, CutoverStatus.FAILED)
            start = (cutover.ended_at if is_over else None) or cutover.started_at
            begin = int(start.timestamp()) + 1
        self._know_baseline(cutover)
        self.watch.restart(since=begin)
        first = min((sample.at for sample in known), default=self._began - 1)
        self._judged = max(begin, first, self._began - self.watch.replay_seconds)
        recorded = firings.all_of(self.store, migration, since=since)
        self._recorded_before = {firing.trigger for firing in recorded}

    def _know_baseline(self, cutover: Cutover | None) -> None:
        """Read how the baseline answered before the newest stage, in which it may serve nobody."""
        stages = cutovers.stages(self.store, cutover.id) if cutover else []
        end = stages[-1].entered_at if stages else clock.now()
        self.watch.know_baseline(samples.window(
            self.store, self.site.migration, str(System.BASELINE),
            start=end - timedelta(hours=24), end=end))

    def _pid_of(self, system: str) -> int | None:
        try:
            return int(self.site.home.settings()["processes"][system]["pid"])
        except (ChangeoverError, KeyError, TypeError, ValueError):
            return None

    def _forever(self, name: str, part: Callable[[], None]) -> None:
        """Run a part again whenever it ends, until `stop`."""
        while not self.stop.is_set():
            self.log.run(name, part)
            self.stop.wait(TICK_SECONDS)


def _earlier(samples: Place | None, sums: Place | None) -> Place | None:
    """Return where to read the log from, so that samples and sums by bucket miss nothing.

    What is read again is counted once only, in both.
    """
    if sums is None or samples is None:
        return samples or (sums and (sums[0], 0))
    return min(samples, sums) if samples[0] == sums[0] else samples


def _hosts(plan: Plan) -> dict[str, System]:
    """Return the systems by the addresses that the access log names."""
    hosts = {}
    for name in System:
        url = urlsplit(plan.system(name).url)
        port = url.port or (443 if url.scheme == "https" else 80)
        hosts[f"{url.hostname}:{port}"] = name
    return hosts


def observe(site: Site, api_url: str | None) -> Observer:
    """Return an observer of a migration, not yet running."""
    Path(site.home.gateway_files.root).mkdir(parents=True, exist_ok=True)
    return Observer(site, PrefectApi(api_url) if api_url else None)
