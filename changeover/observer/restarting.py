"""After a restart of the observer: its triggers go on where the observer before stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import System
from changeover.observer import budget_store
from changeover.observer.acting import Acting
from changeover.observer.trigger_memory import TriggerMemory
from changeover.observer.watch import Watch
from changeover.site.site import Site
from changeover.store import cutovers, firings, gateway_seconds, outcomes, samples

NOTED_WITHIN = 5
"""Seconds before a note of what triggers remember in which a firing may not be in it yet."""


@dataclass
class Restart:
    """Gives a new observer what the one before knew.

    Args:
        site: The migration on this machine.
        watch: The triggers, which know nothing yet.
        memory: What triggers remembered.
        acting: Learns what was announced before.
        began: Unix second in which this observer began.
    """

    site: Site
    watch: Watch
    memory: TriggerMemory
    acting: Acting
    began: int

    @property
    def _since(self) -> datetime:
        """Since when single seconds are needed."""
        return clock.from_timestamp(self.began - self.watch.memory_seconds)

    def feed(self, seen: Callable[[Sequence[Sample]], None] | None = None) -> list[Sample]:
        """Feed the triggers with what the store has; return the seconds of the systems.

        Args:
            seen: Called with the gateways' rows of each system and second.
        """
        store, migration, since = self.site.store, self.site.migration, self._since
        budgets = list(self.watch.budgets.values())
        budget_store.restore(self.site, budgets, since=int(since.timestamp()))
        # seconds to come were measured before the clock was set back
        known = [each for each in gateway_seconds.recent(
                     store, migration, since=since, seen=seen)
                 if each.at <= self.began]
        self.watch.feed(known)
        if self.watch.has_outcomes:
            self.watch.feed(outcomes.recent(store, migration, since=since))
        return known

    def resume(self, known: list[Sample], users_epoch: int | None) -> int:
        """Take up what triggers remembered; return the second from which on all is judged again.

        1. Triggers go on with what they remembered, and are stepped through the time since then.
        2. Without that, or when a cutover began since: from the start of the cutover at most.
        3. A rollback that is due then is done. Other firings are recorded only if they were not.

        Args:
            known: What `feed` returned.
            users_epoch: The routing's epoch while users are on the candidate; None when none are.
        """
        cutover = cutovers.latest(self.site.store, self.site.migration)
        begin, since = _begin(cutover), self._since
        self._know_baseline(cutover)
        # nothing is stored: the last second is where judging begins
        self.watch.restart(since=begin)
        first = min((sample.at for sample in known), default=self.began - 1)
        note = self.memory.load()
        # users who came since begin anew: what fired before was about others
        may_resume = note is not None and users_epoch in (None, note.users_epoch)
        if note is not None and may_resume and begin <= note.second < self.began:
            self.watch.resume(note.states, since=max(begin, note.since), begun=note.begun,
                              moved=note.moved)
            first = note.second + 1
            # what was recorded just before the note is in what triggers remember
            since = clock.from_timestamp(note.second - NOTED_WITHIN)
        recorded = firings.all_of(self.site.store, self.site.migration, since=since)
        self.acting.recorded_before = {firing.trigger for firing in recorded}
        return max(begin, first, self.began - self.watch.replay_seconds)

    def _know_baseline(self, cutover: Cutover | None) -> None:
        """Read how the baseline answered before the newest stage, in which it may serve nobody."""
        stages = cutovers.stages(self.site.store, cutover.id) if cutover else []
        # before the newest stage: in it, the baseline may serve too few to compare with
        end = stages[-1].entered_at if stages else clock.now()
        self.watch.know_baseline(samples.window(
            self.site.store, self.site.migration, str(System.BASELINE),
            start=end - timedelta(hours=24), end=end))


def _begin(cutover: Cutover | None) -> int:
    """Return the second since which triggers look at anything: nothing of an earlier cutover."""
    if cutover is None:
        return 0
    # after a rollback its end counts: what happened before was answered by it
    is_over = cutover.status in (CutoverStatus.ROLLED_BACK, CutoverStatus.FAILED)
    start = (cutover.ended_at if is_over else None) or cutover.started_at
    return int(start.timestamp()) + 1
