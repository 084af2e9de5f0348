"""The observer's loop: read, measure, watch, act, tell. One slow part never stops the others."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections import deque
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from changeover import clock, rollback
from changeover.analysis.trigger import Firing
from changeover.analysis.window import Sample
from changeover.errors import ChangeoverError, StoreError, Unreachable
from changeover.gateway.accesslog import Tailer
from changeover.gateway.publish import Gateway
from changeover.home import Home
from changeover.observer.accumulate import Accumulator
from changeover.observer.prefect_api import PrefectApi
from changeover.observer.probes import ProcessMeter, probe_every_second
from changeover.observer.recovery import Recovery
from changeover.observer.watch import Watch
from changeover.plan.model import Plan, TriggerAction, TriggerSpec
from changeover.routing import Change, Mode, RoutingState, System
from changeover.store import audit, cutovers, operations, routing, samples
from changeover.store.engine import Store

LOG = logging.getLogger("changeover.observer")

TICK_SECONDS = 0.1
SECOND_SETTLES = 0.35
"""A second is judged this long after its end, when the gateway has flushed its log."""
POSITION_LAG = 5
SWEEP_SECONDS = 1.5
LOG_LIMIT_BYTES = 64 << 20
MOST_UNSAVED = 7200
ON_USERS = (Mode.GRADUAL, Mode.CANDIDATE_ONLY)


class Observer:
    """Watches one migration.

    Args:
        home: The home directory.
        plan: The migration's plan.
        store: The store, opened with a short timeout.
        api: Prefect's API, or None to do without recovery.
    """

    def __init__(self, home: Home, plan: Plan, store: Store, api: PrefectApi | None) -> None:
        self.home, self.plan, self.store, self.api = home, plan, store, api
        self.gateway = Gateway(home.gateway_files)
        self.watch = Watch(plan)
        self.stop = threading.Event()
        self.state = RoutingState(plan.migration)
        self._lock = threading.Lock()
        self._unsaved: deque[Sample] = deque(maxlen=MOST_UNSAVED)
        self._positions: deque[tuple[int, tuple[int, int]]] = deque()
        self._position_file = home.gateway_files.root / "observer.json"
        position, first = self._read_position()
        self._tailer = Tailer(home.gateway_files.access_log, _hosts(plan), position=position)
        self._accumulator = Accumulator(first=first, salt=plan.routing.salt or "")
        self._meters = {
            str(name): ProcessMeter(plan.system(name), partial(self._pid_of, str(name)))
            for name in System
        }
        self._judged = 0
        self._is_store_away = False
        self._rollback_known = -1

    def run(self) -> None:
        """Observe until `stop` is set."""
        self._restore()
        threads = [
            threading.Thread(target=self._probe, args=(str(name),), daemon=True)
            for name in System
        ]
        threads.append(threading.Thread(target=self._sweep_forever, daemon=True))
        for thread in threads:
            thread.start()
        LOG.info("observing %s", self.plan.migration)
        last_second = 0
        while not self.stop.wait(TICK_SECONDS):
            now = time.time()
            self._follow_state()
            self._read_log()
            complete = int(now - SECOND_SETTLES)
            if complete > self._judged:
                self._judge(complete)
            if int(now) > last_second:
                last_second = int(now)
                self._each_second(last_second)

    def _judge(self, before: int) -> None:
        """Finish all seconds before `before`, step the triggers, act, then save."""
        with self._lock:
            changed = self._accumulator.take_changed(before)
        self.watch.feed(changed)
        first = self._judged or before - 1
        self._judged = before
        for second in range(max(first, before - 30), before):
            for spec, firing in self.watch.step(second):
                self._act(spec, firing)
        self._unsaved.extend(changed)
        self._save()

    def _act(self, spec: TriggerSpec, firing: Firing) -> None:
        """Do what a trigger wants; a rollback first of all moves the traffic."""
        complete_at = clock.from_timestamp(firing.at + 1)
        is_rollback = spec.action is TriggerAction.ROLLBACK and self.state.mode in ON_USERS
        action = spec.action if is_rollback or spec.action is not TriggerAction.ROLLBACK else None
        LOG.warning("trigger %s fired because %s", spec.name, firing.reason)
        try:
            confirmed = self._roll_back(firing) if is_rollback else None
            kept = operations.record_firing(
                self.store, self.plan.migration, trigger=spec.name,
                action=str(action or TriggerAction.ALERT), reason=firing.reason,
                evidence=firing.evidence, evidence_complete_at=complete_at,
                epoch=self.state.epoch, now=clock.now(),
            )
            if confirmed is not None:
                operations.firing_published(self.store, kept.id, at=confirmed)
        except StoreError as error:
            LOG.error("the firing of %s was not kept because %s", spec.name, error)

    def _roll_back(self, firing: Firing) -> datetime | None:
        """Move all traffic to the baseline; break glass when the store cannot be written."""
        reason = f"trigger {firing.trigger}: {firing.reason}"
        try:
            started = rollback.start(
                self.store, self.gateway, self.plan, reason=reason, severity="critical",
                actor="observer", now=clock.now(),
            )
        except StoreError as error:
            self.gateway.break_glass(reason=reason, actor="observer", now=clock.now())
            LOG.error("rolled back by break glass because %s", error)
            self.watch.restart(since=firing.at + 1)
            return None
        self.state = started.state
        if started.publication is None:
            LOG.error("rolled back, but not confirmed because %s", started.problem)
            return None
        LOG.warning("rolled back to the baseline because %s", reason)
        return clock.now()

    def _follow_state(self) -> None:
        """Take the routing state from the store, and see that the gateway has it."""
        try:
            state = routing.read(self.store, self.plan.migration)
            self._store_is_back()
        except StoreError as error:
            self._store_is_away(error)
            return
        is_new_start = self.state.mode not in ON_USERS and state.mode in ON_USERS
        if state.epoch != self.state.epoch or is_new_start:
            self.watch.restart(since=int(time.time()))
        self.state = state
        try:
            if state.mode is Mode.EMERGENCY_ROLLBACK and state.epoch != self._rollback_known:
                self._open_rollback(state)
            if self.gateway.journal() is not None:
                self._reconcile()
            elif (self.gateway.on_disk() or (-1, -1)) < state.order:
                LOG.warning("published again because the gateway has an older state")
                operations.save_publication(self.store, self.gateway.publish(self.plan, state))
        except ChangeoverError as error:
            LOG.error("the gateway was not brought up to date because %s", error)

    def _reconcile(self) -> None:
        """Carry what break glass did into the store; may be killed at any line and done again."""
        entry = self.gateway.journal() or {}
        reason, actor = str(entry.get("reason", "")), str(entry.get("actor", "break glass"))
        audit.record_once(
            self.store, self.plan.migration, key=f"break-glass-{entry.get('at')}", actor=actor,
            kind="break_glass.used", data=entry, now=clock.now(),
        )
        self.state = routing.change(
            self.store, self.plan.migration, Change(mode=Mode.EMERGENCY_ROLLBACK), actor=actor,
            reason=f"break glass: {reason}", now=clock.now(),
        )
        self.gateway.reconcile(self.plan, self.state)
        rollback.start(
            self.store, self.gateway, self.plan, reason=f"break glass: {reason}",
            severity="critical", actor=actor, now=clock.now(),
        )
        LOG.warning("break glass of %s was carried into the store", actor)

    def _open_rollback(self, state: RoutingState) -> None:
        """Make the rollback's row when a kill came between moving traffic and making it."""
        running = cutovers.active(self.store, self.plan.migration)
        operations.begin_rollback(
            self.store, self.plan.migration, epoch=state.epoch,
            reason="see the audit: the process that rolled back was killed", severity="critical",
            scope="all", actor="observer", cutover_id=running.id if running else None,
            now=clock.now(),
        )
        self._rollback_known = state.epoch

    def _each_second(self, second: int) -> None:
        for system, meter in self._meters.items():
            figures = meter.read()
            if figures is not None:
                with self._lock:
                    self._accumulator.add_process(
                        system, second, memory_bytes=figures[0], cpu_cores=figures[1]
                    )
        self._keep_position(second)
        if second % 5 == 0:
            self._try(lambda: operations.beat(
                self.store, "observer", pid=os.getpid(), now=clock.now()))
        if second % 60 == 35:
            self._try(self._housekeeping)

    def _housekeeping(self) -> None:
        keep = self.plan.retention
        samples.rollup(self.store, self.plan.migration, now=clock.now())
        samples.prune(
            self.store, self.plan.migration, keep_seconds=keep.seconds, keep_minutes=keep.minutes,
            now=clock.now(),
        )
        if self._tailer.rotate(LOG_LIMIT_BYTES):
            self.gateway.admin.reopen_logs()

    def _read_log(self) -> None:
        try:
            entries = self._tailer.read()
        except OSError as error:
            LOG.error("the access log was not read because %s", error)
            return
        with self._lock:
            for entry in entries:
                self._accumulator.add(entry)

    def _save(self) -> None:
        """Write what is not in the store yet; kept in memory while the store is away."""
        if not self._unsaved:
            return
        batch = list({(s.system, s.at): s for s in self._unsaved}.values())
        with self._lock:
            errors, self._accumulator.user_errors = self._accumulator.user_errors, []
        try:
            samples.write(self.store, self.plan.migration, batch)
            samples.record_user_errors(self.store, self.plan.migration, errors)
            self._unsaved.clear()
            self._store_is_back()
        except StoreError as error:
            self._store_is_away(error)

    def _probe(self, system: str) -> None:
        def report(second: int, is_up: bool) -> None:
            with self._lock:
                self._accumulator.add_probe(system, second, is_up=is_up)

        probe_every_second(self.plan.system(system), report, self.stop)

    def _sweep_forever(self) -> None:
        """Recover runs and hand over rollbacks; keeps asking while Prefect is away."""
        if self.api is None:
            return
        recovery = Recovery(self.store, self.api, self.plan.migration)
        is_away = False
        while not self.stop.wait(SWEEP_SECONDS):
            try:
                recovery.sweep(clock.now())
                is_away = False
            except (Unreachable, StoreError) as error:
                if not is_away:
                    LOG.error("runs were not looked after because %s", error)
                is_away = True

    def _restore(self) -> None:
        """After a restart, take up where the one before left off."""
        since = clock.now() - timedelta(seconds=self.watch.memory_seconds)
        with contextlib.suppress(StoreError):
            known = samples.recent(self.store, self.plan.migration, since=since)
            self.watch.feed(known)
            self._accumulator.restore(known)
            self.state = routing.read(self.store, self.plan.migration)

    def _read_position(self) -> tuple[tuple[int, int] | None, int]:
        try:
            found = json.loads(self._position_file.read_text())
            return (int(found["inode"]), int(found["offset"])), int(found["first"])
        except (OSError, ValueError, KeyError):
            return None, 0

    def _keep_position(self, second: int) -> None:
        """Note where lines of seconds after `second` begin, a few seconds later.

        1. At second P the log was read to position X: requests that end after P lie behind X.
        2. Five seconds later all of P's seconds are stored, late lines included.
        3. A restart reads from X and counts only seconds after P: none lost, none twice.
        """
        self._positions.append((second, self._tailer.position))
        while self._positions and self._positions[0][0] <= second - POSITION_LAG:
            first, (inode, offset) = self._positions.popleft()
            if not self._unsaved:
                content = json.dumps({"first": first + 1, "inode": inode, "offset": offset})
                temporary = self._position_file.with_suffix(".new")
                with contextlib.suppress(OSError):
                    temporary.write_text(content)
                    temporary.replace(self._position_file)

    def _pid_of(self, system: str) -> int | None:
        with contextlib.suppress(ChangeoverError):
            found = self.home.settings().get("processes", {}).get(system)
            return int(found["pid"]) if found else None
        return None

    def _try(self, action: object) -> None:
        try:
            action()  # type: ignore[operator]
        except ChangeoverError as error:
            self._store_is_away(error)

    def _store_is_away(self, error: Exception) -> None:
        if not self._is_store_away:
            LOG.error("measurements are kept in memory because %s", error)
        self._is_store_away = True

    def _store_is_back(self) -> None:
        if self._is_store_away:
            LOG.info("the store is back")
        self._is_store_away = False


def _hosts(plan: Plan) -> dict[str, System]:
    """Return the systems by the addresses that the access log names."""
    hosts = {}
    for name in System:
        url = urlsplit(plan.system(name).url)
        port = url.port or (443 if url.scheme == "https" else 80)
        hosts[f"{url.hostname}:{port}"] = name
    return hosts


def observe(home: Home, plan: Plan, store: Store, api_url: str | None) -> Observer:
    """Return an observer of a migration, not yet running."""
    Path(home.gateway_files.root).mkdir(parents=True, exist_ok=True)
    return Observer(home, plan, store, PrefectApi(api_url) if api_url else None)
