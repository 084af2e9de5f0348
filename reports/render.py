"""From the view model to HTML, Markdown and JSON, and to files that appear whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.machine.files import READABLE_BY_ALL, write_atomically
from changeover.plan import yaml12
from changeover.plan.metrics import METRICS
from reports import charts, differences, markdown, outcomes, procedure, sections, tables, text
from reports.model import ReportData

FORMAT = 1
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


def render_html(data: ReportData) -> str:
    """Return the report as one page that needs nothing else: no network, no script."""
    used = sorted({
        str(check.get("metric"))
        for stage in data.stages for look in stage.looks for check in look.evidence
    })
    return environment().get_template("report.html.j2").render(
        data=data,
        charts=[(chart, Markup(chart.svg)) for chart in charts.draw(data)],  # noqa: S704
        tiles=sections.tiles(data),
        metrics=[METRICS[name] for name in used if name in METRICS],
        plan=_yaml(data.plan),
    )


def render_markdown(data: ReportData) -> str:
    """Return the report as Markdown: the same content without charts."""
    return markdown.render(data)


def render_json(data: ReportData) -> str:
    """Return the report for programs, as JSON.

    The keys are the fields of `reports.model.ReportData` and of the records inside, and stay the
    same within one `format`:

        format             1; grows when a key changes its meaning or goes away
        migration, subject (`cutover` or `status`), generated_at, changeover_version
        systems            {baseline, candidate}: the names people gave them
        headline           {status, word, sentence, decided_by[], started_at, ended_at, seconds}
        cutover            {id, epoch, status, flow_run_id, started_at, ended_at, outcome} or null
        routing            the routing state in one phrase
        start, end         the time that all numbers cover; `chart_end` that of series and marks
        outage             {requests, user_errors, seconds_with_errors, down_seconds,
                           resolution_seconds}
        figures[]          per system: {requests, user_errors, client_errors, redirects,
                           answers, empty_answers, answer_bytes, errors{class: n},
                           error_rate, latency_p50_seconds, _p95_, _p99_, up, probes,
                           memory_bytes, cpu_cores, arrived, refused{reason: n}}; the last two
                           are the gateway's, the same for both systems
        stages[]           {key, title, status, weight, segments[], soak_seconds, approvers, round,
                           entered_at, decided_at, seconds, decision, reason, figures[],
                           looks[{gate, round, attempt, verdict, reason, at, evidence[]}],
                           approvals[{decision, approver, comment, source, asked_at, ...}]}
        timeline[]         {seq, at, kind, title, detail, actor, tone, stage, count}
        marks[], weights[] decisions, and the decided share of users over time
        series             {baseline[], candidate[]}: points of the charts
        firings[], rollbacks[{record, steps[], must_do[]}], publications[]
        audit              {events, head_hash, problems[]}: intact when `problems` is empty
        differences        what differs between the answers: {findings[{place, verdict,
                           suggestion}], coverage{outcome: n}, latency[2]}; null without shadow
        procedure          what was done around the stages: {steps[{name, status, detail, at,
                           seconds}], criteria[{text, is_met, detail}]}; null without a cutover
        outcomes[]         what applications reported: {system, segment (empty: all), outcomes,
                           error_rate, duration_p50_seconds, _p95_, quality{name: mean}}
        plan               the plan, without what may be a secret

    Times are ISO 8601 in UTC; `_seconds` are seconds, `_bytes` bytes, rates shares 0..1, `weight`
    buckets 0..10000 (2500 is 25 %). null means that nothing was measured.
    """
    content = {"format": FORMAT, **_plain(data)}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write(data: ReportData, directory: Path, *, name: str) -> dict[str, Path]:
    """Write the three files, each replaced as a whole; return their paths by kind.

    Args:
        data: What the report says.
        directory: Where; made when it is missing.
        name: The files' name without ending, for instance `documents-cutover-3`.

    Returns:
        `html`, `markdown` and `json`.

    Raises:
        InvalidInput: `name` is not a plain file name.
        EnvironmentProblem: The directory cannot be made or written.
    """
    paths = write_files(
        {"json": render_json(data), "md": render_markdown(data), "html": render_html(data)},
        directory, name=name,
    )
    return {"html": paths["html"], "markdown": paths["md"], "json": paths["json"]}


def write_files(contents: Mapping[str, str], directory: Path, *, name: str) -> dict[str, Path]:
    """Write files that differ in their ending, each replaced as a whole; return their paths.

    Args:
        contents: Texts by ending, as `html`.
        directory: Where; made when it is missing.
        name: The files' name without ending.

    Raises:
        InvalidInput: `name` is not a plain file name.
        EnvironmentProblem: The directory cannot be made or written.
    """
    if not _FILE_NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name for a report",
                           allowed="letters, digits, dots, dashes and underscores")
    paths = {ending: directory / f"{name}.{ending}" for ending in contents}
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"the report cannot be written: {error.strerror or error}", where=str(directory),
            next_step="Make the directory writable, or give another one; nothing else was changed",
        ) from error
    for ending, content in contents.items():
        write_atomically(paths[ending], content, mode=READABLE_BY_ALL)
    return paths


def _plain(value: Any) -> Any:
    """Return a value of the view model as what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml12.dump(_plain(value))


def _with_code(value: object) -> Markup:
    """Return an escaped text with what stands between backticks shown as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(value))))  # noqa: S704


@cache
def environment() -> Environment:
    """Return the templates, with what they may call."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        text=text, sections=sections, check_row=tables.check_row, differences=differences,
        procedure=procedure,
        outcome_head=outcomes.HEAD,
    )
    environment.filters.update(
        approval_cells=sections.approval_cells,
        firing_cells=sections.firing_cells,
        step_cells=sections.step_cells,
        publication_cells=sections.publication_cells,
        place_cells=differences.place_cells,
        outcome_cells=outcomes.cells,
        as_yaml=_yaml,
        code=_with_code,
    )
    return environment
