"""From samples and windows to the figures, chart points and outage of a report. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from changeover.analysis.window import Sample, Window, combine
from reports.model import Figures, Outage, Point

POINTS = 150
"""Most points of one chart line: finer than that nobody sees, and files stay small."""


def figures(
    system: str, name: str, window: Window, *, start: datetime, end: datetime
) -> Figures:
    """Return what a window measured of a system.

    Args:
        system: `baseline` or `candidate`.
        name: The name that people gave it.
        window: Its measurements in [start, end).
        start: Start of the window.
        end: End of the window.
    """
    return Figures(
        system=system,
        name=name,
        start=start,
        end=end,
        requests=window.requests,
        client_errors=window.client_errors,
        user_errors=window.user_errors,
        redirects=window.redirects,
        answers=window.answers,
        empty_answers=window.empty_answers,
        answer_bytes=window.answer_bytes,
        errors=dict(sorted(window.errors.items())),
        error_rate=window.measure("error_rate").value,
        latency_p50_seconds=window.measure("latency_p50").value,
        latency_p95_seconds=window.measure("latency_p95").value,
        latency_p99_seconds=window.measure("latency_p99").value,
        up=window.measure("up").value,
        probes=window.probes,
        memory_bytes=window.memory_bytes,
        cpu_cores=window.cpu_cores,
        arrived=window.arrived,
        refused=dict(sorted(window.refused.items())),
    )


def points(
    samples: Sequence[Sample], *, start: datetime, end: datetime, limit: int = POINTS
) -> tuple[Point, ...]:
    """Return the samples of one system merged into at most `limit` + 1 points of even length.

    Args:
        samples: Samples of one system and one resolution, in any order.
        start: Start of the charts.
        end: End of the charts; the last point may reach less far than the others.
        limit: Most points wished.
    """
    if not samples:
        return ()
    resolution = max(sample.resolution for sample in samples)
    wished = math.ceil((end - start).total_seconds() / limit)
    step = max(1, math.ceil(wished / resolution)) * resolution
    first = int(start.timestamp()) // resolution * resolution
    groups: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[first + (sample.at - first) // step * step].append(sample)
    last = end.timestamp()
    return tuple(
        _point(at, min(float(step), math.ceil(last - at)), groups[at])
        for at in sorted(groups)
        if first <= at < last
    )


def outage(samples: Iterable[Sample]) -> Outage:
    """Return what users noticed, from the samples of both systems.

    A span counts as down when requests came and every one of them failed for its user, whichever
    system it was meant for.
    """
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for sample in samples:
        key = (sample.at, sample.resolution)
        requests, errors = spans.get(key, (0, 0))
        spans[key] = (requests + sample.requests, errors + sample.user_errors)
    items = [(length, requests, errors) for (_, length), (requests, errors) in spans.items()]
    return Outage(
        requests=sum(requests for _, requests, _ in items),
        user_errors=sum(errors for _, _, errors in items),
        seconds_with_errors=sum(length for length, _, errors in items if errors),
        down_seconds=sum(length for length, requests, errors in items if 0 < requests <= errors),
        resolution_seconds=max((length for length, _, _ in items), default=1),
    )


def _point(at: int, seconds: float, group: list[Sample]) -> Point:
    window = combine(group, seconds=seconds)
    return Point(
        at=datetime.fromtimestamp(at, UTC),
        seconds=seconds,
        requests=window.requests,
        user_errors=window.user_errors,
        errors=sum(window.errors.values()),
        error_rate=window.measure("error_rate").value,
        latency_p95_seconds=window.measure("latency_p95").value,
        request_rate=window.requests / seconds if seconds > 0 else None,
        memory_bytes=window.memory_bytes,
    )
