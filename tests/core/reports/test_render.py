"""The report as page, Markdown, JSON and files."""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from changeover.domain.verdict import Verdict
from changeover.errors import EnvironmentProblem, InvalidInput
from reports import as_json, render, sections
from reports.model import AuditView, Keyless, ReportData
from tests.core.reports.hand_made import (
    NASTY,
    approval,
    check,
    evaluation,
    firing,
    report,
    rollback,
    short,
    stage,
)

VOID = {"meta", "br", "use", "path"}


class Page(HTMLParser):
    """Reads a page: text, ids, addresses; complains about tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [named["id"]] if named.get("id") else []  # type: ignore[list-item]
        self.addresses += [v for k, v in attrs if v and k in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "defs"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, with single spaces."""
        return " ".join(" ".join(self.words).split())


def nasty() -> ReportData:
    """Return a report in which people wrote markup wherever they can."""
    bad = stage(
        reason=NASTY, approvals=(approval(approver=NASTY, comment=NASTY),),
        evaluations=(evaluation(reason=NASTY, evidence=[check(reason=NASTY)]),),
    )
    data = report()
    view = replace(data.rollbacks[0], record=rollback(reason=NASTY, actor=NASTY),
                   must_do=(NASTY,))
    return report(
        stages=(bad,), rollbacks=(view,), firings=(firing(reason=NASTY),), routing=NASTY,
        systems={"baseline": NASTY, "candidate": NASTY}, plan={"flag": f"```{NASTY}```"},
        headline=replace(data.headline, sentence=NASTY, decided_by=(NASTY,)),
        timeline=tuple(replace(m, actor=NASTY, detail=NASTY) for m in data.timeline),
    )


@functools.cache
def full_page() -> str:
    """Return the page of the report with everything in it."""
    return render.render_html(report())


def test_page_is_whole_and_needs_nothing_else() -> None:
    """Tags match, ids are unique, nothing is fetched and nothing is run."""
    html = full_page()
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith("#") for address in page.addresses)
    assert not re.search(r"<script|@import|url\((?!#)", html)
    assert len(html) < 1_000_000


def test_page_and_markdown_say_how_sure_a_verdict_by_evidence_is() -> None:
    """Beneath the verdict stands how sure it is, beside the samples what they leave out."""
    by_evidence = check(sequential={"excluded": {"no key": 1}})
    data = short(stages=(stage(evaluations=(evaluation(evidence=[by_evidence]),)),))
    left_out = "1\u202f000 (at least 100); left out 1 request: 1 no key"
    shown = Page(render.render_html(data)).text
    assert "✓ pass harm beyond the margin is excluded (95 %)" in shown
    assert " ".join(left_out.split()) in shown
    written = render.render_markdown(data)
    assert "| ✓ pass: harm beyond the margin is excluded (95 %) |" in written
    assert left_out in written


def test_page_says_what_happened_why_and_who() -> None:
    """The verdict, its reason, who decided, numbers with units and what to do stand in it."""
    shown = Page(full_page()).text
    for part in ("↩ Rolled back", "error_rate 12.400 % is above 2.000 %", "trigger errors",
                 "What a person must do now", "Mend it", "Ana Lima", "looks fine", "12.5 ms",
                 "below 0.500 %", "1 of 1 publication confirmed: median 12.6 ms", "f" * 64,
                 "changeover 0.1", "300 ms"):
        assert part in shown


def test_page_escapes_everything_that_people_wrote() -> None:
    """Markup in a name, comment, reason or plan is shown as text."""
    html = render.render_html(nasty())
    assert "<script" not in html
    assert "alert(1)" in Page(html).text


def test_page_shows_a_broken_audit_chain() -> None:
    """A chain with problems is not called verified."""
    broken = AuditView(8, "f" * 64, ("event 3 changed",))
    shown = Page(render.render_html(short(audit=broken))).text
    assert "event 3 changed" in shown
    assert "verified" not in shown


def test_page_folds_earlier_evaluations_away_and_counts_them() -> None:
    """A gate that was evaluated a hundred times shows the last time, and ten before on demand."""
    evaluations = tuple(evaluation(Verdict.INCONCLUSIVE, number=n) for n in range(1, 101))
    shown = Page(render.render_html(short(stages=(stage(evaluations=evaluations),)))).text
    assert "Earlier evaluations (99)" in shown
    assert "89 more are in the JSON report" in shown


def test_page_of_an_empty_report_is_a_page() -> None:
    """Before anything was measured or decided there is a page that says so."""
    data = report(stages=(), timeline=(), marks=(), series={}, firings=(), rollbacks=(),
                  publications=(), figures=(), cutover=None)
    shown = Page(render.render_html(data)).text
    for part in ("Nothing was measured", "No trigger fired", "Nothing was published"):
        assert part in shown


