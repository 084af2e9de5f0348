"""From the audit's events to the timeline, the charts' marks and the traffic share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from changeover.domain.audit import AuditEvent
from changeover.domain.event_words import mark_of, words_of
from reports.model import Mark, Moment, WeightStep


def moments(
    events: Iterable[AuditEvent], titles: Mapping[str, str], *, start: datetime, end: datetime
) -> tuple[Moment, ...]:
    """Return the timeline of [start, end]; equal evaluations at a gate in a row become one line.

    Args:
        events: The audit's events in order.
        titles: Titles of the plan's stages by key.
        start: First moment shown.
        end: Last moment shown.
    """
    shown: list[Moment] = []
    for event in events:
        if not start <= event.at <= end:
            continue
        moment = _moment(event, titles)
        last = shown[-1] if shown else None
        # a gate that waits is judged every few minutes: hours of it are one line
        if last and event.kind == "gate.judged" and last.title == moment.title:
            shown[-1] = replace(moment, count=last.count + 1)
        else:
            shown.append(moment)
    return tuple(shown)


def weights(
    events: Iterable[AuditEvent], *, start: datetime, end: datetime
) -> tuple[WeightStep, ...]:
    """Return the candidate's decided share of users over time, from `start` on."""
    steps = [WeightStep(start, 0)]
    for event in events:
        weight = event.data.get("weight")
        if event.kind not in ("routing.changed", "rollback.started") or weight is None:
            continue
        if event.at > end:
            break
        step = WeightStep(max(event.at, start), int(weight))
        # the newest change before the start is the share with which the chart begins
        if event.at <= start:
            steps = [step]
        else:
            steps.append(step)
    return tuple(steps)


def marks(
    events: Iterable[AuditEvent], titles: Mapping[str, str], *, start: datetime, end: datetime
) -> tuple[Mark, ...]:
    """Return the decisions of [start, end] that the charts show as vertical lines."""
    found = (_mark(event, titles) for event in events if start <= event.at <= end)
    return tuple(mark for mark in found if mark is not None)


def _mark(event: AuditEvent, titles: Mapping[str, str]) -> Mark | None:
    found = mark_of(event, titles)
    return None if found is None else Mark(event.at, *found)


def _moment(event: AuditEvent, titles: Mapping[str, str]) -> Moment:
    said, stage = words_of(event, titles), event.data.get("stage")
    return Moment(
        seq=event.seq, at=event.at, kind=event.kind,
        title=said.title, detail=said.detail,
        actor=event.actor, tone=said.tone,
        stage=None if stage is None else str(stage))
