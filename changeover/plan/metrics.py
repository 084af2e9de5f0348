"""The catalogue of metrics that checks and triggers may name. Pure data.

This file alone defines a metric's unit, its source and its format: the plan model parses bounds
with it, analysis computes it, reports format it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from changeover.plan import units
from changeover.plan.statuses import GRPC_STATUS, STATUS_RATE, is_reading, statuses_of

Unit = Literal["share", "duration", "size", "number"]


class Source(StrEnum):
    """Where a metric's numbers come from; a plan without that source cannot use the metric."""

    TRAFFIC = "traffic"  # the gateway's access log
    GATEWAY = "gateway"  # the gateway's access log too, but of no system
    HEALTH = "health"  # the observer's probe of the system's health address
    PROCESS = "process"  # memory and CPU of the system's processes
    COMPARISON = "comparison"  # shadow comparison of both systems' answers
    OUTCOME = "outcome"  # what applications reported to the console
    EXTERNAL = "external"  # what the plan's `sources` are asked


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name in plans, unit, source, meaning, and quantile if it is one.

    `words` is its name for people; it has the unit where the value does not show it. A plan's name
    stands beside it where somebody may want to write it.
    """

    name: str
    unit: Unit
    source: Source
    words: str
    description: str
    quantile: float | None = None

    @property
    def is_rate(self) -> bool:
        """Whether it counts events per second: each second that was observed is a sample."""
        return self.name in ("request_rate", "outcome_rate")

    @property
    def is_of_seconds(self) -> bool:
        """Whether a sample is a second, so that no window has more of them than seconds."""
        of_requests = self.name == CPU_PER_REQUEST
        return self.is_rate or (self.source in (Source.HEALTH, Source.PROCESS) and not of_requests)


BY_BUCKET = frozenset({
    "error_rate", "server_error_rate", "user_error_rate", "client_error_rate", "redirect_rate",
    "empty_rate", STATUS_RATE, GRPC_STATUS, "latency_p50", "latency_p95", "latency_p99",
})
"""Metrics that are counted by bucket, so that checks and triggers against the baseline can be
sequential. For checks there are more: `is_by_bucket`."""
RESPONSE_BYTES = "response_bytes"
THROUGHPUT, CPU_PER_REQUEST = "throughput", "cpu_per_request"
OUTCOME_ERRORS = "outcome_error_rate"
QUALITY = "outcome."
"""What names of quality metrics begin with: `outcome.confidence`."""
QUALITY_NAME = r"[a-z][a-z0-9_]{0,62}"
EXTERNAL = "external."
"""What names of metrics of the plan's `sources` begin with: `external.failed_payments`."""
_NAMED_ELSEWHERE = re.compile(rf"(?:{re.escape(QUALITY)}|{re.escape(EXTERNAL)}){QUALITY_NAME}")


class Catalogue(dict[str, Metric]):
    """The metrics by name.

    Applications name quality numbers, and plans what they ask sources: every `outcome.NAME` and
    every `external.NAME` is a metric. So is `status_rate` with the statuses that it counts:
    `status_rate 404`.
    """

    def __contains__(self, name: object) -> bool:
        is_named = isinstance(name, str) and _NAMED_ELSEWHERE.fullmatch(name)
        return bool(is_named) or is_reading(name) or super().__contains__(name)

    def __missing__(self, name: str) -> Metric:
        if name not in self:
            raise KeyError(name)
        if name.startswith(EXTERNAL):
            words = name.removeprefix(EXTERNAL).replace("_", " ")
            return Metric(name, "number", Source.EXTERNAL, words, f"{words}, from a source")
        if statuses := statuses_of(name):
            told = " or ".join(statuses)
            kind = "answers of gRPC" if name.startswith(GRPC_STATUS) else "answers"
            return Metric(name, "share", Source.TRAFFIC, f"{kind} {told}",
                          f"share of requests meant for the system that were answered {told}")
        number = name.removeprefix(QUALITY)
        return Metric(name, "number", Source.OUTCOME,
                      f"mean {number.replace('_', ' ')} of outcomes",
                      f"mean of the quality number {number} of outcomes")


