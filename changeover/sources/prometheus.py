"""Asking Prometheus, or what speaks its HTTP API: one number for now, or of a range."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from changeover import clock
from changeover.plan.sources import PrometheusMetric, PrometheusSource
from changeover.sources import filling
from changeover.sources.answer import Answer, NoAnswer, shown
from changeover.sources.filling import Values
from changeover.sources.http import fetch, too_slow
from changeover.sources.selectors import selectors

_TAKE: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda values: values[-1], "max": max, "min": min, "mean": fmean, "sum": math.fsum,
}


class Prometheus:
    """A Prometheus server.

    Args:
        source: As the plan has it.
        folder: The plan's folder.
    """

    def __init__(self, source: PrometheusSource, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._deadline = math.inf

    def query(self, metric: PrometheusMetric, values: Values) -> str:
        """Return what is asked."""
        return filling.promql(metric.query, values)

    def ask(self, metric: PrometheusMetric, values: Values) -> Answer:
        """Ask for a metric's value, and for what stands behind it."""
        self._deadline = time.monotonic() + self._source.timeout.total_seconds()
        query = self.query(metric, values)
        # the value first: without one, nothing else matters
        if metric.range_ is None:
            value = self._instant(query)
        else:
            value = self._of_range(query, metric, int(values["window"]))
        samples = None
        if metric.samples:
            samples = self._instant(filling.promql(metric.samples, values))
        if metric.at:
            return Answer(value, samples, self._instant(filling.promql(metric.at, values)))
        return Answer(value, samples, self._oldest(query))

    def _oldest(self, query: str) -> float | None:
        """Return when the newest sample was taken, of those series that have none for longest."""
        found = []
        for selector in selectors(query):
            # a series without any sample has no age: `x or vector(0)` is meant so
            at = self._moment(selector.newest)
            if at is None and selector.newest_in_range:
                at = self._moment(selector.newest_in_range)
            if at is not None:
                found.append(at)
        return min(found, default=None)

    def _moment(self, query: str) -> float | None:
        try:
            result = self._asked("/api/v1/query", {"query": query})["result"]
        except NoAnswer as error:
            raise NoAnswer(f"how old it is cannot be asked, so give the metric `at`: "
                           f"{error.problem}", is_passing=error.is_passing) from None
        return float(result[0]["value"][1]) if result else None

    def _instant(self, query: str) -> object:
        found = self._asked("/api/v1/query", {"query": query})
        if found.get("resultType") == "scalar":
            return found["result"][1]
        series = self._one_series(found, ("vector",))
        return series["value"][1]

    def _of_range(self, query: str, metric: PrometheusMetric, window: int) -> float:
        if metric.range_ is None:
            raise ValueError("the metric asks for no range")
        # our clock: one that differs from the server's makes the value stale, not wrong
        end = clock.now().timestamp()
        step = metric.range_.step.total_seconds()
        found = self._asked("/api/v1/query_range", {
            "query": query,
            "start": f"{end - window:.3f}",
            "end": f"{end:.3f}",
            "step": f"{step:.3f}",
        })
        points = self._one_series(found, ("matrix",))["values"]
        values = [float(value) for _, value in points]
        if wrong := sum(not math.isfinite(value) for value in values):
            raise NoAnswer(f"{wrong} of {len(values)} points of the range are NaN or infinite")
        return _TAKE[metric.range_.take](values)

    def _asked(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        if time.monotonic() > self._deadline:  # each question has the time, all together as well
            raise too_slow(self._source.timeout.total_seconds())
        # by POST: a query may be longer than an address may be
        received = fetch(self._source, path, self._folder, form)
        try:
            document = json.loads(received.body)
            said = str(document.get("error") or "")[:300]
        except (ValueError, AttributeError):
            document, said = None, ""
        if not received.is_good:
            raise received.refusal(said)
        if document is None or document.get("status") != "success":
            raise NoAnswer("its answer is not that of Prometheus' HTTP API")
        if warned := document.get("warnings"):  # such as: some of the stores did not answer
            raise NoAnswer(f"it warns that the answer may be incomplete: {shown(warned[0])}")
        found = document.get("data")
        if not isinstance(found, dict) or not isinstance(found.get("result"), list):
            raise NoAnswer("its answer is not that of Prometheus' HTTP API")
        return found

    def _one_series(self, found: dict[str, Any], kinds: tuple[str, ...]) -> dict[str, Any]:
        if found.get("resultType") not in kinds:
            raise NoAnswer(f"the query's result is a {found.get('resultType')}, not one number")
        series = found["result"]
        if not series:
            raise NoAnswer("the query finds nothing: no series fits, or none has a sample of late")
        if len(series) > 1:
            labels = " and ".join(shown(each.get("metric", {})) for each in series[:2])
            raise NoAnswer(f"the query finds {len(series)} series, such as {labels}; make it one, "
                           "for instance by sum(…)")
        if "value" not in series[0] and "values" not in series[0]:
            raise NoAnswer("the query's result is a histogram, not one number")
        return dict(series[0])
