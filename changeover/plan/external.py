"""How a plan's conditions and its external metrics fit together. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from changeover.plan.conditions import CheckSpec
from changeover.plan.groups import with_members
from changeover.plan.location import Location
from changeover.plan.metrics import EXTERNAL
from changeover.plan.sources import (
    MOST_POINTS,
    AnyMetric,
    AnySource,
    PrometheusMetric,
    metrics_of,
)
from changeover.plan.triggers import TriggerSpec
from changeover.plan.units import format_duration

if TYPE_CHECKING:
    from changeover.plan.model import Plan


@dataclass(frozen=True, slots=True)
class External:
    """An external metric: the name of its source, the source, and what is asked there."""

    source_name: str
    source: AnySource
    metric: AnyMetric


def externals(plan: Plan) -> dict[str, External]:
    """Return every external metric of a plan, by the name that conditions use."""
    found = {}
    for name, source in plan.sources.items():
        for key, metric in metrics_of(source).items():
            found[EXTERNAL + key] = External(name, source, metric)
    return found


def with_units(document: Any) -> Any:
    """Return a plan's document whose conditions know their external metric's unit.

    A bound such as `1%` can only be read with the unit, which stands elsewhere in the plan. A value
    whose source counts no samples is one sample.
    """
    known = declared(document)
    if not known:
        return document
    gates, triggers = document.get("gates"), document.get("triggers")
    found = dict(document)
    if isinstance(gates, Mapping):
        found["gates"] = {name: _each_with_unit(checks, known) for name, checks in gates.items()}
    if triggers is not None:
        found["triggers"] = _each_with_unit(triggers, known)
    return found


def declared(document: Any) -> dict[str, Mapping[str, Any]]:
    """Return what a document says of external metrics, whether it is right or not."""
    sources = document.get("sources") if isinstance(document, Mapping) else None
    # before anything is validated: no part need have its right form
    found: dict[str, Mapping[str, Any]] = {}
    for source in sources.values() if isinstance(sources, Mapping) else ():
        metrics = source.get("metrics") if isinstance(source, Mapping) else None
        for name, metric in metrics.items() if isinstance(metrics, Mapping) else ():
            if isinstance(metric, Mapping):
                found[f"{EXTERNAL}{name}"] = metric
    return found


def _each_with_unit(conditions: Any, known: Mapping[str, Mapping[str, Any]]) -> Any:
    if not isinstance(conditions, list):
        return conditions
    change = partial(_with_unit, known=known)
    return [with_members(condition, change) for condition in conditions]


def _with_unit(condition: Any, known: Mapping[str, Mapping[str, Any]]) -> Any:
    metric = condition.get("metric") if isinstance(condition, Mapping) else None
    declared = known.get(metric) if isinstance(metric, str) else None
    if declared is None:
        return condition
    # what the condition says itself stays: `_of_condition` says that it is wrong
    found = {"unit": declared.get("unit", "number"), **condition}
    if declared.get("samples") is None:
        found.setdefault("min_samples", 1)
    return found


def problems(plan: Plan) -> Iterator[tuple[Location, str]]:
    """Yield the place of everything about external metrics that cannot work, and what would."""
    yield from _named_twice(plan)
    known = externals(plan)
    for gate, checks in plan.gates.items():
        soaks = [stage.soak for stage in plan.stages() if gate in stage.gates]
        for index, check in enumerate(checks):
            path: Location = ("gates", gate, index)
            if not check.is_external:
                yield from _only_external(check, path)
                continue
            found = known[check.metric]
            yield from _of_condition(check, found, path)
            yield from _of_check(check, found, path)
            # without a window of its own a check looks back over the soak of each stage that has it
            windows = [check.over] if check.over is not None else soaks
            yield from _of_points(found, windows, path)
    for index, trigger in enumerate(plan.triggers):
        path = ("triggers", index)
        if not trigger.is_external:
            yield from _only_external(trigger, path)
        else:
            found = known[trigger.metric]
            yield from _of_condition(trigger, found, path)
            yield from _of_trigger(trigger, found, path)
            yield from _of_points(found, [trigger.window], path)


def _named_twice(plan: Plan) -> Iterator[tuple[Location, str]]:
    seen: dict[str, str] = {}
    for name, source in plan.sources.items():
        for key in metrics_of(source):
            if key in seen:
                yield ("sources", name, "metrics", key), (
                    f"{EXTERNAL}{key} is also a metric of source {seen[key]}; rename one")
            seen.setdefault(key, name)


def _only_external(
    condition: CheckSpec | TriggerSpec, path: Location
) -> Iterator[tuple[Location, str]]:
    if condition.unit is not None:
        yield (*path, "unit"), f"the unit of {condition.metric} is known; remove `unit`"


def undefined(metric: str, known: Iterable[str]) -> str:
    """Return a sentence about a metric that no source has, and what would work."""
    names = list(known)
    near = difflib.get_close_matches(metric, names, 1, 0.6)
    meant = f", did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names) or "none, the plan has no sources"
    what = f"no source has the metric {metric}{meant}"
    return f"{what}; defined are {listed}; " \
        "add it to the metrics of one of `sources`"


def _of_condition(
    condition: CheckSpec | TriggerSpec, found: External, path: Location
) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with a check or a trigger."""
    metric, named = condition.metric, found.metric.placeholders
    query, unit = f"what is asked for {metric}", found.metric.unit
    if condition.unit != unit:
        yield (*path, "unit"), (
            f"{metric} has the unit {unit}, not {condition.unit}; "
            "remove `unit` here")
    reads_baseline = condition.is_to_baseline or condition.of == "baseline"
    if reads_baseline and "system" not in named:
        why = "so both systems would have the same value"
        yield path, (
            f"{query} does not name {{system}}, {why}; "
            "put {system} into it, or give a fixed bound")
    # the source answers what it is asked: a segment that is not named changes nothing
    if condition.segment is not None and "segment" not in named:
        yield (*path, "segment"), (
            f"{query} does not name {{segment}}; put it in, or remove `segment`")
    if condition.segment is None and "segment" in named:
        yield path, f"{query} names {{segment}}; give the condition a `segment`"
    if condition.min_samples > 1 and not found.metric.is_counted:
        yield (*path, "min_samples"), (
            f"{metric} does not say how many samples stand behind it; "
            f"give it `samples` in sources.{found.source_name}, "
            "or remove min_samples")


