"""Conditions that no measurement can meet, or that every measurement meets. Pure.

A gate that can never pass stops a cutover for ever. A trigger that can never fire is worse: people
rely on it, and it protects nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from changeover.plan import units
from changeover.plan.conditions import FEWEST_MINUTES, CheckSpec
from changeover.plan.location import Location
from changeover.plan.metrics import CPU_PER_REQUEST, QUALITY, Metric, Source, format_value
from changeover.plan.model import PhaseKind, Plan
from changeover.plan.route_gates import written
from changeover.plan.triggers import TriggerSpec

Found = tuple[Location, str]
MOST_PER_SECOND = 100_000
"""No gateway accepts more requests, and no console more outcomes, in a second."""
MOST_TRIED = 1_000
"""Numbers of probes for which shares are tried: the largest of a long window."""
SHORTEST = timedelta(seconds=1)
_WITHOUT_USERS = {PhaseKind.SHADOW: "candidate", PhaseKind.FULL: "baseline"}


@dataclass(frozen=True, slots=True)
class _Values:
    """What a metric can be: from `least` to `most`, or only `single` values.

    `has_least` says whether `least` itself can be measured: a duration is never zero.
    """

    least: float
    most: float
    has_least: bool = True
    single: tuple[float, ...] | None = None

    def some(self, is_met: Callable[[float], bool], bounds: tuple[float, ...]) -> bool:
        """Whether a value that can be measured meets a condition that turns only at `bounds`."""
        if self.single is not None:
            return any(is_met(value) for value in self.single)
        # a condition turns only at its bounds: the values on both sides of them tell all
        tried = {self.least, self.most, *bounds}
        for bound in (*bounds, self.least):
            tried.add(math.nextafter(bound, -math.inf))
            tried.add(math.nextafter(bound, math.inf))
        possible = filter(self._is_possible, tried)
        return any(is_met(value) for value in possible)

    def _is_possible(self, value: float) -> bool:
        if value == self.least:
            return self.has_least
        return self.least < value <= self.most


_IS_WITHIN: dict[str, Callable[[float, tuple[float, ...]], bool]] = {
    "below": lambda value, bound: value < bound[0],
    "above": lambda value, bound: value > bound[0],
    "at_least": lambda value, bound: value >= bound[0],
    "at_most": lambda value, bound: value <= bound[0],
    "between": lambda value, bound: bound[0] <= value <= bound[1],
    "budget": lambda value, bound: value >= bound[0],
}


def unreachable(plan: Plan) -> Iterator[Found]:
    """Return the place of every condition that can never be met, and what would work."""
    for path, check, window in _checks(plan):
        yield from _of(plan, check, path, window)
        if not _can(check, window, is_met=True):
            never = f"{check.metric} can never be {_said(check)}"
            what = "so the gate could never pass"
            yield path, f"{never}, {what}; {_possible(check, window)}"
    for index, trigger in enumerate(plan.triggers):
        path = ("triggers", index)
        yield from _of(plan, trigger, path, trigger.longest_window)
        if text := _of_trigger(trigger):
            yield path, text
    yield from _rates_where_nobody_is(plan)


def _of_trigger(trigger: TriggerSpec) -> str:
    """Return why a trigger would never fire, or always; empty when it can do both."""
    metric, window = trigger.metric, trigger.window
    said = _said(trigger)
    # a bound relative to the baseline says what is allowed, others say when it fires
    fires_when_met = not trigger.is_to_baseline
    text = ""
    if not _can(trigger, window, is_met=fires_when_met):
        text = f"{metric} can never be {said}, so it would never fire"
    elif not _can(trigger, window, is_met=not fires_when_met):
        text = f"{metric} is always {said}, so it would fire at once"
    return f"{text}; {_possible(trigger, window)}" if text else ""


def never_failing(plan: Plan) -> list[str]:
    """Return sentences about checks that pass whatever is measured."""
    found: dict[str, None] = {}
    for path, check, window in _checks(plan):
        if not _can(check, window, is_met=False):
            always = f"{check.metric} is always {_said(check)}"
            what = "so the check passes whatever happens"
            # a check whose gate stands in several stages is told once
            found[f"gate {path[1]}: {always}, {what}"] = None
    return list(found)


def _checks(plan: Plan) -> Iterator[tuple[Location, CheckSpec, timedelta]]:
    """Return every check with the window it has in each stage; without stage, with its own."""
    for gate, checks in plan.gates.items():
        soaks = {stage.soak for stage in plan.stages() if gate in map(written, stage.gates)}
        for index, check in enumerate(checks):
            windows = soaks if check.over is None else {check.over}
            for window in sorted(windows):
                yield ("gates", gate, index), check, window


def _of(
    plan: Plan, condition: CheckSpec | TriggerSpec, path: Location, window: timedelta
) -> Iterator[Found]:
    metric = condition.measured
    has_budget = isinstance(condition, TriggerSpec) and condition.budget is not None
    key = "budget" if has_budget else "over"
    if window < SHORTEST and condition.over is not None:
        why = "values are measured once per second"
        yield (*path, key), f"the window must be at least 1s, because {why}"
        return
    yield from _of_comparisons(plan, condition, path, metric)
    shown = units.format_duration(window)
    # a window begins and ends within a minute: one more than it needs
    shortest = timedelta(minutes=FEWEST_MINUTES + 1)
    is_by_minutes = isinstance(condition, CheckSpec) and condition.is_by_minutes
    if is_by_minutes and window < shortest:
        needs = f"needs {FEWEST_MINUTES} whole minutes of each system"
        least = units.format_duration(shortest)
        yield (*path, "test"), (
            f"`test: mann_whitney` {needs}, so that it could never pass "
            f"within {shown}; give the check or the soak at least {least}")
    most = _most_samples(plan, metric, window)
    if most is not None and condition.min_samples > most:
        there_are = f"at {MOST_PER_SECOND} per second there are {most}"
        yield (*path, "min_samples"), (
            f"{condition.min_samples} samples can never arrive in {shown}: "
            f"{there_are}; lower min_samples, or give a longer window")
    saved_for = plan.retention.minutes
    # a source keeps its own past
    if window > saved_for and metric.source is not Source.EXTERNAL:
        saved = units.format_duration(saved_for)
        yield (*path, key), (
            f"the window {shown} is longer than measurements are saved "
            f"({saved}); raise retention.minutes, or shorten the window")


def _of_comparisons(
    plan: Plan, condition: CheckSpec | TriggerSpec, path: Location, metric: Metric
) -> Iterator[Found]:
    if metric.source is not Source.COMPARISON or plan.shadow is None:
        return
    compares = f"{metric.name} compares both systems"
    if condition.of == "baseline":
        yield (*path, "of"), (
            f"{compares} and counts for the candidate only; remove `of`")
    if condition.is_to_baseline:
        yield (*path, condition.bound_name), (
            f"{compares}, so the baseline has no value of its own; "
            "give a fixed bound, such as at_least or at_most")
    shadow, why = plan.shadow, ""
    if not (shadow.methods or shadow.replay_unsafe):
        why = "methods and replay_unsafe are empty"
    if not shadow.sample:
        why = "sample is 0"
    if why:
        nothing = "shadow copies nothing, since its"
        yield path, f"{metric.name} has no data: {nothing} {why}"


def _most_samples(plan: Plan, metric: Metric, window: timedelta) -> int | None:
    """Return the most samples of a window; None when never more are asked for than it has."""
    # a sample of these is a second, or whatever the source says
    is_uncounted = metric.is_of_seconds or metric.source is Source.EXTERNAL
    if is_uncounted or window < SHORTEST:
        return None
    share = 1.0
    if metric.source is Source.COMPARISON and plan.shadow is not None:
        share = float(plan.shadow.sample) / 100
    return int(window.total_seconds() * MOST_PER_SECOND * share)


def _values(metric: Metric, condition: CheckSpec | TriggerSpec, window: timedelta) -> _Values:
    if metric.name == "up":
        return _Values(0, 1, single=_shares_of_probes(condition, window))
    is_external = metric.source is Source.EXTERNAL
    is_number = is_external and metric.unit == "number"
    # a number of people's own, of outcomes or of a source, may be negative
    if is_number or metric.name.startswith(QUALITY):
        return _Values(-math.inf, math.inf)
    if metric.unit == "share":
        return _Values(0, 1)
    # a request takes time and a process memory; what a source counts may be nothing
    is_never_zero = metric.unit == "duration" or metric.name == "memory"
    # an idle process may be seen to take no time at all
    is_never_zero &= metric.name != CPU_PER_REQUEST
    has_zero = is_external or not is_never_zero
    return _Values(0, math.inf, has_least=has_zero)


def _shares_of_probes(
    condition: CheckSpec | TriggerSpec, window: timedelta
) -> tuple[float, ...]:
    """Return the shares next to the bounds that probes, one each second, can have in a window."""
    seconds = max(1, int(window.total_seconds()))
    # as few as are judged (`changeover.analysis.check`), but not so many that it takes long
    judged = min(condition.min_samples, int(window.total_seconds() * 0.8))
    fewest = max(1, judged, seconds - MOST_TRIED)
    near = [bound for bound in condition.bound_values if 0 <= bound <= 1]
    found = {0.0, 1.0}
    for probes in range(fewest, seconds + 1):
        for bound in near:
            # whole numbers of answers on both sides of the bound
            least = max(0, int(bound * probes) - 1)
            most = min(probes, int(bound * probes) + 2)
            for answered in range(least, most + 1):
                found.add(answered / probes)
    return tuple(found)


def _can(condition: CheckSpec | TriggerSpec, window: timedelta, *, is_met: bool) -> bool:
    """Whether some measurement meets a bound, or some does not."""
    metric, bounds = condition.measured, condition.bound_values
    # a bound relative to the baseline can always be kept, whatever the baseline's value is
    if condition.is_to_baseline:
        return is_met or _can_exceed_baseline(metric, condition)
    is_within = _IS_WITHIN[condition.bound_name]
    values = _values(metric, condition, window)
    return values.some(lambda value: is_within(value, bounds) is is_met, bounds)


def _can_exceed_baseline(metric: Metric, condition: CheckSpec | TriggerSpec) -> bool:
    """Whether the candidate's value can be further above the baseline's than the bound allows."""
    is_share = metric.unit == "share" or metric.name == "up"
    is_difference = condition.bound_name == "difference_to_baseline"
    return not (is_share and is_difference and condition.bound_values[0] >= 1)


def _said(condition: CheckSpec | TriggerSpec) -> str:
    metric, name = condition.measured, condition.bound_name
    shown = [format_value(metric, value) for value in condition.bound_values]
    values = " to ".join(shown)
    if condition.is_to_baseline:
        side = "below" if condition.is_falling else "above"
        return f"more than {values} {side} the baseline's"
    return f"{name.replace('_', ' ')} {values}"


def _possible(condition: CheckSpec | TriggerSpec, window: timedelta) -> str:
    metric = condition.measured
    if metric.name == "up":
        probes = max(1, int(window.total_seconds()))
        shown = units.format_duration(window)
        gives = f"one probe a second gives {probes} in a window of {shown}"
        return f"{gives}, and it is the share of those answered: 0 to 1"
    values = _values(metric, condition, window)
    text = format_value(metric, values.least)
    if not values.has_least:
        text = f"above {text}"
    most = "or more"
    if math.isfinite(values.most):
        most = f"to {format_value(metric, values.most)}"
    return f"it is {text} {most}"


def _rates_where_nobody_is(plan: Plan) -> Iterator[Found]:
    """Find checks of request_rate in a stage where it is always 0, so that they always fail."""
    for stage in plan.stages():
        # in the other phases both systems have users
        empty = _WITHOUT_USERS.get(stage.phase)
        for gate in stage.gates if empty else ():
            for index, check in enumerate(plan.all_gates.get(gate, [])):
                if check.metric != "request_rate" or check.of != empty:
                    continue
                if check.is_to_baseline:
                    continue
                is_within = _IS_WITHIN[check.bound_name]
                if not is_within(0.0, check.bound_values):
                    nobody = f"in stage {stage.title} nobody is on the {empty}"
                    never = f"so its request_rate is 0 and never {_said(check)}"
                    yield ("gates", gate, index), (
                        f"{nobody}, {never}; use a gate without this check there")
