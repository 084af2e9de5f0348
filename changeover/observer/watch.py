"""All triggers of a plan over the recent samples, in memory: works while the store is away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from changeover.analysis.trigger import Firing, TriggerState, step
from changeover.analysis.window import (
    GATEWAY,
    SHADOW,
    Sample,
    Window,
    combine,
    of_gateway,
    outcomes_of,
)
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import Plan, TriggerSpec
from changeover.store.place_counts import PlaceCount, step_of

MOST_REPLAYED = 300_000
"""Samples that are looked at again after a restart, at most: about two seconds of work."""


class Watch:
    """Steps every trigger once for each completed second.

    `memory_seconds` of samples are needed to know what held before a restart;
    `replay_seconds` of them are stepped through again.

    Args:
        plan: The plan with its triggers.
    """

    def __init__(self, plan: Plan) -> None:
        self._triggers = plan.triggers
        self._states: dict[str, TriggerState] = defaultdict(TriggerState)
        self._recent: dict[str, dict[int, Sample]] = defaultdict(dict)
        self._since = 0
        self._places: Mapping[str, Mapping[int, PlaceCount]] = {}
        self.places = frozenset(spec.path for spec in plan.triggers if spec.path)
        self.has_outcomes = any(
            METRICS[spec.metric].source is Source.OUTCOME for spec in plan.triggers)
        longest = max((_seconds(spec) for spec in plan.triggers), default=10)
        cost = sum(int(spec.over.total_seconds()) for spec in plan.triggers)
        self.memory_seconds = int(longest) + 60
        self.replay_seconds = min(self.memory_seconds, MOST_REPLAYED // max(1, cost))

    def restart(self, *, since: int) -> None:
        """Forget what was held; windows look at nothing before second `since`."""
        self._states.clear()
        self._since = since

    def feed(self, samples: Iterable[Sample]) -> None:
        """Take samples, replacing those of the same second."""
        for sample in samples:
            is_gateways = sample.system == GATEWAY
            self._recent[sample.system][sample.at] = of_gateway(sample) if is_gateways else sample

    def feed_places(self, counts: Mapping[str, Mapping[int, PlaceCount]]) -> None:
        """Take how often single places differ: {place: {start of ten seconds: its counts}}."""
        self._places = counts

    def step(self, at: int) -> list[tuple[TriggerSpec, Firing]]:
        """Return the triggers that second `at` completes."""
        fired = []
        for spec in self._triggers:
            own = self._window(spec.of, at, spec)
            needs_baseline = spec.is_to_baseline
            baseline = self._window("baseline", at, spec) if needs_baseline else None
            state, firing = step(spec, self._states[spec.name], own, baseline, at=at)
            self._states[spec.name] = state
            if firing is not None:
                fired.append((spec, firing))
        self._forget(at - self.memory_seconds - 60)
        return fired

    def _window(self, system: str, at: int, spec: TriggerSpec) -> Window:
        seconds = max(1, int(spec.over.total_seconds()))
        start = max(at - seconds + 1, self._since)
        names = (system, GATEWAY, outcomes_of(system, spec.segment),
                 *((SHADOW,) if system == "candidate" else ()))
        found = combine(
            (self._recent[name][second] for name in names for second in range(start, at + 1)
             if second in self._recent[name]),
            seconds=seconds,
        )
        if not spec.path:
            return found
        counts = [each for step_at, each in self._places.get(spec.path, {}).items()
                  if step_of(start) <= step_at <= at]
        compared = sum(each.compared for each in counts)
        return replace(
            found, compared=compared, matched=compared - sum(each.diverged for each in counts))

    def _forget(self, before: int) -> None:
        for rows in self._recent.values():
            for at in [at for at in rows if at < before]:
                del rows[at]


def _seconds(spec: TriggerSpec) -> float:
    return spec.over.total_seconds() + min(spec.for_.total_seconds(), 3600)
