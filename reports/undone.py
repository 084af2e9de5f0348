"""The report of one rollback: what led to it, what it changed, and what people must do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import changeover
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Rollback, RollbackStatus, TriggerFiring
from changeover.errors import InvalidInput
from changeover.plan.model import Plan
from changeover.store import audit, firings, publications, rollbacks, samples
from changeover.store.engine import Store
from reports import charts, measures, reading, text, timeline
from reports.canvas import Scene
from reports.kind import Ask, Kind, Report, of_page
from reports.model import SYSTEMS, Figures, Mark, Point, RollbackView
from reports.page import (
    Bar,
    Bars,
    Code,
    Items,
    Look,
    Page,
    Part,
    Section,
    Text,
    Tile,
    items,
    table,
)
from reports.sections import figure_rows, firing_cells, step_cells

BEFORE, AFTER = timedelta(minutes=10), timedelta(minutes=10)
"""How much time around a rollback the charts show."""
FIGURES = timedelta(minutes=5)
"""Figures before it are of so long, as those of the rollback's own analysis."""
_LOOKS: dict[RollbackStatus, Look] = {
    RollbackStatus.RUNNING: "warn", RollbackStatus.COMPLETED: "good",
    RollbackStatus.NEEDS_PERSON: "bad",
}
_WORDS = {
    RollbackStatus.RUNNING: "Rolling back", RollbackStatus.COMPLETED: "Rolled back",
    RollbackStatus.NEEDS_PERSON: "Rolled back, and people are needed",
}
_HEAD = ("Measured", "baseline before", "candidate before", "baseline after")


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """Everything that the report of a rollback says.

    Args:
        migration: Name of the migration.
        generated_at: When it was written.
        changeover_version: Of the program.
        systems: The names that people gave both systems.
        rollback: The rollback with its steps, its analysis, and what people must do.
        firings: Triggers that fired in the minutes before, with when the gateway confirmed.
        seconds_to_gateway: From the first firing's complete evidence to the gateway's
            confirmation; null when no trigger fired.
        before: Figures of both systems in the five minutes before it.
        after: Figures of both systems in the minutes after it.
        series: Points of the charts, by system.
        publications: What was published to the gateway meanwhile.
        start: Start of the charts.
        end: End of the charts.
    """

    migration: str
    generated_at: datetime
    changeover_version: str
    systems: Mapping[str, str]
    rollback: RollbackView
    firings: tuple[TriggerFiring, ...]
    seconds_to_gateway: float | None
    before: tuple[Figures, ...]
    after: tuple[Figures, ...]
    series: Mapping[str, tuple[Point, ...]]
    publications: tuple[Publication, ...]
    start: datetime
    end: datetime


def collect(store: Store, plan: Plan, ask: Ask) -> RollbackReport:
    """Return what there is to say of a rollback.

    Raises:
        InvalidInput: There was none, or not that one.
    """
    record, is_newest = _find(store, plan, ask.number)
    began = record.started_at
    start, end = began - BEFORE, min(ask.now, (record.ended_at or began) + AFTER)
    fired = []
    for each in firings.all_of(store, plan.migration, since=start):
        if each.fired_at <= end and record.was_led_to_by(each):
            fired.append(each)
    published = []
    for publication in publications.all_of(store, plan.migration):
        if start <= publication.at <= end:
            published.append(publication)
    return RollbackReport(
        migration=plan.migration, generated_at=ask.now,
        changeover_version=changeover.__version__, systems=reading.system_names(plan),
        rollback=reading.rollback_view(store, record, is_newest=is_newest),
        firings=tuple(fired), seconds_to_gateway=_to_gateway(fired),
        before=reading.figures_of(store, plan, began - FIGURES, began),
        after=reading.figures_of(store, plan, began, max(began, min(end, began + FIGURES))),
        series=_series(store, plan, start, end), publications=tuple(published),
        start=start, end=end,
    )


def _find(store: Store, plan: Plan, number: int | None) -> tuple[Rollback, bool]:
    """Return the rollback with that id, or the newest, and whether it is the newest."""
    every = rollbacks.all_of(store, plan.migration)
    if not every:
        raise InvalidInput(
            f"{plan.migration} was never rolled back", where="report rollback",
            next_step="See `changeover report cutover` for what happened so far")
    if number is None:
        return every[-1], True
    for each in every:
        if each.id == number:
            return each, each is every[-1]
    raise InvalidInput(
        f"there is no rollback {number}", where="--id",
        allowed=", ".join(str(each.id) for each in every))


def _to_gateway(fired: list[TriggerFiring]) -> float | None:
    for each in fired:
        if each.published_at is not None:
            return (each.published_at - each.evidence_complete_at).total_seconds()
    return None


def _series(
    store: Store, plan: Plan, start: datetime, end: datetime
) -> dict[str, tuple[Point, ...]]:
    found = {}
    for system in SYSTEMS:
        rows = samples.series(
            store, plan.migration, system, start=start, end=end, points=measures.POINTS)
        found[system] = measures.points(rows, start=start, end=end)
    return found


