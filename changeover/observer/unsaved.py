"""What was measured and is not in the store yet: in memory while the store is away."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from changeover import clock
from changeover.analysis.trigger import Cleared, Firing
from changeover.analysis.window import Sample
from changeover.domain.rollbacks import TriggerFiring
from changeover.observer.whose import doing
from changeover.plan.triggers import TriggerAction
from changeover.store import firings, samples, user_errors
from changeover.store.engine import Store

MOST_SAMPLES = 43_200
"""Four hours of both systems and the gateway; older ones come from the log after a restart."""
MOST_USERS = 100_000
AT_ONCE = 500
"""Samples in one transaction, so that nobody else waits long for the database."""


@dataclass(frozen=True, slots=True)
class Fired:
    """A firing and what was done about it.

    Args:
        firing: The firing.
        action: What was done.
        epoch: The routing's epoch.
        at: When.
        confirmed_at: When the gateway served its rollback.
        if_not_its_doing: Set where users were on their way back when its turn came. The store says
            whose doing that was; where it was somebody else's, this is called.
    """

    firing: Firing
    action: TriggerAction
    epoch: int
    at: datetime
    confirmed_at: datetime | None = None
    if_not_its_doing: Callable[[], None] | None = None

    @property
    def complete_at(self) -> datetime:
        """When the evidence was complete."""
        # the fast path knows the moment, all others the second
        evidence = self.firing.evidence
        return clock.from_timestamp(float(evidence.get("complete_at", self.firing.at + 1)))


@dataclass(frozen=True, slots=True)
class Ended:
    """A trigger that fired and is over, and when that was seen."""

    cleared: Cleared
    at: datetime


class Unsaved:
    """Filled by the observer's loop, emptied by the thread that writes to the store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[tuple[str, int], Sample] = {}
        self._user_errors: dict[tuple[str, str], datetime] = {}
        self._firings: deque[Fired] = deque()
        self._ended: deque[Ended] = deque()

    def add(
        self, changed: Iterable[Sample], user_errors: Mapping[tuple[str, str], datetime]
    ) -> None:
        """Add samples, replacing those of the same second, and users' first errors."""
        with self._lock:
            for sample in changed:
                self._samples[sample.system, sample.at] = sample
            # the oldest go first: they are in the access log, too
            while len(self._samples) > MOST_SAMPLES:
                del self._samples[next(iter(self._samples))]
            for user, at in user_errors.items():
                # further users' first errors are lost then, rather than the machine's memory
                if len(self._user_errors) < MOST_USERS:
                    self._user_errors.setdefault(user, at)

    def add_firing(self, fired: Fired) -> None:
        """Add a firing."""
        with self._lock:
            self._firings.append(fired)

    def add_ended(self, ended: Ended) -> None:
        """Add a trigger that is over."""
        with self._lock:
            self._ended.append(ended)

    def has_until(self, second: int) -> bool:
        """Whether samples of `second` or before are not in the store yet."""
        with self._lock:
            return any(at <= second for _, at in self._samples)

    @property
    def oldest(self) -> int | None:
        """The second of the oldest sample that is not in the store yet; None without any."""
        with self._lock:
            return min((at for _, at in self._samples), default=None)

    def save(self, store: Store, migration: str) -> None:
        """Save everything; what could not be saved stays, and saving twice changes nothing.

        Raises:
            StoreError: The store cannot be written.
        """
        # First what decisions were made; samples may be many after the store was away.
        self._save_firings(store, migration)
        while self._save_samples(store, migration):
            pass
        with self._lock:
            users = dict(self._user_errors)
        rows = [(user, system, at) for (user, system), at in users.items()]
        user_errors.record(store, migration, rows)
        # only what was saved: another thread may have added some meanwhile
        with self._lock:
            for key in users:
                self._user_errors.pop(key, None)

    def _save_samples(self, store: Store, migration: str) -> bool:
        with self._lock:
            batch = list(self._samples.items())[:AT_ONCE]
        samples.write(store, migration, [sample for _, sample in batch])
        with self._lock:
            for key, sample in batch:
                if self._samples.get(key) is sample:  # else it changed while it was written
                    del self._samples[key]
        return len(batch) == AT_ONCE

    def _save_firings(self, store: Store, migration: str) -> None:
        while self._firings:
            # removed at the end: a failure leaves it, and saving it twice changes nothing
            fired = _settled(store, migration, self._firings[0])
            firing = fired.firing
            saved = firings.record(store, TriggerFiring(
                migration, firing.trigger, fired.action, firing.reason, firing.evidence,
                evidence_complete_at=fired.complete_at, fired_at=fired.at, epoch=fired.epoch))
            if fired.confirmed_at is not None:
                firings.note_published(store, saved.id, at=fired.confirmed_at)
            if fired.if_not_its_doing is not None:
                fired.if_not_its_doing()
            self._firings.popleft()
        while self._ended:  # after the firings, so that the audit is in order
            ended = self._ended[0]
            firings.end(store, migration, ended.cleared.trigger, reason=ended.cleared.reason,
                        second=ended.cleared.at, at=ended.at)
            self._ended.popleft()


def _settled(store: Store, migration: str, fired: Fired) -> Fired:
    """Return a firing with what it did after all, where only the store knows that."""
    if fired.if_not_its_doing is None:
        return fired
    firing = fired.firing
    done = doing(store, migration, firing, complete_at=fired.complete_at, seen_at=fired.at)
    if done is None:
        return fired
    if done.scope is not None:
        firing = replace(firing, evidence={**firing.evidence, "scope": done.scope})
    return replace(fired, firing=firing, action=TriggerAction.ROLLBACK, epoch=done.epoch,
                   confirmed_at=done.confirmed_at, if_not_its_doing=None)
