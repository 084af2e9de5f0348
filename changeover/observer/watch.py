"""All triggers of a plan over the recent samples, in memory: works while the store is away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from changeover.analysis.guardrails import COUNTED, ENOUGH, takes_all
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
from changeover.domain.comparisons import PlaceCount
from changeover.plan.guardrails import MEANINGS, Guardrail
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerAction, TriggerSpec
from changeover.store.place_counts import step_of

MOST_REPLAYED = 300_000
"""Samples that are evaluated again after a restart, at most: about two seconds of work."""
GUARDRAIL_WINDOWS = (5, 10, 30, 60)
"""Windows of a guardrail in seconds: the shortest with enough requests is used."""
GUARDRAIL_SECONDS = 3
"""Seconds for which all requests must end badly before a guardrail rolls back."""


class Watch:
    """Steps every trigger, and the guardrails that roll back, once for each completed second.

    `memory_seconds` of samples are needed to know what was true before a restart;
    `replay_seconds` of them are stepped through again.

    Args:
        plan: The plan with its triggers.
    """

    def __init__(self, plan: Plan) -> None:
        self._triggers = plan.triggers
        self._states: dict[str, TriggerState] = defaultdict(TriggerState)
        self._guardrails = [name for name in COUNTED if plan.guardrails.is_on(name)
                         and MEANINGS[name].rolls_back]
        self._alarmed: dict[Guardrail, int] = {}
        self._baseline_before: Window | None = None
        self._withheld_to = 0
        self._recent: dict[str, dict[int, Sample]] = defaultdict(dict)
        self._since = 0
        self._places: Mapping[str, Mapping[int, PlaceCount]] = {}
        self.places = frozenset(spec.path for spec in plan.triggers if spec.path)
        self.has_outcomes = any(
            METRICS[spec.metric].source is Source.OUTCOME for spec in plan.triggers)
        longest = max((_seconds(spec) for spec in plan.triggers), default=10)
        of_triggers = sum(int(spec.over.total_seconds()) for spec in plan.triggers)
        cost = of_triggers + sum(GUARDRAIL_WINDOWS)
        self.memory_seconds = int(longest) + 60
        self.replay_seconds = min(self.memory_seconds, MOST_REPLAYED // max(1, cost))

    def restart(self, *, since: int) -> None:
        """Forget what was true; windows begin at second `since` at the earliest."""
        self._states.clear()
        self._alarmed.clear()
        self._since = since

    def know_baseline(self, window: Window) -> None:
        """Remember how the baseline answered while it served users, for when it serves none."""
        self._baseline_before = window

    def withhold(self, second: int) -> None:
        """Note that back-pressure sends the candidate's requests to the baseline in this second.

        They count against the candidate all the same, but nobody asked it, so guardrails do not
        fire until it is asked again: some seconds of back-pressure must not cause a rollback.
        """
        self._withheld_to = max(self._withheld_to, second)

    def feed(self, samples: Iterable[Sample]) -> None:
        """Add samples, replacing those of the same second."""
        for sample in samples:
            is_gateways = sample.system == GATEWAY
            self._recent[sample.system][sample.at] = of_gateway(sample) if is_gateways else sample

    def feed_places(self, counts: Mapping[str, Mapping[int, PlaceCount]]) -> None:
        """Set how often single places differ: {place: {start of ten seconds: its counts}}."""
        self._places = counts

    def step(self, at: int) -> list[tuple[TriggerAction, Firing]]:
        """Return the triggers and guardrails that fire with second `at`, with what they do."""
        fired = [(TriggerAction.ROLLBACK, firing) for firing in self._step_guardrails(at)]
        for spec in self._triggers:
            own = self._window(spec.of, at, spec)
            needs_baseline = spec.is_to_baseline
            baseline = self._window("baseline", at, spec) if needs_baseline else None
            state, firing = step(spec, self._states[spec.name], own, baseline, at=at)
            self._states[spec.name] = state
            if firing is not None:
                fired.append((spec.action, firing))
        self._forget(at - self.memory_seconds - 60)
        return fired

    def _step_guardrails(self, at: int) -> list[Firing]:
        """Return the guardrails for which everything has gone wrong for `GUARDRAIL_SECONDS` now.

        A guardrail fires once, and again only after it was quiet for a second.
        """
        if not self._guardrails:
            return []
        if at <= self._withheld_to:
            self._alarmed.clear()
            return []
        own, baseline = self._last_requests("candidate", at), self._last_requests("baseline", at)
        if baseline is not None:
            self._baseline_before = baseline
        fired = []
        for name in self._guardrails:
            why = own and takes_all(name, own, self._baseline_before)
            lasted = self._alarmed.get(name, 0) + 1 if why else 0
            self._alarmed[name] = lasted
            if why and lasted == GUARDRAIL_SECONDS:
                fired.append(Firing(
                    trigger=f"guardrail {name}", reason=f"{why}, for {lasted} s", at=at,
                    evidence={"metric": MEANINGS[name].metric, "of": "candidate", "second": at}))
        return fired

    def _last_requests(self, system: str, at: int) -> Window | None:
        """Return a system's last seconds with enough requests; None when there are not so many."""
        rows = self._recent[system]
        for seconds in GUARDRAIL_WINDOWS:
            start = max(at - seconds + 1, self._since, self._withheld_to + 1)
            found = [rows[second] for second in range(start, at + 1) if second in rows]
            if sum(row.requests for row in found) >= ENOUGH:
                return combine(found, seconds=seconds)
        return None

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
