"""Where the time of each stage went. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from changeover.domain.audit import AuditEvent
from reports.lessons.model import StageTime
from reports.model import StageView

Span = tuple[datetime, datetime]


def stage_times(
    stages: Iterable[StageView], pauses: Sequence[Span], *, end: datetime
) -> tuple[StageTime, ...]:
    """Return where the time of every stage went that was entered.

    A moment counts once: as soak while the plan's soak lasts, else as paused, else as waiting for
    people, else as other.

    Args:
        stages: The plan's stages with what became of them.
        pauses: When the cutover was paused, in order.
        end: When the cutover ended, or now.
    """
    found = []
    for stage in stages:
        if stage.entered_at is not None:
            found.append(_time(stage, stage.entered_at, pauses, end))
    return tuple(found)


def _time(
    stage: StageView, start: datetime, pauses: Sequence[Span], end: datetime
) -> StageTime:
    until = max(start, stage.decided_at or end)
    total = (until - start).total_seconds()
    # a stage that was left early soaked for as long as it lasted
    soak = min(stage.soak_seconds, total)
    after = start.timestamp() + soak
    asked = []
    for approval in stage.approvals:
        asked.append((approval.asked_at, approval.answered_at or until))
    paused = _inside(pauses, after, until.timestamp())
    both = _inside([*pauses, *asked], after, until.timestamp())
    people = both - paused
    return StageTime(
        key=stage.key, title=stage.title, status=str(stage.status), weight=stage.weight,
        seconds=total, soak_seconds=soak, people_seconds=people, paused_seconds=paused,
        other_seconds=max(0.0, total - soak - both), rounds=stage.round, rechecks=stage.rechecks)


def _inside(spans: Iterable[Span], start: float, end: float) -> float:
    """Return how many seconds of [start, end) lie in at least one of the spans."""
    total, until = 0.0, start
    for begin, finish in sorted(spans):
        first, last = max(begin.timestamp(), until), min(finish.timestamp(), end)
        # two people who are asked at once are waited for once
        if last > first:
            total, until = total + last - first, last
    return total


def pauses_of(events: Iterable[AuditEvent], *, start: datetime, end: datetime) -> list[Span]:
    """Return when the cutover was paused, by the audit's events in order."""
    found: list[Span] = []
    since: datetime | None = None
    for event in events:
        if not start <= event.at <= end:
            continue
        if event.kind == "cutover.pause" and since is None:
            since = event.at
        elif event.kind == "cutover.resume" and since is not None:
            found.append((since, event.at))
            since = None
    # nobody has let it go on
    return found if since is None else [*found, (since, end)]
