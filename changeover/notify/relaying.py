"""Telling others of every decision, in order: the audit is the queue, a row is the place in it.

A receiver gets each event at least once, and the next one only after it took the one before. Who
takes an event twice, after a kill between its answer and our record, knows it by its id.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from changeover.domain.audit import AuditEvent
from changeover.domain.decisions import is_told
from changeover.domain.relays import Relay, given_up, may_send
from changeover.store import audit, relays
from changeover.store.engine import Store

MOST_READ = 100
"""Events of the audit that are read at once."""


class Receiver(Protocol):
    """Somebody who is told of decisions."""

    @property
    def target(self) -> str:
        """Its name in the store: `prefect`, or `webhook NAME`."""

    @property
    def kinds(self) -> Sequence[str]:
        """Which kinds of events it wants, as patterns."""

    @property
    def give_up_after(self) -> timedelta:
        """How long it may fail before events of that age are given up."""

    @property
    def most_at_once(self) -> int:
        """How many events it takes in one delivery."""

    def deliver(self, events: Sequence[AuditEvent]) -> str:
        """Send events; return why they were not taken, without secrets. Empty: they were."""


class Relaying:
    """Brings one receiver what it wants of a migration's audit.

    Args:
        store: The store.
        migration: Whose audit.
        receiver: Who is told.
        clock: The present moment.
    """

    def __init__(
        self, store: Store, migration: str, receiver: Receiver, clock: Callable[[], datetime],
    ) -> None:
        self._store, self._migration, self._clock = store, migration, clock
        self._receiver = receiver
        # a process id alone comes again, on this machine or on another
        self._holder = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._seen = -1  # the head of the audit up to which everything was sent

    def run(self) -> int:
        """Send what waits, until all is sent or an attempt fails; return how many events were.

        Raises:
            StoreError: The store cannot be used; nothing is lost.
        """
        head = relays.head_seq(self._store, self._migration)
        # one row is read while nothing happens
        if head == self._seen:
            return 0
        relay = relays.begin(
            self._store, self._migration, self._receiver.target, now=self._clock())
        if relay.seq >= head:
            self._seen = head
            return 0
        if not may_send(relay, self._holder, self._clock()):
            return 0
        held = relays.acquire(self._store, relay, self._holder, now=self._clock())
        return self._send_all(held) if held else 0

    def _send_all(self, held: Relay) -> int:
        sent = 0
        while True:
            waiting = audit.events(
                self._store, self._migration, after_seq=held.seq, limit=MOST_READ)
            if not waiting:
                return sent
            wanted = [each for each in waiting if is_told(each, self._receiver.kinds)]
            batch = wanted[:self._receiver.most_at_once]
            if problem := self._receiver.deliver(batch) if batch else "":
                self._failed(held, wanted, problem)
                return sent
            # what nobody wants behind the last one is passed over with it
            is_last = len(batch) == len(wanted)
            reached = waiting[-1].seq if is_last else batch[-1].seq
            is_all = is_last and len(waiting) < MOST_READ
            went_on = relays.advance(
                self._store, held, reached, now=self._clock(), is_all=is_all)
            # another process took over: this one stood still for too long
            if went_on is None:
                return sent
            held, sent = went_on, sent + len(batch)
            # what comes meanwhile is sent by the next call, which may be another process's
            if is_all:
                return sent

    def _failed(self, held: Relay, wanted: Sequence[AuditEvent], problem: str) -> None:
        now = self._clock()
        failed = relays.fail(self._store, held, problem, now=now)
        if failed is None or failed.failing_since is None:
            return
        limit = self._receiver.give_up_after
        if lost := given_up(wanted, failed.failing_since, limit, now):
            relays.give_up(self._store, failed, lost, now=now)