def page(data: RollbackReport, marks: tuple[Mark, ...]) -> Page:
    """Return the report as a page."""
    record = data.rollback.record
    took = None if record.ended_at is None else (
        record.ended_at - record.started_at).total_seconds()
    status = RollbackStatus(record.status)
    return Page(
        kind="rollback", migration=data.migration, subject=f"rollback {record.id}",
        look=_LOOKS[status], title=_WORDS[status],
        sentence=f"Users were sent back to {data.systems['baseline']}: "
        f"{text.one_line(record.reason)}.",
        facts=(
            ("Decided by", record.actor), ("Severity", str(record.severity)),
            ("Scope", record.scope), ("Began", text.moment(record.started_at)),
            ("Ended", text.moment(record.ended_at)), ("Took", text.duration(took)),
            ("Epoch", str(record.epoch)),
        ),
        tiles=_tiles(data), sections=tuple(_sections(data, marks)),
        systems=dict(data.systems), generated_at=data.generated_at,
        version=data.changeover_version,
    )


def _tiles(data: RollbackReport) -> tuple[Tile, ...]:
    saw = data.rollback.record.analysis.get("users_saw") or {}
    errors, requests = saw.get("errors"), saw.get("requests")
    tiles = [Tile(
        "from evidence to gateway", text.duration(data.seconds_to_gateway),
        "until the gateway confirmed" if data.firings else "no trigger fired")]
    if isinstance(errors, int) and isinstance(requests, int):
        saved = int(saw.get("saved_by_the_baseline", 0))
        tiles += [
            Tile("errors that users saw", text.count(errors),
                 f"of {text.counted(requests, 'request')} since the cutover began"),
            Tile("saved by the baseline", text.count(saved), "answered in the candidate's place"),
        ]
    if data.before and data.after:
        before, after = data.before[1], data.after[0]
        tiles += [
            Tile("candidate failed before", text.share(before.value("error_rate")),
                 f"of {text.counted(before.window.requests, 'request')}"),
            Tile("baseline failed after", text.share(after.value("error_rate")),
                 f"of {text.counted(after.window.requests, 'request')}"),
        ]
    return tuple(tiles)


def _sections(data: RollbackReport, marks: tuple[Mark, ...]) -> list[Section]:
    view, analysis = data.rollback, data.rollback.record.analysis
    found = []
    if view.must_do:
        found.append(Section(
            "todo", "What a person must do", (items(view.must_do, "warn"),)))
    scene = Scene(data.start, data.end, marks, data.systems)
    drawn: tuple[Part, ...] = tuple(charts.draw_series(
        scene, data.series, ("error-rate", "latency-p95", "requests")))
    nothing = (Text("Nothing was measured in this time."),)
    found += [
        Section("charts", "Ten minutes before and after", drawn or nothing),
        Section("figures", "Before and after", (
            Text("The five minutes before users were moved, and the five after."), _figures(data))),
        Section("fired", "What fired", (_fired(data),)),
        Section("steps", "Steps", (table(
            ("Step", "State", "Detail", "Took"), map(step_cells, view.steps)),)),
    ]
    machine = analysis.get("machine")
    if isinstance(machine, dict):
        found.append(Section("machine", "The machine meanwhile", (_machine(machine),)))
    lines = analysis.get("error_log")
    if isinstance(lines, list) and lines:
        shown = tuple(str(line) for line in lines)
        found.append(Section("log", "The candidate's log", (Code("Newest errors", shown),)))
    return found


def _figures(data: RollbackReport) -> Part:
    # one table of three columns: before there were two systems, afterwards one
    columns = (*data.before, *data.after[:1])
    rows = []
    for row in figure_rows(columns):
        if any(value not in ("0", "no data", "–") for value in row.values):
            rows.append((row.label, *row.values))
    return table(_HEAD, rows)


def _fired(data: RollbackReport) -> Part:
    if not data.firings:
        return Text("No trigger fired: somebody decided it.")
    head = ("Trigger", "Action", "Reason", "Evidence complete", "Gateway confirmed after")
    return table(head, map(firing_cells, data.firings))


def _machine(found: Mapping[str, Any]) -> Part:
    bars = []
    for name, label in (("memory_percent", "memory"), ("cpu_percent", "CPU"),
                        ("disk_percent", "disk")):
        value = found.get(name)
        if isinstance(value, int | float):
            look: Look = "warn" if value > 90 else "plain"
            bars.append(Bar(label, value / 100, f"{value:.0f} % used", look))
    return Bars(tuple(bars)) if bars else Items(())


def build(store: Store, plan: Plan, ask: Ask) -> Report:
    """Return the report of a rollback."""
    data = collect(store, plan, ask)
    events = audit.events(store, plan.migration)
    titles = {stage.key: stage.title for stage in plan.stages()}
    marks = timeline.marks(events, titles, start=data.start, end=data.end)
    name = f"{plan.migration}-rollback-{data.rollback.record.id}"
    return of_page("rollback", name, data, page(data, marks))


KIND = Kind(
    "rollback", "what led to a rollback, what it changed, and what people must do",
    RollbackReport, build)