def test_json_has_the_documented_keys() -> None:
    """Every field of the report is a key, and the docstring names each of them."""
    content = json.loads(as_json.render_json(report()))
    names = {field.name for field in fields(ReportData)} | {"format"}
    assert set(content) == names
    documentation = as_json.__doc__ or ""
    assert [name for name in names if name not in documentation] == []


def test_json_keeps_values_in_base_units_and_times_in_iso_form() -> None:
    """Programs get seconds, shares and ISO times, never texts with units."""
    content = json.loads(as_json.render_json(report()))
    assert content["format"] == as_json.FORMAT
    assert content["start"] == "2026-03-02T09:00:00+00:00"
    assert content["figures"][1]["metrics"]["latency_p95"] == 0.0125
    assert content["stages"][0]["evaluations"][0]["evidence"][0]["value"] == 0.001


def test_markdown_has_the_same_facts_as_the_page() -> None:
    """The Markdown report tells the same, without charts."""
    shown = render.render_markdown(report())
    for part in ("# documents: Rolled back", "Ana Lima", "looks fine", "below 0.500 %",
                 "trigger errors", "A person must:", "- Mend it", "verified", "f" * 64):
        assert part in shown


def test_page_and_markdown_say_how_triggers_stand() -> None:
    """Since when, with the value and the reason; what is old is said to be."""
    found = {"trigger": "slow", "action": "hold", "stands": "firing", "is_old": True,
             "since": "2026-03-02T09:00:00+00:00", "shown": "250 ms", "reason": "it is <slow>"}
    data = replace(report(), triggers=(found,))
    for shown in (Page(render.render_html(data)).text, render.render_markdown(data)):
        for part in ("slow", "hold", "firing (old)", "250 ms", "2026-03-02"):
            assert part in shown


@pytest.mark.parametrize(("found", "shown"), [
    (None, "–"), (Keyless(0, 0, None, "they stay"), "–"), (Keyless(500, 0, 0.0, "they stay"), "0"),
    (Keyless(500, 20, 0.04, "they stay at the baseline"),
     "20 (4.000 %): they stay at the baseline"),
], ids=["not collected", "no requests", "none", "some"])
def test_every_form_has_the_requests_without_a_key(found: Keyless | None, shown: str) -> None:
    """How many, which share, and what becomes of them."""
    data = short(keyless=found)
    assert ("requests without a key", shown) in sections.summary_rows(data)
    for written in (Page(render.render_html(data)).text, render.render_markdown(data)):
        assert shown in written
    assert json.loads(as_json.render_json(data))["keyless"] == as_json.plain(found)


def test_markdown_escapes_everything_that_people_wrote() -> None:
    """Outside of the plan's fence nothing of it is markup, and the fence cannot be closed."""
    shown = render.render_markdown(nasty())
    text, _, plan = shown.rpartition("## Plan")
    assert "<script" not in text
    assert "[now](" not in text.replace("\\[now\\](", "")
    assert plan.strip().startswith("````yaml")


def test_write_makes_three_files_and_their_directory(tmp_path: Path) -> None:
    """All three forms appear under one name, and nothing else is left behind."""
    paths = render.write(report(), tmp_path / "a" / "b", name="documents-cutover-1")
    assert {kind: path.name for kind, path in paths.items()} == {
        "html": "documents-cutover-1.html", "markdown": "documents-cutover-1.md",
        "json": "documents-cutover-1.json",
    }
    assert sorted((tmp_path / "a" / "b").iterdir()) == sorted(paths.values())


def test_write_replaces_a_report_and_gives_the_same_bytes(tmp_path: Path) -> None:
    """The same data written again changes nothing."""
    first = {k: p.read_bytes() for k, p in render.write(report(), tmp_path, name="r").items()}
    again = {k: p.read_bytes() for k, p in render.write(report(), tmp_path, name="r").items()}
    assert first == again


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "a b"])
def test_write_refuses_names_that_are_paths(tmp_path: Path, name: str) -> None:
    """A report stays in its directory."""
    with pytest.raises(InvalidInput, match="no name for a report"):
        render.write(short(), tmp_path, name=name)


def test_write_where_a_file_is_says_what_to_do(tmp_path: Path) -> None:
    """A directory that cannot be made is one clear problem."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written") as problem:
        render.write(short(), tmp_path / "taken" / "reports", name="r")
    assert problem.value.next_step


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_write_into_a_read_only_directory_leaves_nothing(tmp_path: Path) -> None:
    """Without permission nothing is half written."""
    tmp_path.chmod(0o500)
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        render.write(short(), tmp_path, name="r")
    tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_write_that_fails_midway_keeps_the_report_before(tmp_path: Path) -> None:
    """A file that cannot take its place leaves no temporary file behind."""
    (tmp_path / "r.json").mkdir()
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        render.write(short(), tmp_path, name="r")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
