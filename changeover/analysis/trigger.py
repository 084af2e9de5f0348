"""Triggers: conditions that must hold for the whole of `for`, second by second. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from changeover.analysis.check import evaluate, needed_samples
from changeover.analysis.window import Window
from changeover.domain.verdict import Verdict
from changeover.plan.triggers import TriggerSpec


@dataclass(frozen=True, slots=True)
class TriggerState:
    """What a trigger remembers.

    Args:
        held_since: Unix second in which the condition was first true and never false since.
        held_seconds: For how long of that time it was known to be true.
        true_at: The last second looked at when the condition was true in it; else None.
        has_fired: Whether it fired and the condition has not been false since.
    """

    held_since: int | None = None
    held_seconds: int = 0
    true_at: int | None = None
    has_fired: bool = False


@dataclass(frozen=True, slots=True)
class Firing:
    """A trigger's condition held for its whole duration; `at` is the second that completed it."""

    trigger: str
    reason: str
    at: int
    evidence: dict[str, Any]


def step(
    spec: TriggerSpec, state: TriggerState, own: Window, baseline: Window | None, *, at: int
) -> tuple[TriggerState, Firing | None]:
    """Return the trigger's next state and its firing, if the second `at` completes one.

    Without enough data nothing is known: that neither starts, extends, completes nor ends a hold.
    After firing it stays quiet until the condition was false once.

    Args:
        spec: The trigger.
        state: What it remembers.
        own: The window of its system that ends with second `at`.
        baseline: The baseline's window, for ratios.
        at: Unix time of the second that was just completed.
    """
    needed = needed_samples(spec, own.seconds)
    measured = own.measure(spec.metric)
    other = baseline.measure(spec.metric) if baseline else None
    verdict, reason = evaluate(spec, measured, other, needed=needed)
    if verdict is Verdict.INCONCLUSIVE:
        return replace(state, true_at=None), None
    is_true = (verdict is Verdict.PASS) != spec.is_to_baseline
    if not is_true:
        return TriggerState(), None
    # A second counts only when the one before it was true as well: unknown ones do not.
    held = state.held_seconds + (state.true_at == at - 1)
    held_since = at if state.held_since is None else state.held_since
    state = replace(state, held_since=held_since, held_seconds=held, true_at=at)
    if state.has_fired or held < spec.for_.total_seconds():
        return state, None
    evidence = {
        "metric": spec.metric, "of": spec.of, "value": measured.value,
        "samples": measured.samples, "held_since": held_since, "second": at,
        "window_seconds": own.seconds, "baseline_value": other.value if other else None,
    }
    firing = Firing(spec.name, f"{reason}, for {held} s", at, evidence)
    return replace(state, has_fired=True), firing
