"""The routing state and the gateway: brought together, and moved back to the baseline when due."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover import clock
from changeover.domain.audit import Author, NewEvent
from changeover.domain.messages import Severity
from changeover.domain.rollbacks import Cause, RollbackSeverity
from changeover.domain.routing import (
    ON_USERS,
    ROLLED_BACK,
    Change,
    Mode,
    RoutingState,
    users_come,
)
from changeover.errors import (
    ChangeoverError,
    Refused,
    StoreBusy,
    StoreError,
    TransitionRefused,
)
from changeover.observer.beginning import Begin, Found
from changeover.observer.notices import Notices
from changeover.observer.overdue import Overdue
from changeover.observer.restorer import BaselineRestorer
from changeover.observer.throttle import LogOnce, Throttle
from changeover.plan.model import PhaseKind
from changeover.procedures import baseline, fleet, gradual_return, rollback, traffic
from changeover.procedures.rollback import RollbackStart
from changeover.site.site import Site
from changeover.store import audit, firings, rollbacks, routing
from changeover.store.write_queue import first_in_line

LOG = logging.getLogger("changeover.observer")

STORE_PATIENCE_SECONDS = 0.7
"""A rollback waits this long for a busy store; then users are moved first, and it follows."""
STEPS_PATIENCE_SECONDS = 30.0
"""A rollback in steps waits this long for the store; then everyone returns at once."""
ENVOY_PATIENCE_SECONDS = 3.0
ROW_GRACE_SECONDS = 3.0
"""How long the row of a rollback is left to whoever moved the traffic."""
DRIFT_GRACE_SECONDS = 1.0
"""How long a new state is left to whoever changed it: then its process was killed, or is late."""
RETRY_SECONDS = 1.0
CONFIRMED_WITHIN_SECONDS = 60.0
"""When a gateway serves a rollback later than that, only its publication says so."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A rollback's first step as it was done; `confirmed_at` is None while Envoy is away."""

    epoch: int
    confirmed_at: datetime | None


