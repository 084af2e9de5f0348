"""Rendered reports at the console: whichever machine rendered them, byte for byte, contained."""

from __future__ import annotations

import http.client
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from changeover import clock
from changeover.domain.tokens import Scope
from changeover.procedures import sharing
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans, shared_files
from reports.evidence import collect
from reports.render import forms_of
from tasks.report import save_forms
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Serve, Served
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def rendered(console: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a report that a flow with another home has rendered."""
    other = Home(tmp_path_factory.mktemp("elsewhere"))
    site = Site(other, console.plan, console.store)
    data = collect(site.store, site.plan, None, now=clock.now())
    path = save_forms(site, "bench-status", forms_of(data), subject="cutover")
    assert Path(path).parent == other.reports
    return {each.name: each.read_bytes() for each in other.reports.iterdir()}


def test_a_report_is_served_as_it_was_rendered_elsewhere(
    console: Served, rendered: dict[str, bytes]
) -> None:
    """Every form with its type, and nothing that a browser would run, load or keep."""
    kinds = {"html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8",
             "json": "application/json"}
    assert len(rendered) == 3
    for name, content in rendered.items():
        answer = console.client().get(f"/reports/{name}")
        assert answer.content == content
        assert answer.headers["content-type"] == kinds[name.rpartition(".")[2]]
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "sandbox" in policy
        assert "script" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"


def test_the_list_names_every_report_with_its_forms(
    console: Served, rendered: dict[str, bytes]
) -> None:
    """Also what has been copied nowhere; `/reports` leads there."""
    client = console.client()
    assert client.get("/reports").headers["location"] == "/pages/reports"
    wait_for(lambda: "bench-status" in client.get("/pages/reports").text, what="the list")
    page = client.get("/pages/reports").text
    for name in rendered:
        assert f'href="/reports/{name}"' in page


@pytest.mark.parametrize("name", [
    "..", "../secrets.json", "..%2fsecrets.json", "%2e%2e/run.json", "rollback/x/rollback.sh",
    "rollback%2fx%2frollback.sh", "a.html/../../b.html", "a\x00.html", ".hidden.html",
    "a.html.exe", "<script>.html", "a b.html", "é.html", "a.html\n", "-a.html", "C:\\x.html",
    "x" * 300 + ".html"])
def test_names_that_are_no_reports_name_are_refused(console: Served, name: str) -> None:
    """Nothing but a plain name is looked for, and nothing is looked for on a disk."""
    shared_files.save(console.store, "bench", {"rollback/x/rollback.sh": b"#!"}, now=clock.now())
    place = name if "%" in name else quote(name, safe="/.")
    # as it stands: other clients would leave out `..` before they ask
    asked = http.client.HTTPConnection("127.0.0.1", console.port, timeout=LONGEST_PAUSE)
    with closing(asked):
        asked.request("GET", f"/reports/{place}")
        answer = asked.getresponse()
        content = answer.read()
    assert answer.status in (404, 422), content
    assert b"#!" not in content


def test_another_migrations_report_is_not_served(console: Served) -> None:
    """Each migration has a console of its own, with tokens of its own."""
    plans.register(console.store, make_plan(migration="other"), source="t", now=clock.now())
    shared_files.save(console.store, "other", {"other-status.html": b"theirs"}, now=clock.now())
    assert console.client().get("/reports/other-status.html").status_code == 404


def test_a_report_needs_what_every_page_needs(serve: Serve) -> None:
    """Where others reach the console, a token that reads; a person is sent to sign in."""
    served = serve(host="0.0.0.0")  # noqa: S104
    sharing.share(Site(served.home, served.plan, served.store), {"bench-status.html": "<p>"})
    place = "/reports/bench-status.html"
    assert served.client().get(place).status_code == 401
    assert served.client("chg_000000000000_nobody").get(place).status_code == 401
    sent = served.client().get(place, headers={"sec-fetch-mode": "navigate"})
    assert sent.headers["location"] == "/sign-in?next=%2Freports%2Fbench-status.html"
    assert served.client(served.token(Scope.READ)).get(place).text == "<p>"


def test_a_damaged_report_is_said_and_not_shown(console: Served) -> None:
    """503 with what to do: the store is not what it was."""
    shared_files.save(console.store, "bench", {"bench-broken.md": b"true"}, now=clock.now())
    with console.store.begin() as session:
        row = session.get(shared_files.SharedFileRow, ("bench", "bench-broken.md"))
        assert row is not None
        row.content = b"else"
    answer = console.client().get("/reports/bench-broken.md")
    assert answer.status_code == 503 and "is damaged" in answer.text
