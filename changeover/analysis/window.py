"""Samples of one system and what a window of them measures. Pure.

A request belongs to the system that the routing *meant* it for, even when the gateway asked the
baseline instead: retries hide a sick candidate from users and must not hide it from gates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from changeover.analysis.histogram import Histogram, merge
from changeover.plan.metrics import CPU_PER_REQUEST, METRICS, QUALITY, THROUGHPUT, Source
from changeover.plan.statuses import WITH_STATUS, has_status, statuses_of

GATEWAY = "gateway"
"""Name under which all requests at the gateway are sampled, and as `errors` those that it refused
itself, by Envoy's word for the reason. They belong to no system: see `of_gateway`."""
MAIN_GATEWAY = "main"
"""Name of the one gateway that there is; the samples of several stand side by side."""
SHADOW = "shadow"
"""Name under which comparisons are sampled: they belong to both systems."""


OUTCOMES = "outcome:"
"""What names of sampled outcomes begin with."""


def outcomes_of(system: str, segment: str | None = None) -> str:
    """Return the name under which outcomes are sampled: of all users, or of a segment."""
    return f"{OUTCOMES}{system}:{segment or ''}"


class ErrorClass(StrEnum):
    """Why a request meant for a system counts as failed by it. A request has at most one."""

    STATUS_5XX = "status_5xx"  # the system answered 5xx and the user saw it
    TIMEOUT = "timeout"  # no answer in time
    RESET = "reset"  # the connection broke after the request was sent
    CONNECT = "connect"  # no connection, or no healthy host
    OVERFLOW = "overflow"  # the circuit breaker was full
    SAVED = "saved"  # the candidate failed and the baseline answered instead
    NO_ANSWER = "no_answer"  # anything else that left the user without an answer


class Met(StrEnum):
    """What users met; of each kind a sample remembers some of the users."""

    ANSWER = "answer"  # a request of theirs ended, however
    CLIENT_ERROR = "client_error"  # it was answered 4xx
    REDIRECT = "redirect"  # it was answered 3xx, but not 304
    EMPTY = "empty"  # it was a GET that succeeded without a body
    ERROR = "error"  # the system failed


MOST_USERS = 64
"""Users that are remembered of each kind: those with the smallest numbers, so that the users of two
samples, or of both systems, are again a random choice among all (bottom-k sampling)."""
ADD = "add"
"""Key of a field's metadata: how its values of several samples make one."""
SPLIT = 1
"""The bit of a user's number that is set when the split decided where the user goes."""


def fewest(users: Iterable[int]) -> tuple[int, ...]:
    """Return the users that are remembered of so many: those with the smallest numbers."""
    return tuple(sorted(set(users))[:MOST_USERS])


def _add_users(
    samples: Iterable[Mapping[str, tuple[int, ...]]]
) -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = {}
    for users_by_kind in samples:
        for kind, users in users_by_kind.items():
            found.setdefault(kind, set()).update(users)
    return {kind: fewest(users) for kind, users in sorted(found.items())}


def _add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in counts:
        for kind, number in each.items():
            found[kind] = found.get(kind, 0) + number
    return found


def _add_quality(
    samples: Iterable[Mapping[str, tuple[int, float]]]
) -> dict[str, tuple[int, float]]:
    found: dict[str, tuple[int, float]] = {}
    for quality in samples:
        for name, (number, total) in quality.items():
            known = found.get(name, (0, 0.0))
            found[name] = known[0] + number, known[1] + total
    return found


def _add_subsets(
    samples: Iterable[Mapping[str, Measurements]]
) -> dict[str, Measurements]:
    """Return what was measured of each subset that any sample knows."""
    found: dict[str, list[Measurements]] = {}
    for subsets in samples:
        for name, measured in subsets.items():
            found.setdefault(name, []).append(measured)
    sums = {}
    for name, parts in sorted(found.items()):
        sums[name] = Measurements(**_sums(parts))
    return sums


def _sums(rows: Sequence[Measurements]) -> dict[str, Any]:
    """Return the sum of every field that can be added."""
    sums = {}
    for name, add in _ADD.items():
        sums[name] = add([getattr(row, name) for row in rows])
    return sums


