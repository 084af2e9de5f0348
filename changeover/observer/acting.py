"""What follows when triggers fire and when they are over: a rollback, a record, a message."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import replace
from datetime import datetime

from changeover import clock
from changeover.analysis.trigger import Cleared, Firing
from changeover.domain.messages import Severity
from changeover.domain.routing import Mode
from changeover.errors import Refused
from changeover.observer.part_return import PartReturn
from changeover.observer.throttle import LogOnce
from changeover.observer.traffic import RolledBack, Traffic
from changeover.observer.unsaved import Ended, Fired, Unsaved
from changeover.observer.whose import cause
from changeover.plan.triggers import TriggerAction

LOG = logging.getLogger("changeover.observer")


class Acting:
    """Does what triggers ask for. Rollbacks that cannot be done yet wait, and are retried.

    Args:
        traffic: Where users are, and how they are moved back.
        unsaved: Takes the records of what was done.
        log: Where problems are logged.
    """

    def __init__(self, traffic: Traffic, unsaved: Unsaved, log: LogOnce) -> None:
        self.traffic, self._unsaved, self._log = traffic, unsaved, log
        self._parts = PartReturn(traffic)
        self._pending: deque[Firing] = deque()
        self._began = int(time.time())
        self.recorded_before: set[str] = set()
        self.users_since: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether every rollback that was asked for was carried out, or given up."""
        return not self._pending

    def act(self, action: TriggerAction, firing: Firing) -> None:
        """Do what a trigger asks for; a rollback without users on the candidate is an alert."""
        is_rollback = action is TriggerAction.ROLLBACK
        # Users came to the candidate during the evaluation: the firing is about the time before.
        is_before_start = not firing.is_of_now and firing.at < (self.users_since or 0)
        if is_rollback and self.traffic.is_on_users and not is_before_start:
            LOG.warning("trigger %s fired because %s", firing.trigger, firing.reason)
            self._pending.append(firing)
        # before a restart of the observer it may have been recorded already
        elif firing.at >= self._began or firing.trigger not in self.recorded_before:
            LOG.warning("trigger %s fired because %s", firing.trigger, firing.reason)
            if is_rollback:
                self._overtaken(firing)
            else:
                self._announce(firing, action)

    def end(self, cleared: Cleared) -> None:
        """Record that a trigger is over; people are notified when that is news."""
        LOG.info("trigger %s is over because %s", cleared.trigger, cleared.reason)
        self._unsaved.add_ended(Ended(cleared, clock.now()))

    def roll_back(self) -> None:
        """Do the rollback that a trigger, a failed item or a leader calls for; retry what fails."""
        overdue = self.traffic.overdue
        if overdue is not None:
            try:
                self.traffic.roll_back(overdue)
            except Refused as refusal:  # people are notified; triggers must not wait for it
                self._log.problem("failed item", str(refusal))
                self.traffic.called_for.put_off()
        # in their order, and one that cannot be done yet keeps the next waiting: it moves everyone
        while self._pending:
            if not self._carry_out(self._pending[0]):
                return
            self._pending.popleft()

    def _carry_out(self, firing: Firing) -> bool:
        """Roll back because of a firing; return False while the baseline is being brought back."""
        at = clock.now()
        is_returning = self.traffic.state.mode is Mode.RETURNING and not firing.is_urgent
        # another trigger or a person was faster; or this one, and the store said so too late
        if is_returning or not self.traffic.is_on_users:
            self._overtaken(firing)
            return True
        try:
            done = self._take_back_part(firing, at) if self._parts.is_for(firing) else None
            if done is not None:
                return True
            move = self.traffic.roll_back if firing.is_urgent else self.traffic.return_in_steps
            done = move(cause(firing))
        # there is no way back: trying again would not find one
        except Refused as refusal:
            LOG.error("trigger %s: %s", firing.trigger, refusal)
            self._overtaken(firing)
            return True
        if done is None:
            return False
        self._unsaved.add_firing(
            Fired(firing, TriggerAction.ROLLBACK, done.epoch, at, done.confirmed_at))
        return True

    def _take_back_part(self, firing: Firing, at: datetime) -> RolledBack | None:
        """Take back what the firing is about alone; None when everyone must go back instead."""
        done = self._parts.take_back(firing)
        if done is not None:
            evidence = {**firing.evidence, "scope": firing.scope}
            self._unsaved.add_firing(Fired(
                replace(firing, evidence=evidence), TriggerAction.ROLLBACK, done.epoch, at,
                done.confirmed_at))
        return done

    def _overtaken(self, firing: Firing) -> None:
        """Record a firing that finds nobody to take back: the store says whose doing that was.

        People are told of an alert only when it was somebody else's.
        """
        self._unsaved.add_firing(Fired(
            firing, TriggerAction.ALERT, self.traffic.state.epoch, clock.now(),
            if_not_its_doing=lambda: self._tell(firing, TriggerAction.ALERT)))

    def _announce(self, firing: Firing, action: TriggerAction) -> None:
        """Record and announce a trigger that shifts no traffic."""
        self._tell(firing, action)
        self._unsaved.add_firing(Fired(firing, action, self.traffic.state.epoch, clock.now()))

    def _tell(self, firing: Firing, action: TriggerAction) -> None:
        self.traffic.notices.put(
            Severity.WARNING,
            f"trigger {firing.trigger} of {self.traffic.plan.migration} fired ({action})",
            firing.reason)
