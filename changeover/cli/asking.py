"""Asking every external source of a plan once, before anything depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from changeover.domain.readings import Question, Reading
from changeover.plan.external import externals
from changeover.plan.metrics import Metric, format_value, metric_of
from changeover.plan.model import Plan

WINDOW = timedelta(minutes=5)
"""The window of what no check and no trigger reads."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source of a plan said; `environment` is empty for the plan without one."""

    environment: str
    metric: Metric
    reading: Reading


def ask_every(plans: Sequence[Plan], folder: Path) -> list[Asked]:
    """Ask the sources of a plan, and of each of its environments, for all that it will ask.

    Args:
        plans: The plan as it is without and in each of its environments.
        folder: The plan's folder.
    """
    # HTTP clients and databases take long to import; a mere check asks nobody
    from changeover.sources.ask import ask_all

    found = []
    for plan in plans:
        known = externals(plan)
        for question, reading in ask_all(plan, folder, _questions(plan)).items():
            metric = metric_of(question.metric, known[question.metric].metric.unit)
            found.append(Asked(plan.environment or "", metric, reading))
    return found


def lines(found: Sequence[Asked]) -> list[str]:
    """Return what the sources said, one line each."""
    return [_line(each) for each in found]


def as_data(found: Sequence[Asked]) -> list[dict[str, Any]]:
    """Return what the sources said, for programs."""
    return [{"environment": each.environment, "metric": each.metric.name,
             **each.reading.as_evidence()} for each in found]


def _line(asked: Asked) -> str:
    reading, question = asked.reading, asked.reading.question
    where = f"in {asked.environment}: " if asked.environment else ""
    segment = f" in {question.segment}" if question.segment else ""
    took = (reading.answered_at - reading.asked_at).total_seconds()
    said = f"NO VALUE, {reading.problem}"
    if not reading.problem:
        said = f"{format_value(asked.metric, reading.value)} after {took * 1000:.0f} ms"
    return (f"{where}source {reading.source}: {asked.metric.name} of {question.system}{segment} "
            f"over {question.window} s: {said}\n      {reading.query}")


def _questions(plan: Plan) -> list[Question]:
    """Return what checks and triggers will ask, and what nobody asks yet; the same only once."""
    longest: dict[tuple[str, str, str | None], timedelta] = {}

    def add(metric: str, system: str, segment: str | None, window: timedelta) -> None:
        key = metric, system, segment
        # the longest window of those that ask for the same: one value answers for all
        longest[key] = max(window, longest.get(key, timedelta(0)))

    for condition, window in _conditions(plan):
        add(condition.metric, condition.of, condition.segment, window)
        if condition.is_to_baseline:
            add(condition.metric, "baseline", condition.segment, window)
    # what nobody reads yet is asked as well: somebody is about to write the check
    read = {metric for metric, _, _ in longest}
    for name, external in externals(plan).items():
        if name in read:
            continue
        # a query that names no segment, or no system, says the same for each of them
        named = external.metric.placeholders
        segments: list[str | None] = [None]
        if "segment" in named:
            segments = list(plan.routing.segments)
        systems = ["candidate"]
        if "system" in named:
            systems = ["baseline", "candidate"]
        for system in systems:
            for segment in segments:
                add(name, system, segment, WINDOW)
    return [Question(*key, max(1, int(window.total_seconds())))
            for key, window in longest.items()]


def _conditions(plan: Plan) -> list[tuple[Any, timedelta]]:
    """Return the conditions on external metrics, each with its longest window."""
    found: list[tuple[Any, timedelta]] = []
    for stage in plan.stages():
        for gate in stage.gates:
            # a check without a window of its own looks at the whole soak
            found += [(check, check.over or stage.soak) for check in plan.gates[gate]]
    found += [(trigger, trigger.window) for trigger in plan.triggers]
    return [(condition, window) for condition, window in found if condition.is_external]