class Traffic:
    """Where a migration's users are.

    `follow` belongs to the thread that talks to the store, `roll_back` to the one that watches.

    Args:
        site: The migration on this machine.
        log: Where problems are logged.
        on_start: Called when users come to the candidate again: what was measured before that
            no longer counts.
    """

    def __init__(self, site: Site, log: LogOnce, on_start: Callable[[], None]) -> None:
        self.site, self.plan = site, site.plan
        self.store, self.gateway = site.store, site.gateway
        self.state = RoutingState(site.migration)
        self._on_start = on_start
        self._log, self._throttle, self._lock = log, Throttle(), threading.Lock()
        self._rollback_known = -1
        self.notices, self.called_for = Notices(), Overdue(site)
        self.restorer = BaselineRestorer(self.plan, self.notices)
        self._is_baseline_disabled = self._is_baseline_retired = False
        self._was_baseline_disabled: bool | None = None  # not known yet
        self._newest: tuple[tuple[int, int], float] = (-1, -1), 0.0
        self._steps_wanted_since: float | None = None

    @property
    def is_on_users(self) -> bool:
        """Whether users get answers of the candidate, as far as is known."""
        return self.state.mode in ON_USERS and self.gateway.journal() is None

    @property
    def is_baseline_disabled(self) -> bool:
        """Whether a cutover took the baseline out of use."""
        return self._is_baseline_disabled

    @property
    def overdue(self) -> str | None:
        """Why a rollback is needed that nobody did in time; None when none is."""
        return self.called_for.reason(self.state) if self.is_on_users else None

    @property
    def needs_the_baseline(self) -> bool:
        """Whether a rollback sent everyone to a baseline that may have been out of use."""
        is_sent = self.state.mode is Mode.EMERGENCY_ROLLBACK or self.gateway.journal() is not None
        return is_sent and self._was_baseline_disabled is not False

    def update(self, state: RoutingState) -> None:
        """Remember a state unless a later one is known."""
        # two threads learn of states: an older one must not replace a newer one
        with self._lock:
            if state.order < self.state.order:
                return
            if users_come(self.state, state):
                self._on_start()
            self.state = state

    def follow(self) -> None:
        """Read the store's state and bring the gateway to it.

        Raises:
            StoreError: The store cannot be read.
        """
        self._follow_baseline()
        state = routing.read(self.store, self.plan.migration)
        self.update(state)
        self.called_for.look(state)
        try:
            if self.gateway.journal() is not None:
                if self._throttle.is_due("reconcile", RETRY_SECONDS):
                    self._reconcile()
            else:
                self._mend(state)
            self._log.fine("gateway", "the gateway is up to date again")
        except ChangeoverError as error:
            self._log.problem(
                "gateway", f"the gateway was not brought up to date because {error}"
            )

    def _follow_baseline(self) -> None:
        """Read from the store whether users can go back to the baseline."""
        if self.plan.cutover.disable_baseline is not None:
            was = self._was_baseline_disabled = baseline.was_out_of_use(self.site)
            self._is_baseline_disabled = was and baseline.is_out_of_use(self.site)
        if self.plan.phase(PhaseKind.DEPRECATION) is not None:
            self._is_baseline_retired = baseline.is_retired(self.site)

    def save(self) -> None:
        """Record in the store what was done without it, and what people must know.

        Raises:
            StoreError: The store cannot be written; nothing is lost.
        """
        if (found := self.restorer.found) is not None:
            baseline.save_return(self.site, found, actor="observer")
            # read again at once: the next rollback must know that the baseline is back
            self._follow_baseline()
            self.restorer.forget(found)
        self.notices.flush(self.store, self.plan.migration)

    def return_in_steps(self, reason: str) -> RolledBack | None:
        """Begin to move traffic to the baseline in the plan's steps.

        It needs the store. None is returned while that is away for a short time, or while the
        baseline is brought back, and the caller asks again. After that time everyone goes back at
        once, which works without the store.

        Raises:
            Refused, ChangeoverError: As `roll_back` says.
        """
        if self._is_baseline_disabled and not self.restorer.is_back():
            return None
        try:
            started = self._await(self._begun(reason, gradual_return.begin))
        except (StoreError, TransitionRefused) as error:
            self._steps_wanted_since = self._steps_wanted_since or time.monotonic()
            if time.monotonic() - self._steps_wanted_since < STEPS_PATIENCE_SECONDS:
                return None
            self._steps_wanted_since = None
            LOG.error("users return at once and not in steps because %s", error)
            return self.roll_back(reason)
        except Refused as error:
            raise self._no_way_back(reason) from error
        self._steps_wanted_since = None
        return self._known(started, reason)

    def roll_back(self, reason: str) -> RolledBack | None:
        """Move all traffic to the baseline, with or without the store.

        While the store is busy, users are moved at the gateway first and the store follows. When
        it cannot be used at all, this breaks glass.

        A baseline that was taken out of use is brought back first, in a thread. Until it is well,
        None is returned and the caller asks again.

        Raises:
            Refused: The baseline was retired; people are notified.
            ChangeoverError: Not even the gateway's files could be written.
        """
        if self._is_baseline_retired and not baseline.is_well(self.plan):
            raise self._no_way_back(reason)
        is_disabled = self._is_baseline_disabled
        if is_disabled and not self.restorer.is_back():
            return None
        try:
            started = self._await(self._begun(reason, rollback.start))
        except StoreBusy as error:
            return self._move_first(reason, error)
        except StoreError as error:
            return self._break_glass(reason, error)
        except Refused as error:
            raise self._no_way_back(reason) from error
        return self._known(started, reason)

    def _known(self, started: RollbackStart, reason: str) -> RolledBack:
        """Remember a rollback that the store has, and return it."""
        self._rollback_known = started.state.epoch
        self.update(started.state)
        if started.publication is None:
            LOG.error("rolled back, but not confirmed because %s", started.problem)
            return RolledBack(started.state.epoch, None)
        how = " in steps" if started.state.mode is Mode.RETURNING else ""
        LOG.warning("rolled back to the baseline%s because %s", how, reason)
        return RolledBack(started.state.epoch, clock.now())

    def _tell_of_main_gateway(self, state: RoutingState, reason: str) -> None:
        """Tell people, as a spare observer, that the main machine's gateway did not follow."""
        with contextlib.suppress(StoreError):
            if fleet.main_lags(self.site, state):
                self.notices.put(
                    Severity.CRITICAL,
                    f"{self.plan.migration}: the main machine's gateway did not follow",
                    f"A spare observer took everyone back: {reason}. The gateway of `changeover "
                    "up` may still send users to the candidate. Take that machine out of the load "
                    "balancer, or run `changeover rollback --break-glass` there")

    def _no_way_back(self, reason: str) -> Refused:
        error = baseline.no_way_back(self.plan)
        self.notices.put(Severity.CRITICAL, f"{self.plan.migration} cannot be rolled back",
                         f"{reason}; {error}")
        return error

    def _begun(self, reason: str, begin: Begin) -> Found:
        """Begin a rollback in a thread, and return where it says how that went.

        A store that hangs cannot be interrupted, and users must not wait for it.
        """
        found: Found = queue.Queue()
        is_back = self._is_baseline_disabled

        def start() -> None:
            try:
                cause = Cause("observer", reason, RollbackSeverity.CRITICAL)
                started = begin(self.site, cause, is_baseline_back=is_back)
                found.put(started)
                # here, since nobody may wait any more: a spare finds the state changed later
                self._tell_of_main_gateway(started.state, reason)
            except Exception as error:  # noqa: BLE001  handed to the thread that waits
                found.put(error)

        threading.Thread(target=start, daemon=True).start()
        return found

    def _await(self, found: Found) -> RollbackStart:
        """Return how the rollback began; a store that does not answer in time counts as busy."""
        epoch = self.state.epoch
        try:
            result = found.get(timeout=STORE_PATIENCE_SECONDS)
        except queue.Empty:
            # When its routes are in place already, only Envoy's confirmation is missing.
            if (self.gateway.on_disk() or (-1, -1))[0] <= epoch:
                raise StoreBusy(
                    f"the store did not answer within {STORE_PATIENCE_SECONDS} s"
                ) from None
            try:
                result = found.get(timeout=ENVOY_PATIENCE_SECONDS)
            except queue.Empty:
                raise StoreBusy("the store did not answer in time") from None
        if isinstance(result, Exception):
            raise result
        return result

    def _break_glass(self, reason: str, error: StoreError) -> RolledBack:
        entry = self.gateway.break_glass(reason=reason, actor="observer", now=clock.now())
        LOG.error("rolled back by break glass because %s", error)
        return self._wait_for(entry)

    def _move_first(self, reason: str, error: StoreBusy) -> RolledBack:
        """Move users at the gateway; `follow` records it as soon as the store can be written."""
        entry = self.gateway.break_glass(
            reason=reason, actor="observer", busy=str(error), now=clock.now())
        LOG.warning("rolled back at the gateway first, the store follows: %s", error)
        return self._wait_for(entry)

    def _wait_for(self, entry: Mapping[str, Any]) -> RolledBack:
        """Wait a moment until the gateway serves what the journal says."""
        order = int(entry["epoch"]), int(entry["version"])
        is_served = self.gateway.serves_within(order, STORE_PATIENCE_SECONDS)
        return RolledBack(order[0], clock.now() if is_served else None)

    def _reconcile(self) -> None:
        """Record in the store what was done without it, before all other writers.

        May be killed at any line and done again.
        """
        # A rollback waits for no other writer, not even when it is only recorded.
        with first_in_line():
            self._record_journal()

    def _record_journal(self) -> None:
        entry = self.gateway.journal() or {}
        reason, actor = str(entry.get("reason", "")), str(entry.get("actor", "break glass"))
        audit.record(self.store, self.plan.migration, NewEvent(
            actor=actor, kind="rollback.gateway_first" if "busy" in entry else "break_glass.used",
            at=clock.now(), data=entry, once_key=f"break-glass-{entry.get('at')}"))
        reason = reason if "busy" in entry else f"break glass: {reason}"
        state = routing.change(
            self.store, self.plan.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
            Author(actor, reason), now=clock.now())
        self.update(state)
        self._open_row(state, reason, actor)
        self.gateway.reconcile(self.plan, state)
        LOG.warning("what %s did without the store is now recorded in it", actor)
        traffic.publish(self.site, state)

    def _mend(self, state: RoutingState) -> None:
        """Do what a process that was killed between two steps left undone."""
        if self._newest[0] != state.order:
            self._newest = state.order, time.monotonic()
        age = time.monotonic() - self._newest[1]
        is_rollback = state.mode is Mode.EMERGENCY_ROLLBACK
        is_begun = state.mode in ROLLED_BACK
        if is_begun and state.epoch != self._rollback_known and age > ROW_GRACE_SECONDS:
            self._find_row(state)
        # Whoever changed the state publishes it; this helps only when that process was killed.
        grace = 0.2 if is_rollback else DRIFT_GRACE_SECONDS
        is_older = (self.gateway.on_disk() or (-1, -1)) < state.order
        is_undone = is_older or self.gateway.has_streams_to_end(self.plan, state)
        if is_undone and age > grace and self._throttle.is_due("publish", RETRY_SECONDS):
            LOG.warning("published again because the gateway has an older state, or long "
                        "connections that were not ended")
            traffic.publish(self.site, state)
        is_new = ROW_GRACE_SECONDS < age < CONFIRMED_WITHIN_SECONDS
        if is_rollback and is_new and self._throttle.is_due("confirm", RETRY_SECONDS):
            self._note_confirmation(state)

    def _note_confirmation(self, state: RoutingState) -> None:
        """Record when the gateway began to serve a rollback that it did not confirm at once."""
        served = self.gateway.served()
        is_served = served is not None and served >= state.order
        if is_served and not fleet.lost(self.site, state):
            firings.note_rollback_published(
                self.store, self.plan.migration, epoch=state.epoch, at=clock.now())

    def _find_row(self, state: RoutingState) -> None:
        """Record the rollback when nobody did so since the traffic was moved."""
        if rollbacks.of_epoch(self.store, self.plan.migration, state.epoch) is None:
            begun = None
            for event in audit.events(self.store, self.plan.migration):
                if event.kind == "rollback.started":
                    begun = event  # the newest one counts
            reason = str(begun.data.get("reason", "")) if begun else "see the audit"
            self._open_row(state, reason, begun.actor if begun else "observer")
        self._rollback_known = state.epoch

    def _open_row(self, state: RoutingState, reason: str, actor: str) -> None:
        rollback.open_record(self.site, state, Cause(actor, reason, RollbackSeverity.CRITICAL))
        self._rollback_known = state.epoch
