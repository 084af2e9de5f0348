"""Asking an HTTP service that answers with JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from changeover.plan.paths import MISSING, value_at
from changeover.plan.sources import CommandMetric, JsonMetric, JsonSource
from changeover.sources import filling
from changeover.sources.answer import Answer, NoAnswer
from changeover.sources.filling import Values
from changeover.sources.http import fetch


class JsonService:
    """An HTTP service.

    Args:
        source: As the plan has it.
        folder: The plan's folder.
    """

    def __init__(self, source: JsonSource, folder: Path) -> None:
        self._source, self._folder = source, folder

    def query(self, metric: JsonMetric, values: Values) -> str:
        """Return what is asked."""
        return f"GET {filling.address(metric.path, values)} {metric.value}"

    def ask(self, metric: JsonMetric, values: Values) -> Answer:
        """Ask for a metric's value, and for what stands behind it."""
        received = fetch(self._source, filling.address(metric.path, values), self._folder)
        if not received.is_good:
            raise received.refusal()
        return answer_in(received.body, metric)


def answer_in(text: bytes, metric: JsonMetric | CommandMetric) -> Answer:
    """Return what stands at a metric's places in a JSON text.

    Raises:
        NoAnswer: It is no JSON, or a place is not there.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise NoAnswer("its answer is not JSON") from None
    return Answer(*(_at(document, place) for place in (metric.value, metric.samples, metric.at)))


def _at(document: Any, place: str | None) -> Any:
    if place is None:
        return None
    found = value_at(document, place)
    if found is MISSING:
        raise NoAnswer(f"there is no {place} in its answer")
    return found
