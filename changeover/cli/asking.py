"""Asking every external source of a plan once, before anything depends on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
        readings = ask_all(plan, folder, _questions(plan))
        for question, reading in readings.items():
            name = question.metric
            metric = metric_of(name, known[name].metric.unit)
            environment = plan.environment or ""
            found.append(Asked(environment, metric, reading))
    return found


def lines(found: Sequence[Asked]) -> list[str]:
    """Return what the sources said, one line each."""
    return [_line(each) for each in found]


def as_data(found: Sequence[Asked]) -> list[dict[str, Any]]:
    """Return what the sources said, for programs."""
    rows = []
    for each in found:
        head = {"environment": each.environment, "metric": each.metric.name}
        rows.append(head | each.reading.as_evidence())
    return rows


def _line(asked: Asked) -> str:
    reading, question = asked.reading, asked.reading.question
    where = f"in {asked.environment}: " if asked.environment else ""
    whose = question.system
    if question.segment:
        whose += f" in {question.segment}"
    took = (reading.answered_at - reading.asked_at).total_seconds()
    said = f"NO VALUE, {reading.problem}"
    if not reading.problem:
        value = format_value(asked.metric, reading.value)
        said = f"{value} after {took * 1000:.0f} ms"
    head = f"{where}source {reading.source}: {asked.metric.name} of {whose}"
    # the query as it was sent: a wrong label is seen there
    return f"{head} over {question.window} s: {said}\n      {reading.query}"


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
        if name not in read:
            for system, segment in _askable(plan, external.metric.placeholders):
                add(name, system, segment, WINDOW)
    questions = []
    for key, window in longest.items():
        seconds = max(1, int(window.total_seconds()))
        questions.append(Question(*key, seconds))
    return questions


def _askable(plan: Plan, named: Collection[str]) -> list[tuple[str, str | None]]:
    """Return the systems and segments of which a query with these placeholders can be asked."""
    # a query that names no segment, or no system, says the same for each of them
    segments: list[str | None] = [None]
    if "segment" in named:
        segments = list(plan.routing.segments)
    systems = ["candidate"]
    if "system" in named:
        systems = ["baseline", "candidate"]
    return [(system, segment) for system in systems for segment in segments]


def _conditions(plan: Plan) -> list[tuple[Any, timedelta]]:
    """Return the conditions on external metrics, each with its longest window."""
    found: list[tuple[Any, timedelta]] = []
    for stage in plan.stages():
        for gate in stage.gates:
            # a check without a window of its own looks at the whole soak
            for check in plan.all_gates[gate]:
                found.append((check, check.over or stage.soak))
    for trigger in plan.triggers:
        found.append((trigger, trigger.window))
    return [each for each in found if each[0].is_external]
