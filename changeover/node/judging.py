"""Judging the plan's triggers on the node's own traffic, while it is cut off from the store.

While the store answers, the main machine's observer judges what all gateways measure, and this only
remembers what was measured. Cut off, the node steps the same triggers (`Watch`, `FastWatch`)
through the seconds since the store was heard of last. A trigger's `for` begins anew there; its
window reaches back. Only traffic is known here: no probes, outcomes, comparisons, sources or
evidence of a stage, so triggers that need those say nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from changeover.analysis.trigger import Firing
from changeover.analysis.window import Sample
from changeover.domain.own_moves import FIRING, LOST
from changeover.domain.routing import ON_USERS, RoutingState, users_come
from changeover.gateway.accesslog import Entry
from changeover.node.card import Card
from changeover.node.own_moves import OwnMoves
from changeover.observer.fast_watch import FastWatch
from changeover.observer.throttle import LogOnce, Throttle
from changeover.observer.watch import Watch
from changeover.plan.model import PhaseKind, Plan
from changeover.plan.triggers import TriggerAction
from changeover.plan.units import format_duration
from changeover.procedures import baseline

AGAIN_SECONDS = 2.0
"""How often the baseline is asked whether users may come, while it is not well."""


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
        self._fast, self._throttle = FastWatch(plan), Throttle()
        self._before = RoutingState(plan.migration)
        self._measured = 0
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
        self._measured = min(self._measured, to)
        if self._next is not None:
            self._next = min(self._next, to)

    def tick(self) -> None:
        """Judge what is new while the store is away, and send users back when that is due."""
        state = self._follow()
        if not self._card.is_cut_off:
            self._next = self._due = None
            self._watch.forget(self._measured)
            return
        # a fault of one must not keep the other from being seen
        if state.mode in ON_USERS:
            self._log.run("triggers", self._judge)
            self._log.run("own rollback", self._act)

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

    def _judge(self) -> None:
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
        self._due = self._due or next(iter(fired), None)

    def _act(self) -> None:
        """Send users to the baseline when a trigger fired, or when the node is lost."""
        due, after = self._due, self._plan.routing.lost_after
        if due is not None:
            if self._may_go_back(self._may_be_out_of_use):
                self._moves.make(
                    f"trigger {due.trigger}: {due.reason}", actor=self._actor,
                    facts={FIRING: _as_fact(due)})
                self._due = None
            return
        if after is None or (self._card.silence or 0) < after.total_seconds():
            return
        if self._may_go_back(True):
            self._moves.make(
                f"the store has not answered for {format_duration(after)} (routing.lost_after)",
                actor=self._actor, facts={LOST: True})

    @property
    def _actor(self) -> str:
        return f"gateway node {self._card.who.name}"

    @property
    def _may_be_out_of_use(self) -> bool:
        """Whether the baseline may be gone by plan: only the store would know."""
        return (self._plan.cutover.disable_baseline is not None
                or self._plan.phase(PhaseKind.DEPRECATION) is not None)

    def _may_go_back(self, asks: bool) -> bool:
        """Whether users may be sent to the baseline, which is asked first where that is wise."""
        if not asks:
            return True
        if not self._throttle.is_due("baseline", AGAIN_SECONDS):
            return False
        if baseline.is_well(self._plan):
            self._log.fine("baseline", "the baseline is well again")
            return True
        self._log.problem("baseline", "users are not sent to the baseline: it is not well")
        return False


def _as_fact(firing: Firing) -> dict[str, object]:
    return {"trigger": firing.trigger, "reason": firing.reason, "second": firing.at,
            "evidence": dict(firing.evidence), "scope": firing.scope, "is_urgent": firing.is_urgent}
