"""Asking a source for a value: one interface for every kind, and always an answer or a reason."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from changeover import clock
from changeover.domain.readings import Question, Reading
from changeover.plan.external import External, externals
from changeover.plan.model import Plan
from changeover.plan.sources import (
    AnySource,
    CommandSource,
    HttpSource,
    JsonSource,
    PrometheusSource,
    SqlSource,
)
from changeover.sources.answer import Answer, NoAnswer, Usable, read
from changeover.sources.command import Commands
from changeover.sources.filling import Values
from changeover.sources.json_http import JsonService
from changeover.sources.prometheus import Prometheus
from changeover.sources.secrets import hide
from changeover.sources.sql import Database

MOST_AT_ONCE = 8
PAUSE_SECONDS = 0.3
"""Before another attempt: what restarts needs a moment."""


class Asked(Protocol):
    """What every kind of source can do."""

    def query(self, metric: Any, values: Values) -> str:
        """Return what is asked for a metric, without credentials."""
        ...

    def ask(self, metric: Any, values: Values) -> Answer:
        """Ask once.

        Raises:
            NoAnswer: It gave no answer.
        """
        ...


def opened(source: AnySource, folder: Path) -> Asked:
    """Return what asks a source; nothing is connected yet."""
    if isinstance(source, PrometheusSource):
        return Prometheus(source, folder)
    if isinstance(source, SqlSource):
        return Database(source, folder)
    if isinstance(source, JsonSource):
        return JsonService(source, folder)
    return Commands(source, folder)


def variables_of(source: AnySource) -> frozenset[str]:
    """Return the names of the variables with a source's credentials."""
    if isinstance(source, HttpSource):
        return source.auth.variables
    if isinstance(source, CommandSource):
        return frozenset(source.env)
    return frozenset([source.env] if source.env else [])


def ask(plan: Plan, folder: Path, question: Question) -> Reading:
    """Ask a source for a value, again if need be; what goes wrong is the reading's problem.

    Args:
        plan: The plan with the source.
        folder: The plan's folder.
        question: What is asked for; its metric is one of the plan's.
    """
    external = externals(plan)[question.metric]
    source, began = external.source, clock.now()
    secret = variables_of(source)
    asked = opened(source, folder)
    values = _values(plan, question, source)
    query, problem = hide(asked.query(external.metric, values), secret), ""
    found = None
    try:
        found = _with_retries(asked, external, values)
    except NoAnswer as error:
        problem = hide(error.problem, secret)
    except Exception as error:  # noqa: BLE001  a driver's own fault must not end a gate
        # its text may hold an address with a password, which no list of ours knows
        problem = f"it cannot be asked ({type(error).__name__})"
    return Reading(
        question, external.source_name, query, began, clock.now(),
        value=found.value if found else None, samples=found.samples if found else 0,
        measured_at=found.at if found else None, problem=problem)


def ask_all(plan: Plan, folder: Path, questions: Sequence[Question]) -> dict[Question, Reading]:
    """Ask for several values at the same time, so that one slow source delays no other."""
    if not questions:
        return {}
    different = list(dict.fromkeys(questions))
    with ThreadPoolExecutor(min(MOST_AT_ONCE, len(different))) as pool:
        readings: Iterable[Reading] = pool.map(lambda each: ask(plan, folder, each), different)
        return dict(zip(different, readings, strict=True))


def _values(plan: Plan, question: Question, source: AnySource) -> dict[str, str | int]:
    return {
        "system": getattr(source.names, question.system), "segment": question.segment or "",
        "window": question.window, "migration": plan.migration,
    }


def _with_retries(asked: Asked, external: External, values: Values) -> Usable:
    source, metric = external.source, external.metric
    left = source.retries
    while True:
        try:
            answer = asked.ask(metric, values)
            return read(answer, metric, now=clock.now(), max_age=source.max_age)
        except NoAnswer as error:
            # a value that is NaN or stale is so in a moment as well
            if not error.is_passing or not left:
                raise
            left -= 1
            time.sleep(PAUSE_SECONDS)
