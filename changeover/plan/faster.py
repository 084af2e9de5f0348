"""A plan whose calendar runs faster, so that a migration of months is seen in minutes. Pure.

Everything that waits or measures by the calendar is divided by one factor, down to what can still
be measured. What belongs to one request, one probe or one answer stays: users are as patient as
ever. How verdicts are reached stays, too. The rule in words: `docs/migrations/README.md`.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, TypeVar

from changeover.errors import InvalidInput
from changeover.plan.budgets import BudgetSpec, BurnWindow
from changeover.plan.conditions import CheckSpec
from changeover.plan.fields import Part
from changeover.plan.hooks import HookSpec
from changeover.plan.model import PhaseSpec, Plan, StageSpec
from changeover.plan.people import ReviewsSpec
from changeover.plan.procedures import (
    ObserveSpec,
    PatienceSpec,
    PreconditionsSpec,
    ReturnSpec,
)
from changeover.plan.sources import CommandSource, JsonSource, PrometheusSource, SqlSource
from changeover.plan.suites import LoadCheck, SoakCheck
from changeover.plan.triggers import TriggerSpec

P = TypeVar("P", bound=Part)
SOAK = timedelta(seconds=8)
"""Shortest soak, and time of observation: traffic has to pass in it."""
WINDOW = timedelta(seconds=8)
"""Shortest window of a gate."""
TRIGGER_WINDOW = timedelta(seconds=2)
"""Shortest window of a trigger."""
LASTING = timedelta(seconds=3)
"""Shortest `for`: longer than the window, so that one bad moment does not fire."""
WAIT = timedelta(seconds=3)
"""Shortest wait for more data, for people, or between two attempts."""
STEP = timedelta(seconds=1)
LEAST_SAMPLES = 5
LARGEST_FACTOR = 10_000_000.0

_SOURCE = {"every": STEP}
_CALENDAR: dict[type[Part], dict[str, timedelta]] = {
    StageSpec: {"soak": SOAK},
    PhaseSpec: {"soak": SOAK, "after": SOAK},
    CheckSpec: {"over": WINDOW},
    TriggerSpec: {"for_": LASTING},  # its windows: `_faster_trigger`
    ReviewsSpec: {"every": WAIT},
    BudgetSpec: {"over": timedelta(minutes=1)},
    BurnWindow: {"long": 2 * WINDOW, "short": STEP},
    HookSpec: {"retry_after": STEP},
    LoadCheck: {"each": WAIT},
    SoakCheck: {"duration": SOAK},
    ObserveSpec: {"duration": SOAK},
    PreconditionsSpec: {"quiet": STEP, "rehearsed_within": timedelta(minutes=10)},
    ReturnSpec: {"over": 3 * WAIT},
    PatienceSpec: {"recheck": WAIT, "remind": timedelta(seconds=30),
                   "escalate": timedelta(minutes=1), "settle": STEP},
    PrometheusSource: _SOURCE, SqlSource: _SOURCE, JsonSource: _SOURCE, CommandSource: _SOURCE,
}
"""Every duration that is divided, with the shortest that makes sense."""
_WINDOWS_OF_THE_WEEK = (Plan, PhaseSpec, StageSpec)
"""Where `allowed` stands: nobody waits for Monday in a demonstration."""


def faster(plan: Plan, factor: float) -> Plan:
    """Return a plan whose calendar runs `factor` times as fast.

    Windows of the week (`allowed`) are left out. `min_samples` is divided by what its window was
    divided by. A factor of 1 returns the plan as it is.

    Args:
        plan: The plan; of an environment, when it was read for one.
        factor: How many times as fast, 1 to 10,000,000.

    Raises:
        InvalidInput: The factor is outside of its limits.
    """
    if not 1 <= factor <= LARGEST_FACTOR:
        raise InvalidInput(
            f"a speed of {factor:g} is not possible",
            allowed=f"1 (as the plan says) to {LARGEST_FACTOR:,.0f} times as fast")
    return plan if factor == 1 else _faster(plan, factor)


def leaves_out(plan: Plan) -> bool:
    """Whether a faster plan lacks windows of the week that this one has."""
    stages = [stage for phase in plan.phases for stage in phase.stages]
    windows = [plan.allowed, *(phase.allowed for phase in plan.phases),
               *(stage.allowed for stage in stages)]
    return any(windows)


def _faster(part: P, factor: float) -> P:
    """Return one part of a plan with everything in it."""
    changes = {name: _within(getattr(part, name), factor) for name in type(part).model_fields}
    for name, least in _CALENDAR.get(type(part), {}).items():
        changes[name] = _divided(getattr(part, name), factor, least)
    if isinstance(part, _WINDOWS_OF_THE_WEEK):
        changes["allowed"] = []
    if isinstance(part, CheckSpec):
        changes["min_samples"] = _fewer(part.min_samples, part.over, changes["over"], factor)
    if isinstance(part, TriggerSpec):
        changes |= _faster_trigger(part, factor)
    if isinstance(part, SoakCheck):
        # an hour of this calendar is shorter, too: the whole soak may grow as much as ever
        changes["growth"] = round(part.growth * (part.duration / changes["duration"]))
    # what stays is not mentioned: a phase may not be given what it does not have
    return part.model_copy(update={
        name: value for name, value in changes.items() if value != getattr(part, name)})


def _within(value: Any, factor: float) -> Any:
    """Return a value of a part, with the parts inside it made faster."""
    if isinstance(value, Part):
        return _faster(value, factor)
    if isinstance(value, list):
        return [_within(each, factor) for each in value]
    if isinstance(value, dict):
        return {name: _within(each, factor) for name, each in value.items()}
    return value


def _faster_trigger(trigger: TriggerSpec, factor: float) -> dict[str, Any]:
    # defaults are longer than such a calendar: they are divided as if they had been written
    over = _divided(trigger.window, factor, TRIGGER_WINDOW)
    return {
        "over": over,
        "clear_for": _divided(trigger.quiet_for, factor, LASTING),
        "min_samples": _fewer(trigger.min_samples, trigger.window, over, factor),
    }


def _divided(duration: timedelta | None, factor: float, least: timedelta) -> timedelta | None:
    """Return a duration divided, but never below `least`; zero and none stay what they are."""
    if not duration:
        return duration
    # a duration that is shorter already was meant to be so
    return max(timedelta(milliseconds=round(duration / factor / timedelta(milliseconds=1))),
               min(least, duration))


def _fewer(samples: int, before: timedelta | None, after: timedelta | None, factor: float) -> int:
    """Return the least samples of a window that was made shorter."""
    ratio = before / after if before and after else factor
    return min(samples, max(LEAST_SAMPLES, math.ceil(samples / ratio)))
