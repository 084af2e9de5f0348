"""Charts: small, repeatable, readable by machines, and without traces in matplotlib."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from reports import charts, measures, sections
from reports.canvas import Scene, canvas
from reports.model import Mark, OutcomePoint, ReportData
from reports.outcomes import OutcomeFigures
from tests.core.reports.hand_made import AT, NAMES, NASTY, after, report, sample


@functools.cache
def drawn() -> list[charts.Chart]:
    """Return the charts of a whole report."""
    return charts.draw(report())


def test_charts_cover_share_errors_latency_requests_and_memory() -> None:
    """A report has the five charts, each with a summary for those who do not see it."""
    assert [chart.name for chart in drawn()] == [
        "traffic-share", "error-rate", "latency-p95", "requests", "memory",
    ]
    assert all(chart.summary in chart.svg for chart in drawn())


def test_charts_leave_memory_out_when_it_is_unknown() -> None:
    """A system whose process is not watched has no empty chart."""
    rows = [sample("baseline", n) for n in range(9)]
    data = report(series={"baseline": measures.points(rows, start=AT, end=after(9)),
                          "candidate": ()})
    assert "memory" not in [chart.name for chart in charts.draw(data)]


@pytest.mark.parametrize("changes", [{"series": {"baseline": (), "candidate": ()}},
                                     {"end": AT, "chart_end": AT}], ids=["no samples", "no time"])
def test_charts_of_nothing_are_none(changes: dict[str, object]) -> None:
    """Without measurements there is no chart, and no error."""
    assert charts.draw(report(**changes)) == []


def test_charts_are_the_same_bytes_for_the_same_data() -> None:
    """A report that is rendered again does not differ."""
    assert charts.draw(report()) == drawn()


def test_charts_are_well_formed_small_and_do_not_reach_out() -> None:
    """Each chart is valid XML below 100 kB, without any address to fetch from."""
    for chart in drawn():
        ElementTree.fromstring(chart.svg)  # noqa: S314  our own
        assert len(chart.svg) < 100_000
        assert not re.search(r'(href|src)="(?!#)|url\((?!#)', chart.svg)


def test_charts_label_every_decision_that_has_room() -> None:
    """The marks' labels are text in the chart."""
    svg = drawn()[0].svg
    assert all(label in svg for label in ("→ beta 5 %", "→ 50 %", "trigger errors", "rollback"))


def test_charts_with_more_marks_than_room_stay_readable() -> None:
    """Where a hundred decisions fall together, their lines stay and labels do not overlap."""
    crowd = tuple(Mark(after(30 + n / 100), "promotion", f"→ {n} %") for n in range(100))
    svg = charts.draw(report(marks=crowd))[0].svg
    assert svg.count("→") == charts.MARK_ROWS


def test_charts_follow_the_page_in_their_colours() -> None:
    """Every colour is a variable of the page, so that light and dark both work."""
    svg = drawn()[1].svg
    assert "var(--baseline, #0072b2)" in svg
    assert not re.search(r"(fill|stroke): #0000", svg)


def test_charts_escape_what_people_named() -> None:
    """Names with tags or dollar signs are text, neither markup nor formulas."""
    data = report(systems={"baseline": f"$x^2 {NASTY}", "candidate": "a<b>c"})
    for chart in charts.draw(data):
        ElementTree.fromstring(chart.svg)  # noqa: S314  our own
        assert "<b>" not in chart.svg
        assert "<script" not in chart.svg


def test_charts_show_a_lonely_second() -> None:
    """A point between two gaps is no line, so it gets a dot."""
    lonely = replace(sample("candidate", 5), errors={"saved": 5})
    series = {"baseline": (), "candidate": measures.points([lonely], start=AT, end=after(60))}
    assert "<use" in charts.draw(report(series=series))[1].svg


def reported(system: str, failures: int) -> OutcomePoint:
    """Return a minute of a hundred outcomes."""
    return OutcomePoint(AT, 60, 100, 100 / 60, failures / 100, 1.5)


def by_outcomes() -> ReportData:
    """Return the report of a migration whose users do not come through the gateway."""
    numbers = {"baseline": 9, "candidate": 0}
    return report(
        outage=measures.outage([]),
        outcomes=tuple(OutcomeFigures(system, "", 100, failures / 100, 1.0, 1.0, 1.5, {})
                       for system, failures in numbers.items()),
        outcome_series={system: (reported(system, failures),)
                        for system, failures in numbers.items()})


def test_charts_show_outcomes_where_users_do_not_come_through_the_gateway() -> None:
    """Instead of empty charts of requests."""
    found = charts.draw(by_outcomes())
    assert [chart.name for chart in found] == [
        "traffic-share", "outcome-errors", "outcome-p95", "outcomes", "memory"]
    assert "measured share of outcomes" in found[0].svg
    assert "old: 9 % to 9 %" in found[1].summary.replace(NAMES["baseline"], "old")


def test_the_first_numbers_are_of_outcomes_there_too() -> None:
    """Nobody reads "no data" above what a hundred applications reported."""
    shown = [(tile.label, tile.value, tile.note) for tile in sections.tiles(by_outcomes())]
    assert shown == [
        ("outcomes reported", "200", "100 of the candidate"),
        ("without success", "0.000 %", "baseline 9.000 %"),
        ("mean of the candidate", "1000 ms", "baseline 1000 ms"),
        ("p95 of the candidate", "1500 ms", "baseline 1500 ms")]


@pytest.mark.parametrize("seconds", [
    10, 90, 150, 255, 299, 301, 900, 3_000, 7_300, 4 * 3_600, 11 * 3_600, 30 * 3_600, 50 * 3_600,
    4 * 86_400, 13 * 86_400, 40 * 86_400, 100 * 86_400, 400 * 86_400, 1_000 * 86_400])
def test_the_axis_of_any_time_has_ticks_without_a_word(seconds: int) -> None:
    """A person who asks for a report reads no warning of the library that draws it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, axes = canvas(Scene(AT, after(seconds), (), NAMES))
        figure.draw_without_rendering()
    assert 2 <= len(axes.get_xticks()) <= 9


def test_charts_leave_matplotlib_as_it_was() -> None:
    """Drawing changes no setting of the process that draws."""
    before = dict(mpl.rcParams)
    charts.draw(report())
    assert dict(mpl.rcParams) == before


def test_matplotlib_is_imported_only_to_draw() -> None:
    """Flows start often; importing the reports must not cost what drawing costs."""
    code = "import sys, reports.render, reports.evidence; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