def _highest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What is measured of a system; each field is named here, and nowhere else.

    Several samples' values of a field are added by `sum`, or by what the field names under `ADD`.

    Args:
        requests: Requests meant for the system that ended in this time.
        client_errors: Of those, answered 4xx; not the system's failure.
        user_errors: Of those, whose user saw 5xx or no answer.
        redirects: Of those, answered 3xx, but not 304.
        keyless: Of the requests, without a user's key.
        answers: Of those, whole answers 2xx to GET.
        empty_answers: Of the answers, without a body.
        answer_bytes: Bytes of the answers' bodies together, as they were sent.
        answer_logs: Sum of ln(1 + bytes) of the answers' bodies: tells of the usual size, which
            one large download does not move.
        statuses: Of the requests, how many were answered with each status, by its code; none for
            those without an answer.
        users: Numbers of up to `MOST_USERS` users by what they met (`Met`).
        errors: Failures by class.
        latency: Durations as users felt them.
        probes: Health probes made; `probes_up` of them answered well.
        memory_bytes: Highest resident memory; None when no process is watched.
        cpu_cores: Mean cores used; None when no process is watched.
        compared: Answers of both systems that were compared (system `shadow` only).
        matched: Of those, without divergence.
        similarity: Sum of their similarities, each 0..1.
        outcomes: Outcomes that applications reported (names of `outcomes_of` only).
        failures: Of those, without success.
        durations: How long they took.
        quality: By name of a quality number, how many outcomes had it and their sum.
        split_requests: Requests of users whom the split sent here.
        split_successes: Of those that ended well, the sum of 1 / this system's share of the users.
        arrived: Requests at the gateway, for whichever system (of `of_gateway` only).
        refused: Of those, refused by the gateway itself, by reason.
        subsets: What was measured of some of the requests only, by the subset's name
            (`changeover.plan.subsets`); what is in no plan is not counted.
    """

    requests: int = 0
    client_errors: int = 0
    user_errors: int = 0
    redirects: int = 0
    keyless: int = 0
    answers: int = 0
    empty_answers: int = 0
    answer_bytes: int = 0
    answer_logs: float = field(default=0.0, metadata={ADD: math.fsum})
    statuses: Mapping[str, int] = field(default_factory=dict, metadata={ADD: _add_counts})
    users: Mapping[str, tuple[int, ...]] = field(default_factory=dict, metadata={ADD: _add_users})
    errors: Mapping[str, int] = field(default_factory=dict, metadata={ADD: _add_counts})
    latency: Histogram = field(default_factory=Histogram, metadata={ADD: merge})
    probes: int = 0
    probes_up: int = 0
    memory_bytes: int | None = field(default=None, metadata={ADD: _highest})
    cpu_cores: float | None = None
    compared: int = 0
    matched: int = 0
    similarity: float = field(default=0.0, metadata={ADD: math.fsum})
    outcomes: int = 0
    failures: int = 0
    durations: Histogram = field(default_factory=Histogram, metadata={ADD: merge})
    quality: Mapping[str, tuple[int, float]] = field(
        default_factory=dict, metadata={ADD: _add_quality})
    split_requests: int = 0
    split_successes: float = field(default=0.0, metadata={ADD: math.fsum})
    arrived: int = 0
    refused: Mapping[str, int] = field(default_factory=dict, metadata={ADD: _add_counts})
    subsets: Mapping[str, Measurements] = field(
        default_factory=dict, metadata={ADD: _add_subsets})


_ADD = {each.name: each.metadata.get(ADD, sum) for each in fields(Measurements)}
del _ADD["cpu_cores"]  # a mean cannot be added: see `combine`


@dataclass(frozen=True, slots=True)
class Sample(Measurements):
    """What was measured of one system from `at` for `resolution` seconds.

    Args:
        system: `baseline` or `candidate`, or one of the names above.
        at: Unix time of the start, whole seconds, a multiple of `resolution`.
        resolution: Length in seconds: 1 or 60.
        gateway: Which gateway measured it; those of several add up.
        watched: Seconds of this time in which requests were watched; None: all of it.
        listened: Seconds of this time in which applications could report outcomes; None when
            nobody looked, and outcomes themselves are the only sign.
    """

    system: str
    at: int
    resolution: int = 1
    gateway: str = MAIN_GATEWAY
    watched: int | None = None
    listened: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric's value over a window. `value` is None when there was nothing to measure."""

    value: float | None
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Measurements):
    """The sum of a system's samples over `seconds` of time.

    Args:
        seconds: Length of the window.
        watched: Seconds of it in which requests were watched.
        listened: Seconds of it in which applications could report outcomes.
        process_samples: Seconds of it in which the system's processes were looked at.
    """

    seconds: float
    watched: int = 0
    listened: int = 0
    process_samples: int = 0

    def measure(self, metric: str) -> Measured:
        """Return the value of `metric` in base units, with how many observations stand behind it.

        Raises:
            KeyError: No such metric.
        """
        spec = METRICS[metric]
        if spec.source is Source.EXTERNAL:  # only its source knows
            return Measured(None, 0)
        if spec.quantile is not None:
            is_outcome = spec.source is Source.OUTCOME
            histogram = self.durations if is_outcome else self.latency
            return Measured(histogram.quantile_seconds(spec.quantile), histogram.total)
        if metric.startswith(QUALITY):
            number, total = self.quality.get(metric.removeprefix(QUALITY), (0, 0.0))
            return Measured(total / number if number else None, number)
        if metric.partition(" ")[0] in WITH_STATUS:
            return self._status_rate(statuses_of(metric))
        return _MEASURES[metric](self)

    def _status_rate(self, named: list[str]) -> Measured:
        """Return the share of requests that got one of these statuses."""
        # The bare metric without codes asks nothing.
        if not named:
            return Measured(None, 0)
        answered = 0
        for code, number in self.statuses.items():
            if has_status(code, named):
                answered += number
        return _rate(answered, self.requests)


def _rate(count: float, total: int) -> Measured:
    return Measured(count / total if total else None, total)


