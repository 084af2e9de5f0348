"""docs/metrics.md has the table of `/metrics`: what is there is shown, what is shown is there."""

from __future__ import annotations

import re
from pathlib import Path

from changeover.console.exposition.catalogue import FAMILIES
from changeover.console.exposition.family import Family

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `changeover_.*\|$", re.MULTILINE)


def row(family: Family) -> str:
    """Return a family's row of the table."""
    labels = ", ".join(f"`{label}`" for label in family.labels)
    bound = f"{family.bound.most}: {family.bound.words}" if family.labels else "1"
    text = family.text.replace("|", "\\|")
    return f"| `{family.shown}` | {family.kind} | {labels} | {bound} | {text} |"


def test_the_table_is_the_catalogue() -> None:
    """Every family with type, labels, bound and meaning, and no other."""
    assert ROW.findall(PAGE) == [row(family) for family in FAMILIES]
