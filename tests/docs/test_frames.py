"""docs/frames.md has every table with its columns, types, units and meanings, and its code runs."""

from __future__ import annotations

import re

import pytest

from changeover import frames
from changeover.frames.columns import TABLES
from tests.docs.test_docs import ROOT

PAGE = (ROOT / "docs" / "frames.md").read_text()


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_documented_as_it_is(name: str) -> None:
    """A column that is added to the code is added to the page."""
    table = TABLES[name]
    section = PAGE.partition(f"## {name}\n")[2].partition("\n## ")[0]
    assert f"A row is {table.meaning}." in section
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?)\s?\| (.*?) \|$", section, re.M)
    expected = []
    for column in table.columns:
        meaning = column.meaning + (" (only with keys)" if column.is_key else "")
        expected.append((column.name, column.dtype, column.unit, meaning))
    assert rows == expected
    assert "changeover export" in PAGE


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_documented_function(name: str) -> None:
    """`changeover.frames` offers each of them by its name."""
    function = getattr(frames, name)
    assert name in frames.__all__
    assert function.__doc__.startswith("Return ")
