"""Several observers on one store: one leads, the others wait, and none acts on an old belief.

1. An observer waits for the lead before it reads anything, and then begins as after a restart: what
   triggers remember is in the store, so nothing fires twice and nothing is lost.
2. It proves four times a second that its session with the lock is there. What it does is done only
   while the last proof is younger than the server's patience with a silent session.
3. A process that stood still finds its proof old when it wakes up. It does nothing until it has
   asked, and gives up when another one led meanwhile: the process begins anew, and waits.
4. A store that is away gives the lead to nobody. Whoever led goes on: its gateway's users must be
   able to go back (break glass), and the store is told later, as ever. A spare has no gateway, so
   it is never alone: it only waits.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable

from changeover import clock
from changeover.analysis.window import MAIN_GATEWAY
from changeover.errors import NotLeading, StoreError
from changeover.observer.throttle import Throttle
from changeover.store import heartbeats, plans
from changeover.store import leading as stored
from changeover.store.engine import Store
from changeover.store.leading import SESSION_SECONDS, Lead, LeadLock

LOG = logging.getLogger("changeover.observer")

PROVE_SECONDS = 0.25
TRUSTED_SECONDS = SESSION_SECONDS - 0.5
"""So long a proof counts. What a transaction takes beyond it ends in a second look at its end."""
WAIT_SECONDS, BEAT_SECONDS = 0.2, 5.0
ALONE_SECONDS = 4.0
"""So long it counts that the store did not answer; a turn with the store takes less."""
DOUBTS = 25
"""So many turns of the loop, ten a second, an observer waits for a store that does not answer.
Turns and not seconds: a process that stood still must ask first, however long that was."""


def _nothing() -> None:
    """Do nothing."""


class Leading:
    """One observer's lead.

    Args:
        store: The store, on PostgreSQL.
        migration: Name of the migration.
        name: `main`, or the name of a spare observer.
    """

    def __init__(self, store: Store, migration: str, name: str) -> None:
        lead = Lead(migration, name, secrets.token_hex(16), clock.now())
        self.is_spare = name != MAIN_GATEWAY
        self._lock = LeadLock(store, lead, is_spare=self.is_spare)
        self._store, self._migration, self._name = store, migration, name
        self._proved = float("-inf")
        self._doubts, self._alone_at, self._away_at = 0, float("-inf"), float("-inf")
        self.lost, self._is_given_up = threading.Event(), threading.Event()
        self._proving: threading.Thread | None = None
        self.digest = ""
        """Of the plan with which it leads."""

    @classmethod
    def of(cls, store: Store, migration: str, name: str = MAIN_GATEWAY) -> Leading | None:
        """Return an observer's lead; None on SQLite, which has one machine and one observer."""
        return cls(store, migration, name) if stored.can_lead(store) else None

    def wait(self, stop: threading.Event, meanwhile: Callable[[], None] = _nothing) -> bool:
        """Wait for the lead; return False when `stop` is set first.

        Args:
            stop: Ends the waiting.
            meanwhile: Done at each turn at which another one leads.
        """
        said, throttle = "", Throttle()
        while not stop.is_set():
            before = _now()
            try:
                if self.is_spare and throttle.is_due("beat", BEAT_SECONDS):
                    self._beat()
                if self._lock.take():
                    self._lock.note()
                    self._prove(before)
                    LOG.info("leads the observers of %s", self._migration)
                    return True
                problem = f"another observer of {self._migration} leads: this one waits"
                meanwhile()
            except Exception as error:  # noqa: BLE001  a spare that ends is started by nobody
                self._lock.release()
                problem = f"this observer waits: {error}"
            if problem != said:
                LOG.info(problem)
            said = problem
            stop.wait(WAIT_SECONDS)
        self._lock.release()
        return False

    def _beat(self) -> None:
        """Give a sign of life while it waits: people must know that there is a spare."""
        heartbeats.beat(
            self._store, heartbeats.service_of(self._migration, service(self._name)),
            pid=os.getpid(), now=clock.now())

    def give_up(self) -> None:
        """Give the lead away before anything was done with it; nothing proves it any more."""
        if self._proving is not None:
            self._is_given_up.set()
            # the session is of one thread at a time
            self._proving.join()
            self._proving = None
        self._lock.release()
        self._proved = float("-inf")

    def plan_digest(self) -> str:
        """Return the digest of the plan that is in force now; empty without one.

        Raises:
            StoreError: The store cannot be read.
        """
        return plans.digest(self._store, self._migration)

    def watch(self, stop: threading.Event) -> None:
        """Prove the lead in a thread until it is lost; then set `lost` and `stop`."""
        self._is_given_up.clear()
        self._proving = threading.Thread(
            target=self._watch, args=(stop,), name="lead", daemon=True)
        self._proving.start()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(PROVE_SECONDS) and not self._is_given_up.is_set():
            try:
                leads = self._still_leads()
            except Exception:  # an unforeseen fault must not end the proving
                LOG.exception("the lead was not proved")
                continue
            if not leads:
                LOG.error("another observer leads: this one does nothing more, and begins anew")
                self.lost.set()
                stop.set()
        self._lock.release()

    def _still_leads(self) -> bool:
        if not self._lock.is_open:
            return self._leads_again()
        before = _now()
        try:
            leads = self._lock.prove()
        except StoreError:
            # the session has ended, and the lock with it
            self._lock.release()
            return self._leads_again()
        if leads:
            self._prove(before)
        return leads

    def _leads_again(self) -> bool:
        """Take the lead again unless another one had it; while the store is away nobody has it."""
        before = _now()
        try:
            leads = self._lock.take() and self._lock.was_last()
        except StoreError:
            self._lock.release()
            self._alone_at = self._away_at = _now()
            return True
        if leads:
            self._prove(before)
        return leads

    def _prove(self, at: float) -> None:
        self._proved, self._doubts = at, 0
        self._alone_at = self._away_at = float("-inf")

    @property
    def _is_proved(self) -> bool:
        return _now() - self._proved < TRUSTED_SECONDS

    @property
    def _is_alone(self) -> bool:
        """Whether the store did not answer a moment ago: it gives the lead to nobody then."""
        return not self.is_spare and _now() - self._alone_at < ALONE_SECONDS

    def may_act(self) -> bool:
        """Whether this observer may judge and act now; its loop asks ten times a second."""
        if self.lost.is_set():
            return False
        if self._is_proved:
            return True
        # after a pause of this process it asks anew
        if self._doubts > DOUBTS and not self._is_alone:
            self._doubts = 0
        self._doubts += 1
        if self._doubts > DOUBTS:
            self._alone_at = _now()
        return self._is_alone

    def require(self) -> None:
        """Refuse what an observer that does not lead must not write.

        Raises:
            NotLeading: Another one leads, or may.
            StoreError: The proof hangs: the store counts as away, and users go back without it.
        """
        # the end of the process: what was done before is still to be saved
        if self.lost.is_set() and threading.current_thread() is threading.main_thread():
            return
        if not self.lost.is_set():
            if self._is_proved or (self._is_alone and _now() - self._away_at < ALONE_SECONDS):
                return
            if self._is_alone:
                raise StoreError("the store does not answer who leads the observers")
        raise NotLeading(f"not done because another observer of {self._migration} may lead")


def service(name: str) -> str:
    """Return the name under which an observer gives its signs of life."""
    return "observer" if name == MAIN_GATEWAY else f"observer {name}"


def _now() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
