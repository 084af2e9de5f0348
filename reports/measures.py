"""From samples to the chart points and the outage of a report. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from changeover.analysis.window import Sample, Window, combine
from reports.model import Outage, OutcomePoint, Point

POINTS = 150
"""Most points of one chart line: finer than that nobody sees, and files stay small."""


def points(
    samples: Sequence[Sample], *, start: datetime, end: datetime, limit: int = POINTS
) -> tuple[Point, ...]:
    """Return the samples of one system merged into at most `limit` + 1 points of even length.

    Args:
        samples: Samples of one system and one resolution, in any order.
        start: Start of the charts.
        end: End of the charts; the last point may reach less far than the others.
        limit: Most points wanted.
    """
    if not samples:
        return ()
    resolution = max(sample.resolution for sample in samples)
    wanted = math.ceil((end - start).total_seconds() / limit)
    # a multiple of the samples' own length: one of them cannot be divided
    step = max(1, math.ceil(wanted / resolution)) * resolution
    first = int(start.timestamp()) // resolution * resolution
    groups: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[first + (sample.at - first) // step * step].append(sample)
    last = end.timestamp()
    found = []
    for at in sorted(groups):
        if first <= at < last:
            # the last point ends with the chart: its rate is of the time that it covers
            length = min(float(step), math.ceil(last - at))
            found.append(_point(at, length, groups[at]))
    return tuple(found)


def outcome_points(windows: Mapping[int, Window]) -> tuple[OutcomePoint, ...]:
    """Return the reported outcomes of one system as points.

    Args:
        windows: Windows of outcomes by the second in which each begins, in order.
    """
    found = []
    for at, window in windows.items():
        found.append(OutcomePoint(
            at=datetime.fromtimestamp(at, UTC),
            seconds=window.seconds,
            outcomes=window.outcomes,
            outcome_rate=window.outcomes / window.seconds,
            outcome_error_rate=window.measure("outcome_error_rate").value,
            outcome_duration_p95_seconds=window.measure("outcome_duration_p95").value,
        ))
    return tuple(found)


def outage(samples: Iterable[Sample]) -> Outage:
    """Return what users noticed, from the samples of both systems.

    A span counts as down when requests came and every one of them failed for its user, whichever
    system it was meant for.
    """
    # imported when a report is rendered: no flow or command pays for it at its start
    import pandas as pd

    rows = [(row.at, row.resolution, row.requests, row.user_errors) for row in samples]
    frame = pd.DataFrame(rows, columns=["at", "length", "requests", "errors"])
    spans = frame.groupby(["at", "length"], as_index=False).sum()
    # of both systems together: users notice an answer, not who gave it
    has_errors = spans.errors > 0
    is_down = (spans.requests > 0) & (spans.requests <= spans.errors)
    return Outage(
        requests=int(spans.requests.sum()),
        user_errors=int(spans.errors.sum()),
        seconds_with_errors=int(spans.length[has_errors].sum()),
        down_seconds=int(spans.length[is_down].sum()),
        # empty frames have no greatest length
        resolution_seconds=int(spans.length.max()) if rows else 1,
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