METRICS = Catalogue({
    metric.name: metric
    for metric in (
        Metric("error_rate", "share", Source.TRAFFIC, "failed requests",
               "share of requests meant for the system that it failed: 5xx, timeouts, resets, "
               "refused connections, and requests that the baseline answered instead"),
        Metric("server_error_rate", "share", Source.TRAFFIC, "answers 5xx",
               "share of requests that the system answered with a 5xx status"),
        Metric("user_error_rate", "share", Source.TRAFFIC, "errors that users saw",
               "share of requests meant for the system whose user saw a 5xx or no answer"),
        Metric("client_error_rate", "share", Source.TRAFFIC, "answers 4xx",
               "share of requests meant for the system that were answered 4xx"),
        Metric(STATUS_RATE, "share", Source.TRAFFIC, "answers with a status",
               "share of requests meant for the system that were answered with the check's "
               "`status`: a code, a class, or a list of them"),
        Metric(GRPC_STATUS, "share", Source.TRAFFIC, "gRPC calls with a status",
               "share of requests meant for the system that were calls of gRPC and ended with the "
               "check's `status`: a name such as UNAVAILABLE, or a list of them"),
        Metric("redirect_rate", "share", Source.TRAFFIC, "redirects",
               "share of requests meant for the system that were answered 3xx, without 304"),
        Metric("empty_rate", "share", Source.TRAFFIC, "answers without a body",
               "share of successful answers (2xx) to GET that had no body, including 204"),
        Metric("response_bytes", "size", Source.TRAFFIC, "mean answer",
               "mean size of the bodies of successful answers (2xx) to GET, as they are sent"),
        Metric("latency_p50", "duration", Source.TRAFFIC, "median latency",
               "median duration of requests", 0.50),
        Metric("latency_p95", "duration", Source.TRAFFIC, "latency of 95 %",
               "duration that 95 % of requests stay within", 0.95),
        Metric("latency_p99", "duration", Source.TRAFFIC, "latency of 99 %",
               "duration that 99 % of requests stay within", 0.99),
        Metric("request_rate", "number", Source.TRAFFIC, "requests per second",
               "requests per second"),
        Metric(THROUGHPUT, "number", Source.TRAFFIC, "successful requests per second, per whole",
               "successful requests per second of users whom the split sent to the system, divided "
               "by its share of the users: as if all users were there"),
        Metric("refused_rate", "share", Source.GATEWAY, "refused by the gateway",
               "share of all requests that the gateway refused itself, without asking a system"),
        Metric("up", "number", Source.HEALTH, "health probes answered (0 to 1)",
               "share of health probes answered (1 = up, 0 = down)"),
        Metric("memory", "size", Source.PROCESS, "memory",
               "highest resident memory of the system's processes together"),
        Metric("cpu", "number", Source.PROCESS, "CPU cores used",
               "mean cores used by the system's processes together"),
        Metric(CPU_PER_REQUEST, "duration", Source.PROCESS, "CPU time per request",
               "CPU time of the system's processes for each request that it answered, copies for "
               "comparison included"),
        Metric("similarity", "share", Source.COMPARISON, "similarity of the answers",
               "mean similarity of the two systems' answers"),
        Metric("match_rate", "share", Source.COMPARISON, "answers that match",
               "share of compared answers without divergence"),
        Metric("divergence_rate", "share", Source.COMPARISON, "answers that differ",
               "share of compared answers with a divergence"),
        Metric("outcome_error_rate", "share", Source.OUTCOME, "outcomes without success",
               "share of reported outcomes without success"),
        Metric("outcome_rate", "number", Source.OUTCOME, "outcomes per second",
               "reported outcomes per second"),
        Metric("outcome_duration_mean", "duration", Source.OUTCOME, "mean duration of outcomes",
               "mean duration of reported outcomes, within 5 %"),
        Metric("outcome_duration_p50", "duration", Source.OUTCOME, "median duration of outcomes",
               "median duration of reported outcomes", 0.50),
        Metric("outcome_duration_p95", "duration", Source.OUTCOME, "duration of 95 % of outcomes",
               "duration that 95 % of reported outcomes stay within", 0.95),
        Metric("outcome_duration_p99", "duration", Source.OUTCOME, "duration of 99 % of outcomes",
               "duration that 99 % of reported outcomes stay within", 0.99),
    )
})


def metric_of(name: str, unit: Unit | None = None) -> Metric:
    """Return a metric; the unit of an external one stands in the plan, beside its query.

    Raises:
        KeyError: No such metric.
    """
    found = METRICS[name]
    return replace(found, unit=unit) if unit and found.source is Source.EXTERNAL else found


def is_mean(name: str) -> bool:
    """Whether a metric is the mean of a number that can be counted by bucket."""
    return name == RESPONSE_BYTES or name.startswith(QUALITY)


def is_by_bucket(name: str) -> bool:
    """Whether a check of a metric against the baseline can be judged by evidence."""
    return name in BY_BUCKET or name == OUTCOME_ERRORS or is_mean(name)


def parse_value(metric: Metric, value: object) -> float:
    """Return a bound for `metric` as a float: shares 0..1, durations in seconds, sizes in bytes.

    Raises:
        ValueError: `value` is not of the metric's unit; the text names the forms allowed.
    """
    if metric.unit == "share":
        return units.parse_share(value)
    if metric.unit == "duration":
        return units.parse_duration(value).total_seconds()
    if metric.unit == "size":
        return float(units.parse_size(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def format_value(metric: Metric, value: float | None) -> str:
    """Return a metric's value for people: `0.300 %`, `12.5 ms`, `412 MB`; `no data` for None."""
    if value is None:
        return "no data"
    if metric.unit == "share":
        return f"{value * 100:.3f} %"
    if metric.unit == "duration":
        number, unit = (value * 1000, "ms") if value < 10 else (value, "s")
        return f"{units.format_number(number)} {unit}"
    if metric.unit == "size":
        return units.format_size(value)
    return units.format_number(value)
