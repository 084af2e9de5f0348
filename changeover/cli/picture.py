"""What the live screen shows of a migration, read from the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from changeover.analysis.nearness import nearness
from changeover.analysis.window import Sample, combine
from changeover.domain.rollout import StageStatus
from changeover.domain.routing import System
from changeover.plan.units import format_duration
from changeover.site import status as status_of
from changeover.site.site import Site
from changeover.store import gateway_seconds

SPAN = timedelta(minutes=10)
"""What the lines show: the newest minutes."""
POINTS = 60
METRICS = ("request_rate", "error_rate", "latency_p95")
Line = list[float | None]


@dataclass(frozen=True, slots=True)
class Picture:
    """A migration at one moment.

    Args:
        status: What `changeover status` shows.
        lines: For each system and metric the newest values, oldest first.
        stages: Keys of the plan's stages, in order.
        near: How near each trigger is to firing: 1 is at its bound; None: nobody knows.
        at: When it was taken.
    """

    status: dict[str, Any]
    lines: dict[str, dict[str, Line]]
    stages: list[str]
    near: dict[str, float | None]
    at: datetime
    soak_left: timedelta | None = field(default=None)

    @property
    def soak_text(self) -> str:
        """How long the present stage soaks still; empty when none soaks."""
        if self.soak_left is None:
            return ""
        if self.soak_left <= timedelta(0):
            return "soak over"
        # parts of a second would flicker
        whole = timedelta(seconds=round(self.soak_left.total_seconds()))
        return f"soak left {format_duration(whole)}"


def take(site: Site, *, now: datetime) -> Picture:
    """Return how a migration stands and how its systems did in the newest ten minutes."""
    status = status_of.collect(site, now=now)
    # seconds, not the minutes that they are summed up to: those would stand as peaks among blanks
    seconds = gateway_seconds.recent(site.store, site.migration, since=now - SPAN)
    lines = {}
    for system in map(str, System):
        own = [each for each in seconds if each.system == system]
        lines[system] = _lines(own, now)
    near: dict[str, float | None] = {}
    for spec, each in zip(site.plan.triggers, status["triggers"], strict=True):
        # what nobody judged of late says nothing of now
        near[spec.name] = None
        if not each["is_old"]:
            near[spec.name] = nearness(spec, each["value"], each["evidence"])
    stages = [stage.key for stage in site.plan.stages()]
    return Picture(status, lines, stages, near, now, _soak_left(status, now))


def _lines(rows: list[Sample], now: datetime) -> dict[str, Line]:
    """Return a value for each step of the time, None where nothing was measured."""
    step = int(SPAN.total_seconds()) // POINTS
    newest = int(now.timestamp())
    by_step: dict[int, list[Sample]] = {}
    for row in rows:
        # the newest seconds may still be incomplete, and none is later than now
        number = max(0, newest - 1 - row.at) // step
        by_step.setdefault(number, []).append(row)
    found: dict[str, Line] = {metric: [] for metric in METRICS}
    for number in range(POINTS - 1, -1, -1):
        window = combine(by_step.get(number, []), seconds=step)
        for metric in METRICS:
            found[metric].append(window.measure(metric).value)
    return found


def _soak_left(status: dict[str, Any], now: datetime) -> timedelta | None:
    stages = status["stages"]
    if not stages or stages[-1]["status"] != StageStatus.SOAKING:
        return None
    return datetime.fromisoformat(stages[-1]["soak_until"]) - now
