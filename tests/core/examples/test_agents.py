"""The agents' parts that need no process: reading issues, changing the project, events, reviews."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.agents import developer, rules
from examples.agents.baseline import PROGRAM, missing
from examples.agents.events import IssueEvent, is_signed, signature_of
from examples.agents.issues import event, told
from examples.agents.tracker import PROJECT, reviewed
from examples.agents.workspace import build


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A working copy of the project."""
    return shutil.copytree(PROJECT, tmp_path / "project")


@pytest.mark.parametrize(("form", "file", "line"), [
    ({"country": "`ch`", "zone": "zone 2"}, "parcels/zones.py", '    "CH": 2,'),
    ({"country": "AT", "zone": "2"}, "parcels/zones.py", '    "AT": 2,'),
    ({"setting": "RETRY_SECONDS", "value": "20 s"}, "parcels/settings.py", "RETRY_SECONDS = 20"),
    ({"wrong": "recieve", "right": "receive"}, "README.md", "You receive the price in euro. Each"),
])
def test_the_developer_changes_what_the_form_means(
    project: Path, form: dict[str, str], file: str, line: str
) -> None:
    """However people fill it in, the change is in one place and builds."""
    asked = rules.form("\n\n".join(f"### {name}\n\n{value}" for name, value in form.items()))
    assert developer.develop(project, asked)
    assert line in (project / file).read_text()
    assert build(project) == ""


@pytest.mark.parametrize("form", [
    {}, {"country": "Austria", "zone": "1"}, {"country": "CH", "zone": "far"},
    {"setting": "COLOUR", "value": "3"}, {"wrong": "nowhere", "right": "here"}])
def test_what_the_developer_cannot_read_is_left_alone(project: Path, form: dict[str, str]) -> None:
    """No change is better than a wrong one: the issue gets a comment instead."""
    before = {path: path.read_text() for path in project.rglob("*.py")}
    assert not developer.develop(project, form)
    assert before == {path: path.read_text() for path in project.rglob("*.py")}


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda text: text.replace('"AT": 1', '"at": 1'), "AssertionError: at"),
    (lambda text: text.replace('"DE": 1', '"AT": 1'), "a key is there twice"),
    (lambda text: text.replace('"AT": 1', '"AT": 9'), "AT is in zone 9"),
    (lambda text: text + "def broken(:\n", "SyntaxError"),
])
def test_the_build_says_what_is_wrong(
    project: Path, spoil: Callable[[str], str], said: str
) -> None:
    """It is a real build: it compiles, and it tests."""
    path = project / "parcels" / "zones.py"
    path.write_text(spoil(path.read_text()))
    assert said in build(project)


@pytest.mark.parametrize(("patch", "broken"), [
    ("diff --git a/x b/x\n--- a/x\n+++ b/x\n-1\n+2\n", []),
    ("diff --git a/x b/x\n--- a/x\n+++ b/x\n+2 \n", ["no blanks at the end"]),
    ("diff --git a/x b/x\n+1\ndiff --git a/y b/y\n+1\n", ["one file"]),
    ("diff --git a/x b/x\n" + "+1\n" * 7, ["small"]),
])
def test_maintainers_accept_small_changes_of_one_file(patch: str, broken: list[str]) -> None:
    """Each rule of the review is one that a change can break."""
    assert [rule for rule, is_kept in reviewed("docs", patch).items() if not is_kept] == broken


def test_each_number_is_always_the_same_issue() -> None:
    """Runs can be compared, and one of ten issues is filled in as people do."""
    assert [told(number) for number in range(50)] == [told(number) for number in range(50)]
    careless = [told(number) for number in range(400)]
    share = sum("`" in each.body or "20 s" in each.body for each in careless) / 400
    assert 0.05 < share < 0.15


@pytest.mark.parametrize("action", ["opened", "edited", "labeled", "assigned"])
def test_events_have_the_shape_that_is_read(action: str) -> None:
    """What the load delivers is what the receiver takes."""
    found = IssueEvent.model_validate(event(42, action, "acme/parcels-3"))
    assert (found.action, found.item) == (action, "acme:parcels-3:42")


def test_signatures_are_githubs() -> None:
    """The example of GitHub's documentation of webhooks."""
    sign = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature_of(b"Hello, World!", "It's a Secret to Everybody") == sign
    assert is_signed(b"Hello, World!", sign, "It's a Secret to Everybody")
    assert not is_signed(b"Hello, World?", sign, "It's a Secret to Everybody")


def test_the_old_agent_knows_the_same_words() -> None:
    """Both systems read issues by the same words; they differ in how they weigh them."""
    text = PROGRAM.read_text()
    for label, words in rules._WORDS.items():
        for word in words:
            assert f'"{word}"' in text, f"{label}: {word}"


@pytest.mark.parametrize(("version", "said"), [
    (None, "needs Node.js 18 or newer; install it: apt-get install nodejs"),
    ("v16.20.2", "found v16.20.2; install a newer one"), ("v20.1.0", "both systems need git")])
def test_what_the_machine_lacks_is_said_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, said: str
) -> None:
    """One sentence, before anything is started."""
    if version is not None:
        node = tmp_path / "node"
        node.write_text(f"#!/bin/sh\necho {version}\n")
        node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = missing()
    assert found is not None and said in found
