"""Judging the plan's triggers on the node's own traffic, while it is cut off from the store.

While the store answers, the main machine's observer judges what all gateways measure, and this only
remembers what was measured, and how the baseline answers. Cut off, the node steps the same triggers
(`Watch`, `FastWatch`) through the seconds since the store was heard of last. A trigger's `for`
begins anew there; its window reaches back. Only traffic is known here: no probes of the candidate,
outcomes, comparisons, sources or evidence of a stage, so triggers that need those say nothing.

Nobody is moved before the store was silent for some seconds in which the node was awake (`Awake`),
nor under maintenance: its answer is everybody's, and the baseline's would be another one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from changeover.analysis.trigger import Firing
from changeover.analysis.window import Sample, Window
from changeover.domain.own_moves import FIRING, LOST
from changeover.domain.routing import ON_USERS, Mode, RoutingState, users_come
from changeover.gateway.accesslog import Entry
from changeover.node.awake import Awake
from changeover.node.baseline_health import BaselineHealth
from changeover.node.card import Card
from changeover.node.own_moves import OwnMoves
from changeover.observer.fast_watch import FastWatch
from changeover.observer.throttle import LogOnce
from changeover.observer.watch import Watch
from changeover.plan.model import PhaseKind, Plan
from changeover.plan.triggers import TriggerAction
from changeover.plan.units import format_duration

MOST_LEARNED = 120
"""Seconds of which is learned at once how the baseline answers, after a pause."""


class Judging:
    """Belongs to the thread that reads the access log.

    Args:
        plan: The plan in force.
        card: Where users are, and since when the store is silent.
        moves: Sends users to the baseline.
        log: Where problems are logged.
    """

    def __init__(self, plan: Plan, card: Card, moves: OwnMoves, log: LogOnce) -> None:
        self._plan, self._card, self._moves, self._log = plan, card, moves, log
        triggers = [spec for spec in plan.triggers if spec.action is TriggerAction.ROLLBACK]
        self._watch = Watch(plan.model_copy(update={"triggers": triggers}))
        self._fast, self._awake = FastWatch(plan), Awake()
        # at 100 % nobody else says that the baseline is well
        self._health = BaselineHealth(plan, lambda at, is_up: self._fast.probed(
            "baseline", at, is_up=is_up))
        self.usual: Window | None = None
        """How the baseline answered before; set by another thread, learned by the next turn."""
        self._before = RoutingState(plan.migration)
        self._measured, self._learned = 0, int(time.time())
        self._next: int | None = None
        self._due: Firing | None = None

    def read(self, entries: Iterable[Entry]) -> None:
        """Add requests in the order of the log."""
        self._fast.read(entries)

    def feed(self, changed: Iterable[Sample], until: int) -> None:
        """Add measured seconds; all before `until` (Unix second) are complete."""
        self._watch.feed(changed)
        self._measured = until

    def set_back(self, to: int) -> None:
        """Note that the clock was set back to a second."""
        self._watch.set_back(to)
        self._measured, self._learned = min(self._measured, to), min(self._learned, to)
        if self._next is not None:
            self._next = min(self._next, to)

    def tick(self) -> None:
        """Judge what is new while the store is away, and send users back when that is due."""
        state = self._follow()
        self._awake.turn(self._card.silence, time.monotonic())
        self._learn()
        if not self._card.is_cut_off:
            self._next = self._due = None
            self._watch.forget(self._measured)
            return
        if state.maintenance or state.mode not in ON_USERS:
            return
        self._health.ask()
        # a fault of one must not keep the other from being seen
        self._log.run("triggers", lambda: self._judge(state))
        self._log.run("own rollback", lambda: self._act(state))

    def _learn(self) -> None:
        """Learn how the baseline answers, for when it serves nobody and nobody can be asked."""
        usual, self.usual = self.usual, None
        if usual is not None:
            self._watch.know_baseline(usual)
        # seconds that are judged are learned then
        if self._next is None:
            first = max(self._learned, self._measured - MOST_LEARNED)
            for second in range(first, self._measured):
                self._watch.learn(second)
        self._learned = max(self._learned, self._measured)

    def _follow(self) -> RoutingState:
        """Return where this node's users are; what was measured before they came counts no more."""
        state = self._card.state or RoutingState(self._plan.migration)
        if self._moves.journal is not None:
            state = RoutingState(self._plan.migration, epoch=state.epoch, version=state.version)
        if users_come(self._before, state):
            self._watch.restart(since=int(time.time()))
            self._fast.restart()
        self._before = state
        # every request of the next second was routed after the move
        self._watch.follow_segments(state, at=int(time.time()) + 1)
        return state

    def _judge(self, state: RoutingState) -> None:
        if self._next is None:
            self._next = int(time.time() - (self._card.silence or 0))
            self._watch.restart(since=self._watch.since)
        fast = self._fast.firing(time.time())
        fired = [fast] if fast is not None else []
        for second in range(self._next, self._measured):
            fired += [firing for action, firing in self._watch.step(second)
                      if action is TriggerAction.ROLLBACK]
            self._watch.pop_cleared()
        self._next = max(self._next, self._measured)
        # they return in steps already, and what is not urgent asks for no more
        if state.mode is Mode.RETURNING:
            fired = [each for each in fired if each.is_urgent]
        self._due = self._due or next(iter(fired), None)

    def _act(self, state: RoutingState) -> None:
        """Send users to the baseline when a trigger fired, or when the node is lost."""
        due, after = self._due, self._plan.routing.lost_after
        if due is not None:
            if self._may_go_back(self._may_be_out_of_use):
                self._make(f"trigger {due.trigger}: {due.reason}", {FIRING: _as_fact(due)})
            return
        if after is None or self._awake.seconds < after.total_seconds():
            return
        # it answers perhaps, and is not in use any more: nothing fired that would be worse
        if self._may_be_out_of_use and state.mode is Mode.CANDIDATE_ONLY:
            self._log.problem("lost", "users stay at the candidate although the store has not "
                              f"answered for {format_duration(after)} (routing.lost_after): the "
                              "baseline may be out of use by now")
            return
        if self._may_go_back(True):
            self._make(f"the store has not answered for {format_duration(after)} "
                       "(routing.lost_after)", {LOST: True})

    def _make(self, reason: str, facts: Mapping[str, Any]) -> None:
        # at the last moment: who stood still since this turn began believes what was before
        self._awake.turn(self._card.silence, time.monotonic())
        if self._card.is_cut_off and self._awake.is_sure:
            self._moves.make(reason, actor=f"gateway node {self._card.who.name}", facts=facts)
            self._due = None

    @property
    def _may_be_out_of_use(self) -> bool:
        """Whether the baseline may be gone by plan: only the store would know."""
        return (self._plan.cutover.disable_baseline is not None
                or self._plan.phase(PhaseKind.DEPRECATION) is not None)

    def _may_go_back(self, asks: bool) -> bool:
        """Whether users may be sent to the baseline, which is asked first where that is wise."""
        if not asks:
            return True
        is_well = self._health.is_well
        if is_well:
            self._log.fine("baseline", "the baseline is well again")
        elif is_well is not None:
            self._log.problem("baseline", "users are not sent to the baseline: it is not well")
        return bool(is_well)


def _as_fact(firing: Firing) -> dict[str, object]:
    return {"trigger": firing.trigger, "reason": firing.reason, "second": firing.at,
            "evidence": dict(firing.evidence), "scope": firing.scope, "is_urgent": firing.is_urgent}
