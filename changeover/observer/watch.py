"""All triggers of a plan over the recent samples, in memory: works while the store is away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from changeover.analysis.external import judge_readings
from changeover.analysis.sequential.watching import Weighed, judge_evidence
from changeover.analysis.trigger import (
    Cleared,
    Firing,
    Judged,
    TriggerState,
    judge_windows,
    step,
)
from changeover.analysis.window import Sample, Window
from changeover.domain.comparisons import PlaceCount
from changeover.domain.readings import Reading
from changeover.domain.routing import RoutingState
from changeover.domain.stages import stage_at
from changeover.observer.budget_watch import BudgetWatch
from changeover.observer.guardrail_watch import GUARDRAIL_WINDOWS, GuardrailWatch
from changeover.observer.recent import Recent, Span
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import Plan
from changeover.plan.subsets import subset_of_route
from changeover.plan.triggers import TriggerAction, TriggerSpec

MOST_REPLAYED = 300_000
"""Samples that are evaluated again after a restart, at most: about two seconds of work."""


class ExternalReadings(Protocol):
    """Knows what sources said."""

    def reading(self, spec: TriggerSpec, system: str, *, at: int, since: int) -> Reading | None:
        """Return what was known of a trigger's metric at the end of a second."""
        ...


class Watch:
    """Steps every trigger, and the guardrails that roll back, once for each completed second.

    `memory_seconds` of samples are needed to know what was true before a restart;
    `replay_seconds` of them are stepped through again.

    Args:
        plan: The plan with its triggers.
        external: What sources say of external metrics; None: nothing is known of them.
    """

    def __init__(self, plan: Plan, external: ExternalReadings | None = None) -> None:
        self._external, self._plan = external, plan
        self._stage: str | None = None
        self._knows_stage = False
        self._triggers = plan.triggers
        self._states = {spec.name: TriggerState() for spec in plan.triggers}
        self._judged: dict[str, Judged] = {}
        self._recent = Recent()
        self._guardrails = GuardrailWatch(plan, self._recent)
        self._cleared: list[Cleared] = []
        self._moved: frozenset[str] | None = None  # not known yet
        self._begun: dict[str, int] = {}
        self.budgets = {spec.name: BudgetWatch(spec) for spec in plan.triggers if spec.budget}
        self._weighed: Mapping[str, Weighed] = {}
        self.places = frozenset(spec.path for spec in plan.triggers if spec.path)
        self.has_outcomes = any(
            METRICS[spec.metric].source is Source.OUTCOME for spec in plan.triggers)
        longest = max((_seconds(spec) for spec in plan.triggers), default=10)
        of_triggers = sum(int(spec.window.total_seconds()) for spec in plan.triggers)
        cost = of_triggers + sum(GUARDRAIL_WINDOWS)
        self.memory_seconds = int(longest) + 60
        self.replay_seconds = min(self.memory_seconds, MOST_REPLAYED // max(1, cost))

    @property
    def since(self) -> int:
        """The second at which windows begin at the earliest."""
        return self._recent.since

    @property
    def states(self) -> dict[str, TriggerState]:
        """What each trigger remembers."""
        return dict(self._states)

    @property
    def judged(self) -> dict[str, Judged]:
        """What the newest second said of each trigger's condition."""
        return dict(self._judged)

    def restart(self, *, since: int) -> None:
        """Forget what was true; windows begin at second `since` at the earliest."""
        self._states = {name: TriggerState() for name in self._states}
        self._judged.clear()
        self._weighed = {}
        self._guardrails.restart()
        self._recent.since = since

    def resume(
        self, states: Mapping[str, TriggerState], *, since: int,
        begun: Mapping[str, int] | None = None, moved: Iterable[str] = (),
    ) -> None:
        """Go on where an observer before stopped; triggers that it did not know begin anew.

        Args:
            states: What each trigger remembered.
            since: The second at which windows begin at the earliest.
            begun: What `begun` was.
            moved: What `moved` was.
        """
        # a trigger that an amended plan has no more is left out
        self._states |= {name: state for name, state in states.items() if name in self._states}
        self._recent.since = since
        self._begun, self._moved = dict(begun or {}), frozenset(moved)

    @property
    def begun(self) -> dict[str, int]:
        """The second at which windows of some triggers begin: their segment was moved then."""
        return dict(self._begun)

    @property
    def moved(self) -> frozenset[str]:
        """The segments that are moved, and with a `-` those kept at the baseline."""
        return self._moved or frozenset()

    def follow_segments(self, state: RoutingState, *, at: int) -> None:
        """Note which stage it is, and which segments have a place of their own.

        Triggers of a segment that moved begin anew, and those of stages that were entered or left.

        Args:
            state: The routing state.
            at: The first second of which everything was measured after the move.
        """
        self._follow_stage(state, at=at)
        before = self._moved
        routes = [subset_of_route(name) for name, _ in state.routes]
        kept = [*state.kept, *map(subset_of_route, state.kept_routes)]
        self._moved = frozenset([*state.segments, *routes, *(f"-{name}" for name in kept)])
        # right after a start nothing has moved: nobody knew of any segment before
        if before is None:
            return
        changed = {name.removeprefix("-") for name in before ^ self._moved}
        for spec in self._triggers:
            if spec.part in changed:
                self._states[spec.name] = TriggerState()
                self._begun[spec.name] = at

    def _follow_stage(self, state: RoutingState, *, at: int) -> None:
        before, self._stage = self._stage, stage_at(state, self._plan)
        # right after a start nothing was entered: what is remembered stays
        was_known, self._knows_stage = self._knows_stage, True
        for spec in self._triggers if was_known and before != self._stage else ():
            if spec.stages and (before in spec.stages) is not (self._stage in spec.stages):
                self._states[spec.name] = TriggerState()
                self._begun[spec.name] = at

    def set_back(self, to: int) -> None:
        """Note that the clock was set back to a second: nothing ends, and nothing fires by it.

        What was measured of seconds that are still to come is of the time before the step. It is
        forgotten, so that those seconds are judged by what happens in them.
        """
        self._recent.set_back(to)
        self._guardrails.set_back(to)
        for budget in self.budgets.values():
            budget.set_back(to)

    def know_baseline(self, window: Window) -> None:
        """Remember how the baseline answered while it served users, for when it serves none."""
        self._guardrails.know_baseline(window)

    def learn(self, at: int) -> None:
        """Learn from second `at` how the baseline answers; nothing is judged."""
        self._guardrails.learn(at)

    def withhold(self, second: int) -> None:
        """Note that back-pressure sends the candidate's requests to the baseline in this second.

        They count against the candidate all the same, but nobody asked it, so guardrails do not
        fire until it is asked again: some seconds of back-pressure must not cause a rollback.
        """
        self._guardrails.withhold(second)

    def feed(self, samples: Iterable[Sample]) -> None:
        """Add samples, replacing those of the same second."""
        for sample in samples:
            for budget in self.budgets.values():
                # before it is replaced below: the budget takes back what was known of the second
                budget.feed(sample, self._recent.sample(sample.system, sample.at))
            self._recent.feed([sample])

    def feed_places(self, counts: Mapping[str, Mapping[int, PlaceCount]]) -> None:
        """Set how often single places differ: {place: {start of ten seconds: its counts}}."""
        self._recent.feed_places(counts)

    def feed_evidence(self, weighed: Mapping[str, Weighed]) -> None:
        """Set what the evidence of the present stage says of the triggers that need it."""
        self._weighed = weighed

    def step(self, at: int) -> list[tuple[TriggerAction, Firing]]:
        """Return the triggers and guardrails that fire with second `at`, with what they do."""
        fired = [(TriggerAction.ROLLBACK, firing) for firing in self._guardrails.step(at)]
        for spec in self._triggers:
            judged = self._judge(spec, at)
            self._judged[spec.name] = judged
            self._states[spec.name], news = step(spec, self._states[spec.name], judged, at=at)
            if isinstance(news, Firing):
                fired.append((spec.action, news))
            elif news is not None:
                self._cleared.append(news)
        self.forget(at)
        return fired

    def forget(self, at: int) -> None:
        """Forget what no trigger asks for at second `at` or later."""
        self._recent.forget(at - self.memory_seconds - 60)

    def pop_cleared(self) -> list[Cleared]:
        """Return the triggers that are over since the last call."""
        found, self._cleared = self._cleared, []
        return found

    def _judge(self, spec: TriggerSpec, at: int) -> Judged:
        if spec.stages and self._stage not in spec.stages:
            listed = ", ".join(spec.stages)
            return Judged(None, None, f"watched only in {listed}", None, {})
        if spec.is_external:
            return self._judge_external(spec, at)
        if spec.name in self.budgets:
            since = max(self._recent.since, self._begun.get(spec.name, 0))
            return self.budgets[spec.name].judge(at, since)
        seconds = max(1, int(spec.window.total_seconds()))
        metric = spec.measured
        span = Span(spec.of, seconds, spec.part, spec.path, self._begun.get(spec.name),
                    metric.source, metric.quantile is not None)
        own, baseline = self._recent.window(span, at), None
        if spec.is_to_baseline:
            baseline = self._recent.window(replace(span, system="baseline"), at)
        measured = judge_windows(spec, own, baseline)
        if not spec.is_sequential:
            return measured
        return judge_evidence(self._weighed.get(spec.name), measured, at=at)

    def _judge_external(self, spec: TriggerSpec, at: int) -> Judged:
        """Judge what sources had said by the end of a second; nobody is asked here."""
        known = self._external
        if known is None:
            return judge_readings(spec, None, None)
        since = max(self._recent.since, self._begun.get(spec.name, self._recent.since))
        own = known.reading(spec, spec.of, at=at, since=since)
        baseline = None
        if spec.is_to_baseline:
            baseline = known.reading(spec, "baseline", at=at, since=since)
        return judge_readings(spec, own, baseline)


def _seconds(spec: TriggerSpec) -> float:
    # a trigger may last for days: an hour of seconds is kept at most
    return spec.window.total_seconds() + min(spec.for_.total_seconds(), 3600)