def _of_check(
    check: CheckSpec, found: External, path: Location
) -> Iterator[tuple[Location, str]]:
    if check.on_no_data == "fail":
        yield (*path, "on_no_data"), (
            f"{check.metric} cannot have `on_no_data: fail`: "
            "a source that is down must roll nothing back; remove it")
    # a range query asks from the window's start to its end, so it need not name it
    is_named = "window" in found.metric.placeholders or _range(found)
    if check.over is not None and not is_named:
        yield (*path, "over"), (
            f"what is asked for {check.metric} does not name {{window}}, "
            "so `over` changes nothing; "
            "put {window} into it, or remove `over`")


def _of_trigger(
    trigger: TriggerSpec, found: External, path: Location
) -> Iterator[tuple[Location, str]]:
    every = found.source.every
    if trigger.for_ < every:
        asked = f"is asked every {format_duration(every)}"
        yield (*path, "for"), (
            f"source {found.source_name} {asked}, "
            "so `for` must be at least that long: "
            "one single value must move nobody")


def _range(found: External) -> bool:
    return isinstance(found.metric, PrometheusMetric) and found.metric.range_ is not None


def _of_points(
    found: External, windows: list[timedelta], path: Location
) -> Iterator[tuple[Location, str]]:
    metric = found.metric
    if not isinstance(metric, PrometheusMetric) or metric.range_ is None:
        return
    step = metric.range_.step
    each = format_duration(step)
    for window in windows:
        shown = format_duration(window)
        if window < step:
            yield path, (
                f"the window {shown} is shorter than the step {each} "
                "of its range query; shorten the step")
        elif window / step > MOST_POINTS:
            yield path, (
                f"a window of {shown} in steps of {each} has more than "
                f"{MOST_POINTS} points, which Prometheus refuses; "
                "lengthen the step")
