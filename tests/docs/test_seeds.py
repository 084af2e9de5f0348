"""Every requirement of the four documents has a place and a test: the tables of `docs/seeds.md`."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "seeds.md"
ROW = re.compile(r"^\| *(\d+) *\|(.*)\|$", re.MULTILINE)
KEY = re.compile(r"`(plans/[a-z]+\.yaml): ([^`]+)`")
FILE = re.compile(r"`([a-zA-Z_]+/[^`\s:*]+\.(?:py|md|yaml|mjs|js|sh))`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::([\w\[\]-]+)`")


def sections() -> list[tuple[str, str]]:
    """Return (title, text) of every part of the page."""
    parts = re.split(r"^#{2,3} +(.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def rows() -> list[tuple[str, str, str, str]]:
    """Return (place, requirement, where it lives, shown by) of every row."""
    found = []
    for title, text in sections():
        for match in ROW.finditer(text):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", match[2])]
            place = f"{title} {match[1]}"
            assert len(cells) == 3, f"{place}: {len(cells)} columns"
            found.append((place, *cells))
    return found  # type: ignore[return-value]


def at(document: Any, path: str) -> bool:
    """Whether a plan has a key; parts of a list are found by their name, phase or percent."""
    for step in path.split("."):
        if isinstance(document, list):
            named = [each for each in document if isinstance(each, dict) and step in (
                each.get("name"), each.get("phase"), str(each.get("percent")), each.get("metric"),
                each.get("kind"), each.get("env"))]
            if not named:
                return False
            document = named[0]
        elif isinstance(document, dict) and step in document:
            document = document[step]
        else:
            return False
    return True


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_requirement_lives_somewhere_and_is_shown(row: tuple[str, str, str, str]) -> None:
    """Its plan keys are in the plan, its files are there, and so are its tests."""
    place, requirement, where, shown = row
    assert requirement and where, place
    tests = TEST.findall(shown)
    assert tests, f"{place}: no test is named as `tests/…/test_x.py::test_y`"
    for file, name in tests:
        text = (ROOT / file).read_text() if (ROOT / file).exists() else ""
        function = re.escape(name.split("[")[0])
        assert re.search(rf"def {function}\(", text), f"{place}: {file}::{name}"
    for plan, path in KEY.findall(where):
        document = yaml.safe_load((ROOT / plan).read_text())
        for each in path.split(","):
            assert at(document, each.strip()), f"{place}: {plan} has no {each.strip()}"
    for file in FILE.findall(where):
        assert (ROOT / file).exists(), f"{place}: {file}"
    assert not re.search(r"\b(planned|todo|not yet)\b", " ".join(row), re.IGNORECASE), place


def test_requirements_are_numbered_without_a_gap() -> None:
    """So that a row that got lost is noticed."""
    for title, text in sections():
        numbers = [int(match[1]) for match in ROW.finditer(text)]
        assert numbers == list(range(1, len(numbers) + 1)), title


def test_all_four_documents_are_there() -> None:
    """Each with its sentences."""
    assert len(rows()) >= 150
