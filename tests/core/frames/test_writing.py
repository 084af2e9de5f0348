"""Files for analysts: what stands in a cell, what is refused, what an error leaves behind."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.frames import writing
from changeover.frames.columns import Column, Kind
from changeover.frames.rows import Part

COLUMNS = (
    Column("at", Kind.TIME, "when"), Column("n", Kind.WHOLE, "number"),
    Column("x", Kind.NUMBER, "value"), Column("ok", Kind.FLAG, "flag"),
    Column("text", Kind.TEXT, "text"))
AT = datetime(2026, 3, 2, 9, 0, 0, 125_000, tzinfo=UTC)
ROWS = [{"at": AT, "n": 3, "x": -0.5, "ok": True, "text": "ä,\"b\"\nc"},
        {"at": None, "n": None, "x": None, "ok": None, "text": None}]


def nobody(_number: int) -> None:
    """Counts nothing."""


@given(st.text())
def test_no_text_is_a_formula_for_a_spreadsheet(text: str) -> None:
    """A cell never begins as a formula does, and what stood there is still there."""
    found = writing.safe(text)
    assert not found.startswith(writing.FORMULAS)
    assert found.replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize("text", [
    "a;=cmd|'/c calc'!A0;b", "a\t=1+1", "a\n@SUM(1)", "a\r\n+1", "x;-1", ";;=1"])
def test_no_part_of_a_text_is_a_formula_where_cells_end_with_semicolons(text: str) -> None:
    """Spreadsheets of many countries end a cell at `;`, whatever quotes stand around it."""
    for part in re.split(r"[;\t\r\n]", writing.safe(text)):
        assert not part.startswith(writing.FORMULAS)


@given(st.lists(st.sampled_from(["a", ";", "=", "@", "\t", "\n", "+", "'", "＝", "-"])))
def test_no_cell_of_any_separator_begins_as_a_formula(parts: list[str]) -> None:
    """Whatever stands beside it; what is made harmless once stays as it is."""
    found = writing.safe("".join(parts))
    for part in re.split(r"[;\t\r\n]", found)[1:]:
        assert not part.startswith(("=", "+", "-", "@", "＝"))
    assert writing.safe(found) == found


def test_numbers_below_zero_stay_numbers() -> None:
    """Only texts are made harmless."""
    assert writing.cell(-0.5, Kind.NUMBER) == -0.5


def test_csv_has_each_value_in_a_form_that_programs_read(tmp_path: Path) -> None:
    """Quotes, line ends and other letters survive; what is missing is empty."""
    path = tmp_path / "t.csv"
    assert writing.write_csv(path, COLUMNS, [ROWS[:1], ROWS[1:]], nobody) == 2
    with path.open(encoding="utf-8", newline="") as file:
        head, first, second = csv.reader(file)
    assert head == ["at", "n", "x", "ok", "text"]
    assert first == ["2026-03-02T09:00:00.125000+00:00", "3", "-0.5", "true", "ä,\"b\"\nc"]
    assert second == ["", "", "", "", ""]


@pytest.mark.parametrize("parts", [[ROWS[:1], ROWS[1:]], []], ids=["rows", "no rows"])
def test_parquet_keeps_types_and_missing_values(tmp_path: Path, parts: list[Part]) -> None:
    """Another program reads what was written, also when there was nothing to write."""
    path = tmp_path / "t.parquet"
    written = writing.write_parquet(path, COLUMNS, parts, nobody)
    read = pd.read_parquet(path)
    assert list(read.columns) == [column.name for column in COLUMNS]
    assert len(read) == written == sum(map(len, parts))
    assert str(read["at"].dtype) == "datetime64[us, UTC]"
    if parts:
        assert read["at"][0] == pd.Timestamp(AT) and read["at"].isna()[1]
        assert (read["n"][0], read["x"][0], read["text"][0]) == (3, -0.5, "ä,\"b\"\nc")
        assert read.isna().iloc[1].all()


def test_parquet_that_cannot_be_written_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'changeover\[parquet\]'"):
        writing.check_format("parquet")


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """Half a table is no table."""
    path = tmp_path / "t.csv"
    path.write_text("old")

    def breaking() -> Iterator[Part]:
        yield ROWS
        raise InvalidInput("the store is gone")

    with pytest.raises(InvalidInput), writing.replaced(path) as beside:
        writing.write_csv(beside, COLUMNS, breaking(), nobody)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with writing.replaced(path) as beside:
        beside.write_text("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_is_refused_also_when_it_is_a_link_to_nowhere(tmp_path: Path) -> None:
    """What another program would find under the name counts."""
    (tmp_path / "a.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="would be replaced"):
        writing.refuse_existing([tmp_path / "a.csv", tmp_path / "b.csv"])
    writing.refuse_existing([tmp_path / "b.csv"])
