"""The report of the comparison: similarity over time, and what differs most with both values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import changeover
from changeover.analysis.check import describe_bound
from changeover.analysis.window import SHADOW
from changeover.comparison.noise import Judgement
from changeover.domain.comparisons import Place
from changeover.plan.metrics import Source
from changeover.plan.model import Plan
from changeover.shadow import scores
from changeover.shadow.findings import Finding, Findings
from changeover.store import audit, cutovers, samples
from changeover.store.engine import Store
from reports import differences, measures, reading, text, timeline
from reports.canvas import Chart, Scene
from reports.kind import Ask, Kind, Report, of_page
from reports.lines import Line, line_chart
from reports.model import Mark
from reports.page import Look, Page, Pairs, Part, Section, Text, Tile, table

MOST_EXAMPLES = 10
"""Places whose examples are shown with both values."""


@dataclass(frozen=True, slots=True)
class SimilarityPoint:
    """What was compared in `seconds` of time from `at`; None where nothing was."""

    at: datetime
    seconds: float
    compared: int
    matched: int
    similarity: float | None
    match_rate: float | None


@dataclass(frozen=True, slots=True)
class Bound:
    """What a gate of the plan asks of the comparison."""

    gate: str
    metric: str
    bound: str


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Everything that the report of the comparison says.

    Args:
        migration: Name of the migration.
        generated_at: When it was written.
        changeover_version: Of the program.
        systems: The names that people gave both systems.
        start: Start of the time that is shown.
        end: End of it.
        points: Similarity over time.
        bounds: What the plan's gates ask.
        differences: Every place that differs, regressions first; with `--hours`, only places that
            were seen in that time. Null without shadow comparison in the plan.
    """

    migration: str
    generated_at: datetime
    changeover_version: str
    systems: Mapping[str, str]
    start: datetime
    end: datetime
    points: tuple[SimilarityPoint, ...]
    bounds: tuple[Bound, ...]
    differences: Findings | None


def collect(store: Store, plan: Plan, ask: Ask) -> ComparisonReport:
    """Return what the comparison found."""
    start = ask.since or _first(store, plan, ask.now)
    found = scores.collect(store, plan.migration) if plan.shadow else None
    if found is not None and ask.since is not None:
        found = seen_since(found, ask.since)
    bounds = []
    for gate, checks in plan.all_gates.items():
        for check in checks:
            if check.measured.source is Source.COMPARISON:
                bounds.append(Bound(gate, check.measured.words, describe_bound(check)))
    return ComparisonReport(
        migration=plan.migration, generated_at=ask.now,
        changeover_version=changeover.__version__, systems=reading.system_names(plan),
        start=start, end=ask.now, points=points(store, plan, start, ask.now),
        bounds=tuple(bounds), differences=found,
    )


def _first(store: Store, plan: Plan, now: datetime) -> datetime:
    """Return when the newest cutover began, or the migration."""
    cutover = cutovers.latest(store, plan.migration)
    if cutover is not None:
        return min(cutover.started_at, now)
    events = audit.events(store, plan.migration, limit=1)
    return min([each.at for each in events] or [now])


def seen_since(found: Findings, since: datetime) -> Findings:
    """Return the findings at places that differed since a time."""
    lately = tuple(each for each in found.findings if each.place.last_seen >= since)
    return Findings(lately, found.coverage, found.latency)


def points(
    store: Store, plan: Plan, start: datetime, end: datetime
) -> tuple[SimilarityPoint, ...]:
    """Return similarity over time, in at most as many points as a chart shows."""
    found = []
    rows = samples.series(
        store, plan.migration, SHADOW, start=start, end=end, points=measures.POINTS)
    for row in rows:
        number = row.compared
        found.append(SimilarityPoint(
            datetime.fromtimestamp(row.at, UTC), float(row.resolution), number, row.matched,
            row.similarity / number if number else None,
            row.matched / number if number else None))
    return tuple(found)


def page(data: ComparisonReport, marks: Sequence[Mark]) -> Page:
    """Return the report as a page."""
    found = data.differences
    look, title, sentence = verdict_of(found)
    facts = [("From", text.moment(data.start)), ("To", text.moment(data.end))]
    for bound in data.bounds:
        facts.append((f"Gate {bound.gate} asks", f"{bound.metric} {bound.bound}"))
    return Page(
        kind="comparison", migration=data.migration, subject="comparison of the answers",
        look=look, title=title, sentence=sentence, facts=tuple(facts),
        tiles=_tiles(data, found) if found else (),
        sections=tuple(_sections(data, found, marks)), systems=dict(data.systems),
        generated_at=data.generated_at, version=data.changeover_version,
    )