def _per_second(count: int, seconds: int) -> Measured:
    """Return a rate: each second in which somebody looked is a sample, also one of nothing."""
    return Measured(count / seconds if seconds else None, seconds)


_MEASURES: Mapping[str, Callable[[Window], Measured]] = {
    "error_rate": lambda w: _rate(sum(w.errors.values()), w.requests),
    "server_error_rate": lambda w: _rate(w.errors.get(ErrorClass.STATUS_5XX, 0), w.requests),
    "user_error_rate": lambda w: _rate(w.user_errors, w.requests),
    "client_error_rate": lambda w: _rate(w.client_errors, w.requests),
    "redirect_rate": lambda w: _rate(w.redirects, w.requests),
    "empty_rate": lambda w: _rate(w.empty_answers, w.answers),
    "response_bytes": lambda w: _rate(w.answer_bytes, w.answers),
    "refused_rate": lambda w: _rate(sum(w.refused.values()), w.arrived),
    "request_rate": lambda w: _per_second(w.requests, w.watched),
    THROUGHPUT: lambda w: Measured(
        w.split_successes / w.watched if w.split_requests and w.watched else None,
        w.split_requests),
    CPU_PER_REQUEST: lambda w: _rate(  # with copies, which are the candidate's work, too
        (w.cpu_cores or 0) * w.process_samples, w.process_samples and w.requests + w.compared),
    "up": lambda w: _rate(w.probes_up, w.probes),
    "memory": lambda w: Measured(
        None if w.memory_bytes is None else float(w.memory_bytes), w.process_samples),
    "cpu": lambda w: Measured(w.cpu_cores, w.process_samples),
    "similarity": lambda w: Measured(
        w.similarity / w.compared if w.compared else None, w.compared),
    "match_rate": lambda w: _rate(w.matched, w.compared),
    "divergence_rate": lambda w: _rate(w.compared - w.matched, w.compared),
    "outcome_error_rate": lambda w: _rate(w.failures, w.outcomes),
    "outcome_rate": lambda w: _per_second(w.outcomes, w.listened),
    "outcome_duration_mean": lambda w: Measured(w.durations.mean_seconds(), w.durations.total),
}


def combine(samples: Iterable[Sample], *, seconds: float) -> Window:
    """Return the window that `samples` of one system add up to.

    Args:
        samples: Samples of any gateways, in any order, that do not overlap but for those of the
            same time by different gateways.
        seconds: Length of the window in seconds, for rates.
    """
    rows = list(samples)
    of_processes = [(row, row.resolution) for row in rows if row.memory_bytes is not None]
    return Window(
        seconds=seconds,
        watched=_once_each((row, _watched(row)) for row in rows),
        listened=_listened(rows),
        cpu_cores=_mean_cores(rows),
        process_samples=_once_each(of_processes),
        **_sums(rows),
    )


def of_gateway(sample: Sample) -> Sample:
    """Return a sample of the gateway as it stands in a system's window, beside the system's own."""
    return Sample(GATEWAY, sample.at, sample.resolution, sample.gateway,
                  arrived=sample.requests, refused=sample.errors)


def of_subset(sample: Sample, subset: str | None) -> Sample:
    """Return a system's sample with one subset of its requests only; None: with all of them.

    This is the one place where a sample becomes that of a subset. Where the subset was not counted
    nothing is known, which is not the same as no request: nobody watched.
    """
    if subset is None:
        return sample
    found = sample.subsets.get(subset)
    own = Measurements() if found is None else found
    measured = {each.name: getattr(own, each.name) for each in fields(Measurements)}
    return Sample(
        sample.system, sample.at, sample.resolution, sample.gateway,
        watched=0 if found is None else sample.watched, listened=sample.listened, **measured)


def _mean_cores(rows: Iterable[Sample]) -> float | None:
    used, seconds = 0.0, 0
    for row in rows:
        if row.cpu_cores is not None:
            # A row of a minute says more than one of a second.
            used += row.cpu_cores * row.resolution
            seconds += row.resolution
    return used / seconds if seconds else None


def _once_each(seconds: Iterable[tuple[Sample, int]]) -> int:
    """Return a sum of seconds; one in which several gateways measured passed only once."""
    longest: dict[tuple[int, int], int] = {}
    for row, length in seconds:
        moment = row.resolution, row.at
        longest[moment] = max(length, longest.get(moment, 0))
    return sum(longest.values())


def _watched(row: Sample) -> int:
    # These rows stand beside a system's own, which says already who watched.
    if row.system in (SHADOW, GATEWAY) or _is_of_outcomes(row):
        return 0
    return row.resolution if row.watched is None else row.watched


def _listened(rows: Iterable[Sample]) -> int:
    """Return the seconds in which outcomes could be reported: where nobody says so, the seconds
    that have some."""
    rows = list(rows)
    known = [(row, row.listened) for row in rows if row.listened is not None]
    if known:
        return _once_each(known)
    return _once_each((row, row.resolution) for row in rows if _is_of_outcomes(row))


def _is_of_outcomes(row: Sample) -> bool:
    return row.system.startswith(OUTCOMES)
