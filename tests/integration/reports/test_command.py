"""`changeover report` as a person types it: pages go into the home, all else to the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.site.home import Home
from tests.support.commands import changeover
from tests.support.cutover_story import CutoverStory
from tests.support.ready_store import ready_store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which a cutover was promoted; nothing of it runs any more."""
    found = Home(tmp_path_factory.mktemp("home"))
    found.create()
    store = ready_store(found.store_url)
    CutoverStory(store).promoted()
    store.close()
    found.save_settings({"migration": "documents", "reports_url": "http://127.0.0.1:9"})
    return found.root


def test_page_goes_into_the_home_and_says_where_it_is_served(home: Path) -> None:
    """Without any option the newest cutover's page lies where `changeover up` serves it."""
    path, address = changeover(home, "report").split()
    assert Path(path) == home / "reports" / "documents-cutover-1.html"
    assert address == "http://127.0.0.1:9/documents-cutover-1.html"
    assert "Promoted" in Path(path).read_text()


def test_part_of_the_time_does_not_take_the_place_of_the_whole(home: Path) -> None:
    """The page of some hours has a name of its own."""
    first = changeover(home, "report", "--hours", "2").splitlines()[0]
    assert first.endswith("documents-cutover-1-last-2h.html")


def test_markdown_and_json_are_printed_or_written(home: Path, tmp_path: Path) -> None:
    """What programs and pipes read is on the screen alone, or in the file that they name."""
    assert changeover(home, "report", "lessons", "--format", "md").startswith("# documents: ")
    target = tmp_path / "new" / "lessons.json"
    said = changeover(home, "report", "lessons", "--format", "json", "--output", str(target))
    assert said.strip() == str(target)
    content = json.loads(target.read_text())
    assert (content["kind"], content["headline"]["status"]) == ("lessons", "promoted")
    assert changeover(home, "report", "--output", "-").startswith("<!doctype html>")


@pytest.mark.parametrize(("arguments", "said", "code"), [
    (["rollback"], "was never rolled back", 2),
    (["cutover", "--id", "7"], "7", 2),
    (["yesterday"], "'yesterday' is not one of", 2),
    (["daily", "--hours", "0"], "0", 2),
    (["daily", "--id", "1"], "--id 1 says nothing to the report daily", 2),
    (["lessons", "--hours", "3"], "--hours with cutover, daily, comparison", 2),
    (["daily", "--open", "--format", "md"], "--format md is none", 2),
    (["daily", "--output", "/proc/no/report.html"], "cannot be written", 7),
])
def test_what_cannot_be_done_is_said_in_one_message(
    home: Path, arguments: list[str], said: str, code: int
) -> None:
    """No traceback, the documented exit code, and the value that was wrong."""
    found = changeover(home, "report", *arguments, code=code)
    assert said in found
    assert "Traceback" not in found


def test_schema_needs_nothing_that_was_started(tmp_path: Path) -> None:
    """A program's author gets the schema without a migration."""
    schema = json.loads(changeover(tmp_path, "report", "daily", "--schema"))
    assert schema["properties"]["kind"] == {"const": "daily"}


def test_page_is_opened_in_the_browser_that_there_is(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--open` hands the file to the browser of `$BROWSER`."""
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    changeover(home, "report", "daily", "--open")
    assert seen.read_text().strip().endswith(".html")