def verdict_of(found: Findings | None) -> tuple[Look, str, str]:
    """Return the look, the word and the sentence of what was found."""
    if found is None:
        return "plain", "Nothing is compared", "The plan has no `shadow`: no request is copied."
    if not found.coverage.get("compared"):
        return "plain", "No comparison yet", "No copied request was compared so far."
    counts = dict.fromkeys(Judgement, 0)
    for each in found.findings:
        counts[each.verdict.judgement] += 1
    line = differences.coverage_line(found)
    sentence = f"{line[:1].upper()}{line[1:]}."
    if number := counts[Judgement.REGRESSION]:
        return "bad", text.counted(number, "regression"), sentence
    if counts[Judgement.INCONCLUSIVE]:
        number = counts[Judgement.INCONCLUSIVE]
        return "warn", f"{text.counted(number, 'place')} undecided", sentence
    return "good", "No regression", sentence


def _tiles(data: ComparisonReport, found: Findings) -> tuple[Tile, ...]:
    compared = sum(point.compared for point in data.points)
    matched = sum(point.matched for point in data.points)
    similar = sum((point.similarity or 0) * point.compared for point in data.points)
    firm = sum(each.verdict.is_firm for each in found.findings)
    tiles = [
        Tile("answers that match", text.share(matched / compared if compared else None),
             f"of {text.counted(compared, 'comparison')} in this time"),
        Tile("mean similarity", text.share(similar / compared if compared else None),
             "1 is the same answer"),
        Tile("places that differ", text.count(len(found.findings)), f"{firm} of them firmly worse"),
    ]
    if found.latency is not None:
        baseline, candidate = map(text.milliseconds, found.latency)
        tiles.append(Tile("median of the candidate", candidate,
                          f"baseline {baseline}, same requests"))
    return tuple(tiles)


def _sections(
    data: ComparisonReport, found: Findings | None, marks: Sequence[Mark]
) -> list[Section]:
    nothing: Part = Text("Nothing was compared in this time.")
    drawn = chart(data, marks)
    sections = [Section("over-time", "Similarity over time", (drawn or nothing,))]
    if found is None or not found.findings:
        return sections
    worst = table(differences.PLACE_HEAD, map(differences.place_cells, found.findings))
    sections.append(Section("places", "What differs", (worst,)))
    pairs = examples(found.findings, data.systems, most=MOST_EXAMPLES)
    if pairs:
        sections.append(Section("examples", "Both answers side by side", tuple(pairs)))
    return sections


def chart(data: ComparisonReport, marks: Sequence[Mark]) -> Chart | None:
    """Return similarity and share of matches over time; None without any comparison."""
    lines = []
    for name, label in (("similarity", "mean similarity"), ("match_rate", "answers that match")):
        values = []
        for point in data.points:
            value = getattr(point, name)
            if value is not None:
                values.append((point.at, 100 * value))
        lines.append(Line(label, tuple(values), "candidate" if name == "similarity" else "ink"))
    if not any(line.points for line in lines):
        return None
    scene = Scene(data.start, data.end, marks, data.systems)
    return line_chart(scene, lines, name="similarity", title="Similarity of the answers",
                      unit="%")


def examples(
    findings: Sequence[Finding], systems: Mapping[str, str], *, most: int
) -> list[Pairs]:
    """Return examples of the first places, with both values."""
    head = ("Request and place", systems["baseline"], systems["candidate"])
    found: list[Pairs] = []
    for each in findings:
        if each.place.examples and len(found) < most:
            rows = tuple(_example(one) for one in each.place.examples)
            hint = f"{each.verdict.reason}; {each.suggestion}"
            found.append(Pairs(_title(each.place), hint, head, rows))
    return found


def _title(place: Place) -> str:
    return f"`{place.field}` differs {text.counted(place.diverged, 'time')}"


def _example(one: Mapping[str, str | None]) -> tuple[str, str, str | None, str | None]:
    return (str(one.get("request", "")), str(one.get("path", "")),
            one.get("baseline"), one.get("candidate"))


def build(store: Store, plan: Plan, ask: Ask) -> Report:
    """Return the report of the comparison."""
    data = collect(store, plan, ask)
    titles = {stage.key: stage.title for stage in plan.stages()}
    marks = timeline.marks(
        audit.events(store, plan.migration), titles, start=data.start, end=data.end)
    return of_page("comparison", f"{plan.migration}-comparison", data, page(data, marks))


KIND = Kind(
    "comparison", "similarity of the answers over time, and what differs with both values",
    ComparisonReport, build)
