"""Writes Grafana's dashboards: `python -m docs.monitoring.dashboards`.

What a dashboard shows stands in `panels.py`. Grafana's own types make the JSON, so it is what
Grafana reads. A test holds that the files are what this writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    dashboard,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueTextMode, VizOrientation
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableRefresh,
    VariableSort,
)

from docs.monitoring.panels import DASHBOARDS, Board, Panel, View

FOLDER = Path(__file__).with_name("grafana")
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
OF = 'migration="$migration"'
"""The selector of every query: `M` in `panels.py` stands for it."""
SIZES = {View.STAT: (4, 4), View.LINES: (12, 8), View.BARS: (12, 8), View.TABLE: (24, 8)}
"""Width (of 24 columns) and height of a panel."""
ROLLBACKS = f"changes(changeover_routing_epoch{{{OF}}}[1m]) > 0"
STAGES = (f"changeover_stage_entered_timestamp_seconds{{{OF}}} > "
          f"changeover_stage_entered_timestamp_seconds{{{OF}}} offset 1m")


def expression(query: str) -> str:
    """Return a query with the selector of the migration."""
    return query.replace("{M", "{" + OF)


def built(board: Board) -> dict[str, Any]:
    """Return a dashboard as Grafana's JSON."""
    made = (
        dashboard.Dashboard(f"Changeover: {board.title}")
        .uid(f"changeover-{board.name}").description(board.text)
        .tags(["changeover"]).refresh("5s").time("now-1h", "now").timezone("browser")
        .editable().tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(_source()).with_variable(_migration())
        .annotation(_marks("Rollbacks", ROLLBACKS, "red"))
        .annotation(_marks("Stages", STAGES, "blue"))
        .link(dashboard.DashboardLink("Changeover").type("dashboards").tags(["changeover"])
              .include_vars(True).keep_time(True)))
    for row in board.rows:
        made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made.with_panel(_panel(panel))
    document: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    return document


def _source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _migration() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("migration").label("Migration").datasource(SOURCE)
        .query("label_values(changeover_migration_info, migration)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC))


def _marks(name: str, query: str, colour: str) -> dashboard.AnnotationQuery:
    return (dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True)
            .icon_color(colour).expr(query))


def _panel(panel: Panel) -> Any:
    made = _VIEWS[panel.view](panel)
    width, height = SIZES[panel.view]
    made.title(panel.title).description(panel.text).datasource(SOURCE)
    made.span(panel.width or width).height(height).unit(panel.unit)
    if panel.none:
        made.no_value(panel.none)
    for number, (query, legend) in enumerate(panel.queries):
        asked = (prometheus.Dataquery().expr(expression(query)).legend_format(legend)
                 .ref_id(chr(ord("A") + number)).datasource(SOURCE))
        # a table and a single number show what is now
        made.with_target(asked.range() if panel.view is View.LINES else asked.instant())
    return made


def _stat(panel: Panel) -> stat.Panel:
    mode = BigValueTextMode.NAME if panel.is_name else BigValueTextMode.VALUE
    return stat.Panel().text_mode(mode)


def _lines(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().line_width(1).fill_opacity(10)
    return made.min(0) if panel.is_from_zero else made


def _bars(panel: Panel) -> bargauge.Panel:
    return bargauge.Panel().min(0).orientation(VizOrientation.HORIZONTAL)


def _table(panel: Panel) -> table.Panel:
    return table.Panel()


_VIEWS = {View.STAT: _stat, View.LINES: _lines, View.BARS: _bars, View.TABLE: _table}


def text(board: Board) -> str:
    """Return a dashboard's file."""
    return json.dumps(built(board), indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write all dashboards."""
    FOLDER.mkdir(exist_ok=True)
    for board in DASHBOARDS:
        (FOLDER / f"{board.name}.json").write_text(text(board))


if __name__ == "__main__":
    main()
