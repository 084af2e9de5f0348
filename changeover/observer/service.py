"""The observer's loop: read, measure, watch, act. One slow part never stops the others.

The loop touches no network and no store: probes, the store and Prefect have threads of their own.
Triggers are evaluated from memory, so they work while the store is away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from changeover import clock
from changeover.analysis.window import MAIN_GATEWAY, SHADOW, Sample
from changeover.domain.messages import Severity
from changeover.domain.routing import System
from changeover.errors import ChangeoverError, StoreError
from changeover.gateway.accesslog import Entry
from changeover.observer import leading, main_gateway, telling
from changeover.observer.accumulate import Accumulator
from changeover.observer.acting import Acting
from changeover.observer.back_pressure import BackPressure
from changeover.observer.chores import Chores
from changeover.observer.evidence import TriggerEvidence
from changeover.observer.fast_watch import FastWatch
from changeover.observer.following import announce_left_behind
from changeover.observer.late import Late
from changeover.observer.log_reading import LogReading
from changeover.observer.nodes import Nodes
from changeover.observer.own_moves import NodesMoves
from changeover.observer.polling import SourcePolls
from changeover.observer.probes import ProcessMeter, probe_every_second
from changeover.observer.restarting import Restart
from changeover.observer.seconds import Seconds
from changeover.observer.slice_log import SliceLog
from changeover.observer.standings import Standings
from changeover.observer.stepping import Stepping
from changeover.observer.throttle import LogOnce, Throttle
from changeover.observer.traffic import Traffic
from changeover.observer.trigger_memory import TriggerMemory
from changeover.observer.unsaved import Unsaved
from changeover.observer.watch import Watch
from changeover.plan.subsets import subsets_read
from changeover.plan.triggers import TriggerAction
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import gateway_seconds, heartbeats, outcomes, place_counts, routing

LOG = logging.getLogger("changeover.observer")

TICK_SECONDS = 0.1
SECOND_SETTLES = 0.35
"""A second is evaluated this long after its end, when the gateway has flushed its log."""
FOLLOW_SECONDS = 0.2
COMPARISONS_ARRIVE = 15
"""Seconds in which comparisons and outcomes of a request are stored; only gates see later ones."""
CONSOLE_LISTENS = timedelta(seconds=20)
"""How long after the console's last sign of life (every 5 s) outcomes are expected."""


