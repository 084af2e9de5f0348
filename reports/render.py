"""From the view model to HTML, and to files that appear whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.machine.files import READABLE_BY_ALL, write_atomically
from changeover.plan import yaml12
from changeover.plan.metrics import METRICS, Metric
from reports import (
    as_json,
    by_route,
    charts,
    check_charts,
    differences,
    markdown,
    members,
    outcomes,
    procedure,
    sections,
    tables,
    text,
)
from reports.model import ReportData
from reports.page import Page

# it becomes part of a path, so it must not lead out of the directory
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


def render_html(data: ReportData) -> str:
    """Return the report as one page that needs nothing else: no network, no script."""
    return environment().get_template("report.html.j2").render(
        data=data,
        # drawn by us, all texts in it escaped: it is markup, not text
        charts=[(chart, Markup(chart.svg)) for chart in charts.draw(data)],  # noqa: S704
        tiles=sections.tiles(data),
        route_charts=_route_charts(data),
        check_charts=_check_charts(data),
        decided=check_charts.rows(
            data.decided, {stage.key: stage.title for stage in data.stages}),
        metrics=_metrics(data),
        plan=_yaml(data.plan),
    )


def render_page(page: Page) -> str:
    """Return a report of any kind as one page that needs nothing else."""
    return environment().get_template("page.html.j2").render(page=page)


def _check_charts(data: ReportData) -> list[tuple[charts.Chart, Markup]]:
    if data.end <= data.start:
        return []
    drawn = check_charts.draw(charts.scene_of(data), data.checks)
    # drawn by us, all texts in it escaped: it is markup, not text
    return [(chart, Markup(chart.svg)) for chart in drawn]  # noqa: S704


def _route_charts(data: ReportData) -> list[tuple[charts.Chart, Markup]]:
    if data.end <= data.start:
        return []
    # drawn by us, all texts in it escaped: it is markup, not text
    return [(chart, Markup(chart.svg))  # noqa: S704
            for chart in by_route.draw(charts.scene_of(data), data.routes)]


def _metrics(data: ReportData) -> list[Metric]:
    """Return the metrics that the gates' evidence names, by name."""
    used: set[str] = set()
    for stage in data.stages:
        for evaluation in stage.evaluations:
            used.update(str(check.get("metric")) for check in evaluation.evidence)
    # a metric that this version does not know any more has no words
    return [METRICS[name] for name in sorted(used) if name in METRICS]


def render_markdown(data: ReportData) -> str:
    """Return the report as Markdown: the same content without charts."""
    return markdown.render(data)


def forms_of(data: ReportData) -> dict[str, str]:
    """Return the report in all its forms, by the files' endings."""
    return {
        "json": as_json.render_json(data), "md": render_markdown(data), "html": render_html(data)}


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
    paths = write_files(forms_of(data), directory, name=name)
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


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml12.dump(as_json.plain(value))


def _with_code(value: object) -> Markup:
    """Return an escaped text with what stands between backticks shown as code."""
    # escaped first: what people wrote between backticks stays text
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(value))))  # noqa: S704


@cache
def environment() -> Environment:
    """Return the templates, with what they may call."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        # a name that the template misspells is an error, not an empty place
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        text=text, sections=sections, check_row=tables.check_row, differences=differences,
        procedure=procedure, members=members,
        outcome_head=outcomes.HEAD, outcome_rows=outcomes.rows,
        route_head=by_route.HEAD, route_rows=by_route.rows, decided_head=check_charts.HEAD,
        trigger_head=sections.TRIGGER_HEAD,
    )
    environment.filters.update(
        approval_cells=sections.approval_cells,
        firing_cells=sections.firing_cells,
        trigger_cells=sections.trigger_cells,
        step_cells=sections.step_cells,
        publication_cells=sections.publication_cells,
        place_cells=differences.place_cells,
        as_yaml=_yaml,
        code=_with_code,
        # drawn by us, all texts in it escaped: it is markup, not text
        drawn=Markup,
    )
    return environment
