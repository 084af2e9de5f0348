"""docs/monitoring: rules that fire when they should, dashboards that Grafana can read."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from changeover.console.exposition.catalogue import FAMILIES
from changeover.console.exposition.family import Family, Kind
from docs.monitoring.dashboards import FOLDER, expression, text
from docs.monitoring.panels import DASHBOARDS, Board

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "monitoring" / "alerts.yml"
CASES = ROOT / "tests" / "cases" / "monitoring" / "alerts.yml"
ALERTS = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
NAME = re.compile(r"\bchangeover_\w+")
LABEL = re.compile(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}")
OF_ALL = {"migration", "instance", "alertname"}
"""Labels that Prometheus or the console adds to every series."""


def known() -> dict[str, Family]:
    """Return the families by each name that Prometheus has of them."""
    found = {}
    for family in FAMILIES:
        ends = ("_bucket", "_sum", "_count") if family.kind is Kind.HISTOGRAM else ("",)
        for end in ends:
            found[f"{family.shown}{end}"] = family
    return found


def labels_of(query: str) -> set[str]:
    """Return the labels that the series of a query can have; fail for a name that nothing has."""
    families = [known()[name] for name in NAME.findall(query)]
    return OF_ALL.union(*(family.labels for family in families))


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_the_rules_are_valid() -> None:
    """Prometheus' own tool reads them, and finds no rule twice."""
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should_and_is_quiet_otherwise() -> None:
    """With the texts that people read; tried by Prometheus' own tool."""
    promtool("test", "rules", CASES)
    tried = [each["name"] for each in yaml.safe_load(CASES.read_text())["tests"]]
    expected = []
    for alert in ALERTS:
        name = alert["alert"].removeprefix("Changeover")
        expected += [f"{name} stays quiet", f"{name} fires"]
    assert tried == expected


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_each_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """One line, one sentence, a page that exists; only of metrics and labels that there are."""
    said = alert["annotations"]
    assert set(said) == {"summary", "description", "runbook"}
    assert (ROOT / said["runbook"]).is_file()
    assert said["runbook"].startswith("docs/runbooks/")
    assert alert["labels"]["severity"] in ("info", "warning", "critical")
    labels = labels_of(alert["expr"])
    assert set(LABEL.findall(said["summary"] + said["description"])) <= labels


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_each_dashboard_is_what_the_panels_say(board: Board) -> None:
    """`python -m docs.monitoring.dashboards` was run after the last change."""
    assert (FOLDER / f"{board.name}.json").read_text() == text(board)


def test_no_dashboard_is_left_over() -> None:
    """Each file has its description."""
    assert {path.stem for path in FOLDER.iterdir()} == {board.name for board in DASHBOARDS}


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_grafana_reads_all_of_a_dashboard(path: Path) -> None:
    """What Grafana's published types read and write again is the same: no key is unknown."""
    document = json.loads(path.read_text())
    read = Dashboard.from_json(document)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == document
    names = {each["name"]: each["type"] for each in document["templating"]["list"]}
    assert names == {"datasource": "datasource", "migration": "query"}
    assert document["uid"] == f"changeover-{path.stem}"


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_panels_ask_for_what_there_is_and_fit(board: Board) -> None:
    """Every metric and every label in a name exists; no panel lies over another."""
    for row in board.rows:
        for panel in row.panels:
            assert panel.text.endswith(".")
            for query, legend in panel.queries:
                assert expression(query).count('migration="$migration"') >= 1
                assert set(LABEL.findall(legend)) <= labels_of(query), panel.title
    placed: set[tuple[int, int]] = set()
    for each in json.loads(text(board))["panels"]:
        place = each["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & placed, each["title"]
        assert max(x for x, _ in cells) < 24
        placed |= cells


def test_every_family_is_looked_at() -> None:
    """What no dashboard and no alert reads would be counted for nobody, but for these."""
    asked = [alert["expr"] for alert in ALERTS]
    for board in DASHBOARDS:
        asked += [query for row in board.rows for panel in row.panels
                  for query, _ in panel.queries]
        asked.append(text(board))
    seen = {known()[name].name for each in asked for name in NAME.findall(each)
            if name in known()}
    unread = {family.name for family in FAMILIES} - seen
    assert unread == {
        "exposition_timestamp_seconds", "exposition_duration_seconds",
        "cutover_started_timestamp_seconds", "stage", "publish_newest_confirmed",
        "rollback_started_timestamp_seconds",
    }