class Observer:
    """Watches one migration.

    Args:
        site: The migration on this machine, its store opened with a short timeout.
        api: Prefect's API, or None to do without recovery.
        stop: Ends it when it is set.

    `may_act` says whether it may judge and act now: another observer may lead.
    """

    def __init__(
        self, site: Site, api: PrefectApi | None, stop: threading.Event | None = None
    ) -> None:
        self.site, self.plan, self.store = site, site.plan, site.store
        self.sources = SourcePolls(site)
        self.watch, self.fast = Watch(self.plan, self.sources), FastWatch(self.plan)
        self._later: list[Sample] = []
        self.stop = stop or threading.Event()
        self.may_act: Callable[[], bool] = lambda: True
        self.log, self.throttle = LogOnce(), Throttle()
        self.traffic = Traffic(site, self.log, self._watch_anew)
        self.stepping = Stepping(site, self.traffic, self.log)
        self.back_pressure = BackPressure(site, self.traffic, self.log)
        self.chores = Chores(site, api, self.log)
        self.standings = Standings(site, self.sources)
        self.unsaved, self._late = Unsaved(), Late(site, site.home.gateway_files.root / "late.json")
        self.acting = Acting(self.traffic, self.unsaved, self.log)
        self.memory, self._lock = TriggerMemory(site), threading.Lock()
        self.slices = SliceLog(site)
        self.nodes = Nodes(site, self.traffic.notices, memory=self.watch.memory_seconds)
        self.nodes_moves = NodesMoves(site, self.traffic)
        self.evidence = TriggerEvidence(
            site, self.traffic, self.slices, lambda: self.nodes.has_any)
        self._access_log = LogReading(
            site, self.slices, site.home.gateway_files.root / "observer.json")
        self._accumulator = Accumulator(
            first=self._access_log.first, subsets=subsets_read(self.plan),
            gateway=site.gateway.name)
        self._meters = {
            str(name): ProcessMeter(self.plan.system(name), partial(self._pid_of, str(name)))
            for name in System
        }
        self._seconds, self._metered, self._summed = Seconds(), 0, 0
        self._began = int(time.time())

    def run(self) -> None:
        """Observe until `stop` is set; `restore` comes before it."""
        parts: list[tuple[str, Callable[[], None]]] = [
            *((f"probe of {name}", partial(self._probe, str(name))) for name in System),
            *((f"source {name}", partial(self.sources.watch, name, self.stop))
              for name in self.plan.sources),
            ("store", self._follow_store),
            ("gateway nodes", self._watch_nodes),
            ("signs to gateway nodes", lambda: self.nodes.give_signs(self.stop)),
            *main_gateway.parts(self.site, self.log, self.stop),
            ("recovery", lambda: self.chores.recover_runs(self.stop)),
            ("return in steps", lambda: self.stepping.watch(self.stop)),
            ("gates", self._watch_gates),
            *([("evidence", self._weigh_evidence)] if self.evidence.is_needed else []),
            ("table of the gates", lambda: self.chores.show_gates(self.stop)),
            ("messages", lambda: self.chores.deliver_messages(self.stop)),
            ("way back", lambda: self.chores.watch_way_back(self.stop)),
            *telling.parts(self.site, self.chores.api, self.log, self.stop),
            *self.chores.of_upkeep(self.stop, self._stored_until, self._late),
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
            if self.may_act():
                self.log.run("triggers", self._judge)
                self.log.run("rollback", self._roll_back)
            self.log.run("processes", self._meter)
            self.log.run("log rotation", self._rotate)
        self.log.run("last samples", lambda: self._late.save(self.unsaved))
        self.log.run("last sums by bucket", self.slices.save)
        self.log.run("last messages", lambda: self.traffic.notices.flush(
            self.store, self.site.migration))

    def _read_log(self) -> None:
        lost = self._access_log.read(
            self._count, is_withholding=self.back_pressure.is_withholding)
        if lost:
            self._tell_uncounted(
                f"{lost} lines of the gateway's access log are cut or cannot be read. Check for a "
                f"full disk, and whether something else writes to {self._access_log.path}")
        self._access_log.reach(self._is_stored)

    def _tell_uncounted(self, what: str) -> None:
        self.traffic.notices.put(
            Severity.WARNING, f"requests of {self.site.migration} are in no metric", what)

    def _count(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                self._accumulator.add(entry)
        self.fast.read(entries)

    def _is_stored(self, second: int) -> bool:
        return second < self._seconds.judged and not self.unsaved.has_until(second)

    def _stored_until(self) -> int:
        """Return up to which second this machine's own are stored; what is summed is read first."""
        return min(self._summed, self.unsaved.oldest or self._summed)

    def _watch_anew(self) -> None:
        self.acting.users_since = int(time.time())
        self.fast.restart()

    def _judge(self) -> None:
        """Finish the seconds that are complete and step the triggers through them."""
        # Guardrails must not fire for requests that back-pressure sends to the baseline.
        if self.back_pressure.is_withholding:
            self.watch.withhold(int(time.time()))
            self.fast.restart()
        if self.traffic.is_on_users and (fast := self.fast.firing(time.time())) is not None:
            self.acting.act(TriggerAction.ROLLBACK, fast)
        complete = self.nodes.complete(int(time.time() - SECOND_SETTLES))
        # after a pause: no further than the log was read
        read_to = self._accumulator.newest - 1 if self._access_log.is_behind else complete
        due = self._seconds.due(complete, read_to=read_to, most=self.watch.replay_seconds)
        if due.set_back_to is not None:
            self._set_back(due.set_back_to)
        if not due.seconds:
            return
        with self._lock:
            changed = self._accumulator.pop_changed(due.seconds.stop)
            users = self._accumulator.pop_user_errors()
        self.unsaved.add(changed, users)
        self._summed = due.seconds.stop
        self.watch.feed([*self.nodes.merged(changed, due.seconds.stop), *self._later])
        since, self.acting.users_since = self.acting.users_since, None
        if since is not None:
            self.watch.restart(since=since)
        # every request of the next second was routed after the move
        self.watch.follow_segments(self.traffic.state, at=int(time.time()) + 1)
        for second in due.seconds:
            for action, firing in self.watch.step(second):
                self.acting.act(action, firing)
            for cleared in self.watch.pop_cleared():
                self.acting.end(cleared)

    def _set_back(self, to: int) -> None:
        """Go on at an earlier second, which the clock shows for a second time."""
        LOG.warning("the clock was set back to %d; its seconds are measured anew", to)
        with self._lock:
            self.unsaved.add(self._accumulator.pop_changed(self._accumulator.newest + 1), {})
            self._accumulator.set_back(to)
        self._access_log.set_back()
        self.nodes.set_back(to)
        self.watch.set_back(to)

    def _roll_back(self) -> None:
        self.acting.roll_back()
        # a rollback that waits is not in the note: after a kill it is due again
        if self.acting.is_done and self._seconds.judged:
            self.memory.note(self.watch, self._seconds.judged - 1, self._users_epoch)

    @property
    def _users_epoch(self) -> int | None:
        """The routing's epoch while users are on the candidate; None when none are."""
        return self.traffic.state.epoch if self.traffic.is_on_users else None

    def _meter(self) -> None:
        second = int(time.time())
        # the loop comes ten times a second, CPU figures are per second
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
        if lost := self._access_log.rotate():
            self._tell_uncounted(
                f"{lost} bytes of the gateway's access log went before they were read: they came "
                "faster than this machine can read for longer than the log may grow. Give the "
                "observer more CPU")

    def _probe(self, system: str) -> None:
        def report(second: int, is_up: bool) -> None:
            with self._lock:
                self._accumulator.add_probe(system, second, is_up=is_up)
            self.fast.probed(system, time.time(), is_up=is_up)

        probe_every_second(self.plan.system(system), report, self.stop)

    def _follow_store(self) -> None:
        """Follow the store's state and write to the store; a failure is retried."""
        while not self.stop.wait(FOLLOW_SECONDS):
            self.traffic.follow()
            self.log.fine("store", "the store is back")
            if self.throttle.is_due("save", 0.45):
                self._with_store("measurements stay in memory", self._save)
            if self.throttle.is_due("triggers", 1.9):
                self._with_store("what triggers remember is not saved", self._save_triggers)
            if self.throttle.is_due("slices", 1.9):
                self._with_store("sums by bucket are kept in memory", self.slices.save)
            has_later = self.plan.shadow or self.watch.has_outcomes
            if has_later and self.throttle.is_due("comparisons", 0.9):
                self._with_store("comparisons and outcomes are not read", self._read_later)
            if self.throttle.is_due("beat", 5):
                self._with_store("the observer looks silent to others", self._beat)
                self._with_store("nobody is told who has not followed", self._name_left_behind)

    def _with_store(self, otherwise: str, action: Callable[[], None]) -> None:
        # each is a part of its own: a locked store can still be read
        try:
            action()
            self.log.fine(otherwise, "the store works again")
        except StoreError as error:
            self.log.problem(otherwise, f"{otherwise} because {error}")

    def _save(self) -> None:
        self._late.save(self.unsaved)
        self.traffic.save()

    def _save_triggers(self) -> None:
        self.memory.save(self._save)

    def _read_later(self) -> None:
        """Read what the shadow service and applications reported lately; replaced as a whole."""
        since = clock.now() - timedelta(seconds=COMPARISONS_ARRIVE)
        self._later = gateway_seconds.recent(
            self.store, self.site.migration, since=since, system=SHADOW)
        if self.watch.has_outcomes:
            self._later += outcomes.recent(self.store, self.site.migration, since=since)
        if self.watch.places:
            memory = clock.now() - timedelta(seconds=self.watch.memory_seconds + 10)
            self.watch.feed_places(place_counts.since(
                self.store, self.site.migration, self.watch.places, start=memory))

    def _beat(self) -> None:
        own = heartbeats.service_of(self.site.migration, leading.service(self.site.gateway.name))
        heartbeats.beat(self.store, own, pid=os.getpid(), now=clock.now())
        console = next((beat for beat in heartbeats.of(self.store, self.site.migration)
                        if beat.service == "console"), None)
        if console is not None:
            until = int((console.at + CONSOLE_LISTENS).timestamp())
            with self._lock:
                self._accumulator.listening_until = until

    def _name_left_behind(self) -> None:
        announce_left_behind(self.site, clock.now())

    def _watch_nodes(self) -> None:
        while not self.stop.wait(self.nodes.pause):
            self._with_store("what gateway nodes measure is not read",
                             lambda: self.nodes.poll(self.traffic.state))
            # also without any: what a node called for before may be settled by now
            self._with_store("what gateway nodes did is not recorded",
                             lambda: self.nodes_moves.settle(self.nodes.untold))

    def _watch_gates(self) -> None:
        """Say what the gates would say now; harm that is shown rolls back at once."""
        while not self.stop.wait(self.standings.pause):
            for firing in self.standings.evaluate():
                self.acting.act(TriggerAction.ROLLBACK, firing)

    def _weigh_evidence(self) -> None:
        """Weigh what the stage shows, for the triggers that are judged by it."""
        while not self.stop.wait(self.evidence.pause):
            self.watch.feed_evidence(self.evidence.weigh())

    def _watch_baseline(self) -> None:
        self.traffic.restorer.watch(self.stop, lambda: self.traffic.needs_the_baseline)

    def restore(self) -> None:
        """After a restart, continue where the observer before stopped.

        What was measured comes from the store, the seconds since from the access log, which is
        read from the saved place on. All threads come later: they find what was known before.

        Raises:
            StoreError: The store cannot be read. Tried again, some would count twice: another
                observer must be made.
        """
        self.nodes.restore(self._accumulator.newest)
        restart = Restart(self.site, self.watch, self.memory, self.acting, self._began)
        known = restart.feed(self.nodes.know)
        # what another observer measured is not measured here as well
        if self.site.gateway.name == MAIN_GATEWAY:
            self._accumulator.restore(known)
        self.traffic.update(routing.read(self.store, self.site.migration))
        self.acting.users_since = None
        self._seconds.judged = restart.resume(known, self._users_epoch)
        # at the end: all that was read may have taken seconds, and nothing is judged meanwhile
        self.nodes.begin()

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


def observe(site: Site, api_url: str | None, stop: threading.Event | None = None) -> Observer:
    """Return an observer of a migration, not yet running; `stop` ends it."""
    Path(site.home.gateway_files.root).mkdir(parents=True, exist_ok=True)
    api = PrefectApi(api_url, owner=lambda: site.store_id) if api_url else None
    return Observer(site, api, stop)
