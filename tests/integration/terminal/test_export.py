"""`changeover export` as an analyst uses it."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from changeover import clock, frames
from changeover.cli.export import parse_moment
from changeover.domain.audit import NewEvent
from changeover.frames.columns import TABLES
from changeover.store import audit
from tests.integration.terminal.conftest import Prepare
from tests.support.commands import changeover

pytestmark = pytest.mark.integration


def test_all_tables_are_written_once_and_replaced_only_on_demand(
    prepare: Prepare, tmp_path: Path
) -> None:
    """CSV and Parquet say what a frame says; nothing is overwritten by accident."""
    site, folder = prepare(), tmp_path / "new" / "exported"
    home = site.home.root
    audit.record(site.store, "bench", NewEvent("=cmd|' /C calc'!A1", "x", {}, clock.now()))
    said = json.loads(changeover(home, "export", "--output", str(folder), "--json"))
    assert said["rows"] == dict.fromkeys(TABLES, 0) | {"audit": 2}
    assert {path.name for path in folder.iterdir()} == {f"{name}.csv" for name in TABLES}
    with (folder / "audit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # a spreadsheet that opens it starts no program
    assert rows[1]["actor"] == "'=cmd|' /C calc'!A1"
    refused = changeover(home, "export", "audit", "--output", str(folder), code=2)
    assert "audit.csv would be replaced" in refused and "--force" in refused
    changeover(home, "export", "audit", "--output", str(folder), "--force", "--format", "parquet")
    read = pd.read_parquet(folder / "audit.parquet")
    assert list(read["hash"]) == list(frames.audit(site)["hash"])


@pytest.mark.parametrize(("arguments", "said"), [
    (["nonsense"], "'nonsense' is not one of"),
    (["--since", "yesterday"], "--since: 'yesterday' is no time"),
    (["--since", "1d", "--until", "2d"], "a later time than --since")])
def test_wrong_input_writes_nothing(
    prepare: Prepare, tmp_path: Path, arguments: list[str], said: str
) -> None:
    text = changeover(
        prepare().home.root, "export", *arguments, "--output", str(tmp_path / "none"), code=2)
    assert said in text
    assert not (tmp_path / "none").exists()


def test_a_time_is_utc_unless_it_says_otherwise() -> None:
    """A date is its first moment; a duration is counted back."""
    now = clock.now()
    assert parse_moment("7d", "--since", now) == now - timedelta(days=7)
    assert parse_moment("2026-03-01", "--since", now).isoformat() == "2026-03-01T00:00:00+00:00"
    assert parse_moment("2026-03-01T08:00+01:00", "--since", now).utcoffset() == timedelta(hours=1)
