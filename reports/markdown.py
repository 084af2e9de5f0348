"""The report as Markdown: the same content as the page, without its charts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from changeover.domain.rollout import CutoverStatus, GateVerdict
from changeover.plan import yaml12
from reports import (
    by_route,
    check_charts,
    differences,
    members,
    outcomes,
    procedure,
    tables,
    text,
)
from reports.model import Figures, ReportData, RollbackView, StageView
from reports.sections import (
    TRIGGER_HEAD,
    approval_cells,
    figure_rows,
    firing_cells,
    publication_cells,
    publication_summary,
    step_cells,
    summary_rows,
    timeline_cells,
    trigger_cells,
)


def render(data: ReportData) -> str:
    """Return the report as Markdown."""
    sections = [_head(data), _section("Numbers", _numbers(data))]
    if data.routes:
        sections.append(_section("Routes", by_route.as_markdown(data.routes)))
    if data.procedure and data.procedure.steps:
        sections.append(_section("Procedure", procedure.as_markdown(data.procedure)))
    if data.group:
        sections.append(_section(f"Group {data.group['name']}", members.as_markdown(data.group)))
    sections.append(_section("Stages", _stages(data.stages)))
    for stage in data.stages:
        if stage.evaluations or stage.approvals:
            sections.append(_stage(stage))
    if data.decided:
        titles = {stage.key: stage.title for stage in data.stages}
        rows = check_charts.rows(data.decided, titles)
        sections.append(_section(
            "Evidence over time", text.markdown_table(check_charts.HEAD, rows)))
    if data.differences:
        sections.append(_section("What differs", differences.as_markdown(data.differences)))
    if data.outcomes:
        reported = outcomes.as_markdown(data.outcomes)
        sections.append(_section("What applications reported", reported))
    if data.triggers:
        table = text.markdown_table(TRIGGER_HEAD, map(trigger_cells, data.triggers))
        sections.append(_section("Triggers", table))
    sections.append(_section("Trigger firings", _firings(data)))
    sections += map(_rollback, data.rollbacks)
    sections += [
        _section("Timeline", _timeline(data)),
        _section("Publications", _publications(data)),
        _section("Audit chain", _audit(data)),
        _section("Plan", _fenced(data.plan)),
    ]
    return "\n\n".join(sections) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _head(data: ReportData) -> str:
    headline = data.headline
    is_running = headline.status == CutoverStatus.RUNNING
    decided = ", ".join(headline.decided_by) or "nobody"
    return "\n\n".join([
        f"# {text.markdown(data.migration)}: {text.markdown(headline.word)}",
        f"**{text.SIGNS.get(headline.status, '·')}** {text.markdown(headline.sentence)}",
        text.markdown_table(("", ""), [
            ("agreed so far" if is_running else "decided by", decided),
            ("began", text.moment(headline.started_at)),
            ("ended", text.moment(headline.ended_at)),
            ("took", text.duration(headline.seconds)),
            ("routing now", data.routing),
            *([("way back", text.markdown(data.way_back))] if data.way_back else []),
            ("report", f"{text.moment(data.generated_at)}, "
                       f"changeover {data.changeover_version}"),
        ]),
    ])


def _numbers(data: ReportData) -> str:
    covered = f"From {text.span(data.start, data.end)}."
    return "\n\n".join([
        covered,
        text.markdown_table(("what users noticed", ""), summary_rows(data)),
        _figures(data.figures),
    ])


def _figures(figures: tuple[Figures, ...]) -> str:
    return text.markdown_table(
        ("", *(f"{row.system} ({row.name})" for row in figures)),
        ((row.label, *row.values) for row in figure_rows(figures)),
    )


def _stages(stages: Iterable[StageView]) -> str:
    rows = []
    for stage in stages:
        audience = text.audience(stage.weight, stage.segments, stage.routes)
        rows.append((
            stage.title, audience, text.status(stage.status), text.moment(stage.entered_at),
            text.duration(stage.seconds), stage.reason))
    return text.markdown_table(
        ("stage", "on the candidate", "state", "entered", "time in it", "reason"), rows)


def _stage(stage: StageView) -> str:
    parts = [f"### Stage {text.markdown(stage.title)}"]
    if stage.figures:
        parts.append(tables.figures_markdown(stage.figures))
    parts += [_evaluation(evaluation) for evaluation in stage.evaluations]
    if stage.approvals:
        parts.append(text.markdown_table(
            ("round", "asked", "answered", "decision", "approver", "comment", "source"),
            (approval_cells(approval) for approval in stage.approvals),
        ))
    return "\n\n".join(parts)


def _evaluation(evaluation: GateVerdict) -> str:
    plans = [check["plan"] for check in evaluation.evidence if check.get("plan")]
    by_plan = f", plan `{plans[0]}`" if plans else ""
    line = (f"**{text.status(evaluation.verdict)}**: gate {text.markdown(evaluation.gate)}, round "
            f"{evaluation.round}, evaluation {evaluation.attempt + 1}, "
            f"{text.moment(evaluation.at)}{by_plan}: {text.markdown(evaluation.reason)}")
    rows = []
    for check in evaluation.evidence:
        row = tables.check_row(check)
        rows.append((tables.verdict_text(row), row.check, row.bound, row.value, row.baseline,
                     row.samples, row.window, row.reason))
    table = text.markdown_table(
        ("verdict", "check", "bound", "value", "baseline", "samples", "window", "reason"), rows)
    return f"{line}\n\n{table}"


def _firings(data: ReportData) -> str:
    if not data.firings:
        return "No trigger fired."
    return text.markdown_table(
        ("trigger", "action", "reason", "evidence complete", "gateway confirmed after"),
        (firing_cells(firing) for firing in data.firings),
    )


def _rollback(view: RollbackView) -> str:
    record = view.record
    took = "" if record.ended_at is None else (
        f", took {text.duration((record.ended_at - record.started_at).total_seconds())}"
    )
    parts = [
        f"## Rollback (epoch {record.epoch})",
        f"**{text.status(record.status)}**: {text.markdown(record.reason)}. Decided by "
        f"{text.markdown(record.actor)}, severity {text.markdown(record.severity)}, "
        f"{text.moment(record.started_at)}{took}.",
        text.markdown_table(("step", "state", "detail", "took"),
                            (step_cells(step) for step in view.steps)),
    ]
    if view.must_do:
        items = [f"- {text.markdown(item)}" for item in view.must_do]
        parts.append("\n".join(["A person must:", "", *items]))
    if record.analysis:
        parts += ["Analysis:", _fenced(record.analysis)]
    return "\n\n".join(parts)


def _timeline(data: ReportData) -> str:
    return text.markdown_table(
        ("time (UTC)", "", "what", "by", "detail"),
        (timeline_cells(moment) for moment in data.timeline),
    )


def _publications(data: ReportData) -> str:
    if not data.publications:
        return publication_summary(data.publications)
    table = text.markdown_table(
        ("version", "time", "confirmed", "took", "error"),
        (publication_cells(publication) for publication in data.publications),
    )
    return f"{publication_summary(data.publications)}\n\n{table}"


def _audit(data: ReportData) -> str:
    lines = [f"{text.counted(data.audit.events, 'event')}, head `{data.audit.head_hash}`."]
    if not data.audit.problems:
        return f"{lines[0]} ✓ verified: no event is missing or changed."
    lines += ["", *(f"- ✗ {text.markdown(problem)}" for problem in data.audit.problems)]
    return "\n".join(lines)


def _fenced(content: Mapping[str, Any]) -> str:
    """Return YAML in a fence that is longer than any run of backticks inside."""
    # a text in the plan may hold backticks: the fence must not end there
    body = yaml12.dump(dict(content))
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{body}{fence}"
