"""What differs, for pages and tables."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from changeover.comparison.noise import PlaceCounts, judge_places
from changeover.domain.comparisons import Place
from changeover.shadow.findings import Finding, Findings
from reports import as_json, differences, render
from tests.core.reports.hand_made import short

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def findings(value: str = '"a<b> x"') -> Findings:
    """Return one regression of 2000 requests."""
    example = {"request": "GET /<a>", "path": "$.name", "kind": "changed", "baseline": value,
               "candidate": '"a<b> y"'}
    place = Place("$.name", 80, 0, 40, 0, 0, {"changed": 80}, [example], NOW, NOW)
    (verdict,) = judge_places([PlaceCounts("$.name", 2000, 80, 1000, 40, 0, 0)])
    coverage = {"seen": 2100, "compared": 2000, "matched": 1920, "paired": 1000,
                "dropped: queue full": 100}
    return Findings((Finding(place, verdict, "mend it"),), coverage, (0.01, 0.02))


def test_coverage_stands_beside_the_score() -> None:
    """Seen, compared, matched, asked twice, and what was dropped for which reason."""
    line = differences.coverage_line(findings())
    for words in ("2 000 of 2 100", "96.000 %", "dropped: queue full: 100"):
        assert words.replace(" ", "") in line.replace("\u202f", "").replace(" ", "")


def test_the_difference_is_marked_and_everything_else_escaped() -> None:
    """Values come from systems: no tag of theirs counts."""
    sides = differences.side_by_side({"baseline": '"a<b> x"', "candidate": '"a<b> y"'})
    assert sides[0] == "&#34;a&lt;b&gt; <mark>x</mark>&#34;"
    assert "missing" in differences.side_by_side({"baseline": None, "candidate": "1"})[0]


def test_report_has_the_section_in_every_form() -> None:
    """Page, Markdown and JSON say the same."""
    data = short(differences=findings())
    page = render.render_html(data)
    assert "What differs" in page
    assert "GET /&lt;a&gt;" in page
    assert "<mark>" in page
    assert "## What differs" in render.render_markdown(data)
    found = json.loads(as_json.render_json(data))["differences"]
    assert found["findings"][0]["verdict"]["judgement"] == "regression"


def test_rules_are_told_beside_what_they_hide() -> None:
    """With whoever answers for them, in every form of the report."""
    (finding,) = findings().findings
    rule = "ignore: $.name (ana: clocks differ, until 2027-01-31)"
    hidden = replace(finding, place=replace(finding.place, ignored=7), rules=(rule,))
    assert differences.place_cells(hidden)[4] == f"changed 80, ignored 7; rule {rule}"
    data = short(differences=replace(findings(), findings=(hidden,)))
    assert "ana: clocks differ" in render.render_html(data)
    assert "ana: clocks differ" in render.render_markdown(data)
    assert "ana: clocks differ" in as_json.render_json(data)


def test_report_without_shadow_has_no_such_section() -> None:
    """Nothing is promised that was not measured."""
    assert "What differs" not in render.render_html(short())
