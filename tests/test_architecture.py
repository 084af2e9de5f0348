"""The code stays small: functions that fit on a screen, modules that fit in a head."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("changeover", "flows", "tasks", "blocks", "reports")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
           if "versions" not in path.parts]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_has_at_most_450_lines(path: Path) -> None:
    """One obvious place for each thing."""
    assert len(path.read_text().splitlines()) <= 450


def test_functions_are_short() -> None:
    """95 % have at most 40 lines, none more than 60."""
    lengths = [
        (node.end_lineno - node.lineno + 1, f"{path.name}:{node.name}")
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert max(lengths)[0] <= 60, max(lengths)
    long = [name for length, name in lengths if length > 40]
    assert len(long) <= 0.05 * len(lengths), long
