"""A node's work with one plan: it follows the routes, measures, sends; an amended plan ends it."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta

from changeover import clock
from changeover.analysis.window import combine
from changeover.domain.routing import System
from changeover.gateway.rewritten_files import RewrittenFiles
from changeover.node.card import Card
from changeover.node.following import POLL_SECONDS, Following
from changeover.node.judging import Judging
from changeover.node.measuring import Measuring
from changeover.node.own_moves import OwnMoves
from changeover.observer.listening import Listening
from changeover.observer.throttle import LogOnce, Throttle
from changeover.plan.model import Plan
from changeover.site.site import Site
from changeover.store import plans, samples

LOG = logging.getLogger("changeover.node")

TICK_SECONDS = 0.1
CERTIFICATES_SECONDS = 1.0
PLAN_SECONDS = 2.0
"""How often the plan's digest is asked for."""
BASELINE_SECONDS = 10.0
"""How often the store is asked how the baseline answered, until it says so."""
USUAL, HOUR = timedelta(hours=24), timedelta(hours=1)
"""Of which time the baseline's answers are read."""
JOIN_SECONDS = 5.0
"""A thread that waits for a store which hangs is left behind: it does nothing any more."""


class Session:
    """Follows and measures until it is ended or the plan is another one.

    Args:
        site: The migration, with the node's own gateway.
        card: What the node says of itself.
        digest: Of the plan as it is stored.
    """

    def __init__(self, site: Site, card: Card, digest: str) -> None:
        self._site, self._card, self._digest = site, card, digest
        self._log, self._throttle = LogOnce(), Throttle()
        moves = card.moves or OwnMoves(site.gateway)
        self._following = Following(site, card, moves, self._log)
        self._judging = Judging(site.plan, card, moves, self._log)
        self._measuring = Measuring(site, card, self._judging)
        self._is_over, self._is_news = threading.Event(), threading.Event()
        self._listening = Listening(site.store, site.migration, self._is_news.set, self._log)
        self._rewritten = RewrittenFiles(site.plan, site.gateway.files)
        self._knows_baseline, self._newest = False, digest
        self.amended: Plan | None = None
        """Another plan that is in force, as it is stored; None as far as is known."""
        self._threads = [
            threading.Thread(target=self._follow, name="routes", daemon=True),
            threading.Thread(
                target=self._listening.run, args=(self._is_over,), name="listening", daemon=True),
            threading.Thread(target=self._send, name="measurements", daemon=True)]

    def start(self) -> None:
        """Begin to follow the store and to send."""
        for thread in self._threads:
            thread.start()

    def tick(self) -> None:
        """Read the log and judge by it; call it ten times a second."""
        self._log.run("access log", self._measuring.tick)
        self._log.run("judging", self._judging.tick)
        if self._throttle.is_due("certificates", CERTIFICATES_SECONDS):
            self._log.run("certificates", self._rewritten.look)

    def end(self) -> None:
        """End the threads, and send what is there."""
        self._is_over.set()
        self._is_news.set()
        self._measuring.is_new.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        if not self._card.is_replaced:
            self._log.run("last measurements", self._measuring.finish)

    def _follow(self) -> None:
        """Ask at once when the store says that something changed, and now and then all the same.

        Words may stop at any moment: whether they still come is looked at ten times a second.
        """
        asked = time.monotonic()
        while not self._is_over.is_set():
            is_news = self._is_news.wait(POLL_SECONDS)
            # one that comes just now, after the wait, is found by the next
            if is_news:
                self._is_news.clear()
            if self._is_over.is_set():
                return
            pause = self._following.pause(is_heard=self._listening.is_heard)
            if is_news or time.monotonic() - asked >= pause:
                self._log.run("routes and store", self._following.step)
                asked = time.monotonic()

    def _send(self) -> None:
        """Send each second as soon as it is summed."""
        while not self._is_over.is_set():
            self._measuring.is_new.wait(1.0)
            self._measuring.is_new.clear()
            if self._is_over.is_set():
                return
            # what two nodes measured under one name would replace each other
            if not self._card.is_replaced:
                self._log.run("measurements", self._save)
            if not self._knows_baseline and self._throttle.is_due("baseline", BASELINE_SECONDS):
                self._log.run("how the baseline answers", self._know_baseline)
            if self._throttle.is_due("plan", PLAN_SECONDS):
                self._log.run("plan", self._read_plan)

    def _save(self) -> None:
        before = self._card.measured_until
        self._measuring.save()
        # at once: who judges waits for this word a moment
        if self._card.measured_until != before:
            self._card.sign(self._site.store)

    def _know_baseline(self) -> None:
        """Read how the baseline answered on all gateways: at 100 % it answers nobody here."""
        end = clock.now()
        found = samples.series(self._site.store, self._site.migration, System.BASELINE,
                               start=end - USUAL, end=end, points=USUAL // HOUR)
        self._judging.usual = combine(found, seconds=USUAL.total_seconds()) if found else None
        self._knows_baseline = True

    def _read_plan(self) -> None:
        """Read the plan when it was amended; here, since whoever judges must not wait for it."""
        store, migration = self._site.store, self._site.migration
        newest = plans.digest(store, migration)
        if newest in ("", self._digest):
            self.amended, self._newest, self._card.old_plan = None, self._digest, ""
        elif newest != self._newest:
            try:
                self.amended, self._newest = plans.load(store, migration), newest
            except Exception as error:
                self._card.old_plan = f"goes on with the plan of before: {error}"
                raise
