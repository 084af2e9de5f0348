"""Triggers: when they fire, and when they are over. Second by second. Pure.

What a second says of a condition is a `Judged`; where it comes from (a window here, an error budget
or the evidence of buckets elsewhere) does not matter to the state machine:

1. Seconds in which the condition is known to be true add up until it is known to be false.
2. A second counts only when the one before it was true as well. So a gap in the data, and a step of
   the clock in either direction, neither starts, extends, completes nor ends anything.
3. When they make up the whole of `for`, the trigger fires, once.
4. It is over when the value was back, beyond a bound of its own, for the whole of `clear_for`.
   Until then it does not fire again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from changeover.analysis.check import evaluate, needed_samples
from changeover.analysis.window import Measured, Window
from changeover.domain.rollbacks import Stands
from changeover.domain.verdict import Verdict
from changeover.plan.triggers import TriggerSpec


@dataclass(frozen=True, slots=True)
class Judged:
    """What a second says of a trigger's condition.

    Args:
        is_true: Whether the condition is true; None while nobody knows.
        is_back: Whether the value is where a trigger that fired is over; None while nobody knows.
        reason: One sentence with the numbers.
        value: The value in base units, if there is one.
        numbers: What stands behind it, for people and programs.
    """

    is_true: bool | None
    is_back: bool | None
    reason: str
    value: float | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TriggerState:
    """What a trigger remembers; all of it survives a restart. Times are Unix seconds.

    Args:
        held_since: When the condition was first true and never false since.
        held_seconds: For how long of that time it was known to be true.
        true_at: The last second looked at when the condition was true in it; else None.
        fired_at: When it fired, while it is not over.
        back_seconds: For how long the value has been known to be back.
        back_at: The last second looked at when the value was back in it; else None.
        cleared_at: When it was over the last time.
    """

    held_since: int | None = None
    held_seconds: int = 0
    true_at: int | None = None
    fired_at: int | None = None
    back_seconds: int = 0
    back_at: int | None = None
    cleared_at: int | None = None

    @property
    def stands(self) -> tuple[Stands, int | None]:
        """How it stands, and since when; None when it never did otherwise."""
        if self.fired_at is not None:
            return Stands.FIRING, self.fired_at
        if self.held_since is not None:
            return Stands.HOLDING, self.held_since
        if self.cleared_at is not None:
            return Stands.CLEARED, self.cleared_at
        return Stands.ARMED, None

    def document(self) -> dict[str, int | None]:
        """Return it for the store."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Firing:
    """A trigger's condition held for its whole duration; `at` is the second that completed it."""

    trigger: str
    reason: str
    at: int
    evidence: dict[str, Any]
    scope: str | None = None
    """What the trigger watches and goes back alone, `segment:beta` or `route:orders`; None: all."""
    is_urgent: bool = True
    """Whether everyone returns at once, whatever the plan says of returns in steps."""
    is_of_now: bool = False
    """Whether what was before users came is known not to be in it, whatever second it tells."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """A trigger that fired is over; `at` is the second that completed it."""

    trigger: str
    reason: str
    at: int
    fired_at: int


def judge_windows(spec: TriggerSpec, own: Window, baseline: Window | None) -> Judged:
    """Return what two windows of measurements say of a trigger's condition.

    Args:
        spec: The trigger.
        own: The window of its system that ends with the second.
        baseline: The baseline's window, for bounds that are relative to it.
    """
    needed = needed_samples(spec, own.seconds)
    measured = own.measure(spec.measured.name)
    other = baseline.measure(spec.measured.name) if baseline else None
    verdict, reason = evaluate(spec, measured, other, needed=needed)
    numbers = {
        "value": measured.value, "samples": measured.samples, "window_seconds": own.seconds,
        "baseline_value": other.value if other else None,
    }
    if verdict is Verdict.INCONCLUSIVE:
        return Judged(None, None, reason, measured.value, numbers)
    # A trigger's own bound describes what is bad; one relative to the baseline what is allowed.
    is_true = (verdict is Verdict.PASS) != spec.is_to_baseline
    compared = _compared(spec, measured, other)
    is_back = not is_true and (compared is None or spec.is_back(compared))
    return Judged(is_true, is_back, reason, measured.value, numbers)


def _compared(spec: TriggerSpec, measured: Measured, other: Measured | None) -> float | None:
    """Return what a bound is compared with; None for a ratio of nothing to nothing."""
    value = measured.value or 0.0
    if not spec.is_to_baseline:
        return value
    baseline = (other.value if other else None) or 0.0
    if spec.bound_name == "difference_to_baseline":
        return value - baseline
    return value / baseline if baseline else None


def step(
    spec: TriggerSpec, state: TriggerState, judged: Judged, *, at: int
) -> tuple[TriggerState, Firing | Cleared | None]:
    """Return the trigger's next state, and what it tells of the second `at`, if anything.

    Args:
        spec: The trigger.
        state: What it remembers.
        judged: What the second says.
        at: Unix time of the second that was just completed.
    """
    if state.fired_at is not None:
        return _step_firing(spec, state, judged, at)
    if judged.is_true is None:
        return replace(state, true_at=None), None
    if not judged.is_true:
        return TriggerState(cleared_at=state.cleared_at), None
    # A second counts only when the one before it was true as well: unknown ones do not.
    held = state.held_seconds + (state.true_at == at - 1)
    # After a step of the clock backwards the start may lie ahead.
    since = at if state.held_since is None else min(state.held_since, at)
    state = replace(state, held_since=since, held_seconds=held, true_at=at)
    if held < spec.for_.total_seconds():
        return state, None
    evidence = {
        "metric": spec.measured.name, "of": spec.of, "held_since": since, "second": at,
        **judged.numbers,
    }
    # Evidence and budgets look back by themselves.
    lasting = "" if spec.is_by_itself and not spec.for_ else f", for {held} s"
    reason = judged.reason + lasting
    firing = Firing(spec.name, reason, at, evidence, scope=spec.subset,
                    is_urgent=spec.urgent)
    return TriggerState(held_since=since, fired_at=at, cleared_at=state.cleared_at), firing


def _step_firing(
    spec: TriggerSpec, state: TriggerState, judged: Judged, at: int
) -> tuple[TriggerState, Cleared | None]:
    """Return the next state of a trigger that fired, and that it is over, if it is."""
    # Unknown seconds neither count as quiet nor undo those that were.
    if judged.is_back is None:
        return replace(state, back_at=None), None
    if not judged.is_back:
        return replace(state, back_seconds=0, back_at=None), None
    back = state.back_seconds + (state.back_at == at - 1)
    state = replace(state, back_seconds=back, back_at=at)
    if back < spec.quiet_for.total_seconds():
        return state, None
    cleared = Cleared(spec.name, judged.reason, at, state.fired_at or at)
    return TriggerState(cleared_at=at), cleared
