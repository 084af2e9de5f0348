"""The code stays small: functions that fit on a screen, modules that fit in a head."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.house import Function, functions, modules, parameters

ROOT = Path(__file__).parents[1]
MOST_MODULE_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 400, 40, 6

# What is beyond a limit today. These lists only get shorter: an entry that is no longer needed
# fails its test, as a function or module that is not listed does.
LONG_MODULES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
MANY_PARAMETERS: set[str] = set()


def _beyond(is_beyond: Callable[[Function], bool]) -> set[str]:
    """Return the functions beyond a limit, as `file::name`."""
    found = set()
    for path in modules(ROOT):
        place = path.relative_to(ROOT).as_posix()
        for name, function in functions(ast.parse(path.read_text())):
            if is_beyond(function):
                found.add(f"{place}::{name}")
    return found


def test_modules_have_at_most_400_lines() -> None:
    """One obvious place for each thing."""
    found = set()
    for path in modules(ROOT):
        if len(path.read_text().splitlines()) > MOST_MODULE_LINES:
            found.add(path.relative_to(ROOT).as_posix())
    assert found == LONG_MODULES


def test_functions_have_at_most_40_lines() -> None:
    """A function is seen at once."""
    def is_long(function: Function) -> bool:
        return (function.end_lineno or 0) - function.lineno >= MOST_FUNCTION_LINES

    assert _beyond(is_long) == LONG_FUNCTIONS


def test_functions_have_at_most_6_parameters() -> None:
    """Nobody remembers seven."""
    assert _beyond(lambda each: parameters(each)[0] > MOST_PARAMETERS) == MANY_PARAMETERS


SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in modules(ROOT)
}
IMPURE = ("time", "random", "os", "socket", "subprocess", "asyncio", "logging", "sqlalchemy",
          "httpx", "changeover.clock", "changeover.store")
NAMES_ONLY = {("changeover.gateway.envoy.time_limits", "socket")}
"""Imports that do nothing: the numbers of TCP's options."""


def trees() -> dict[str, ast.Module]:
    """Return every module's syntax."""
    return {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}


def imported(tree: ast.Module) -> set[str]:
    """Return the modules that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else node.module for name in names}
    return found


def is_impure(name: str) -> bool:
    """Whether a module does I/O, reads a clock, or leaves results to chance."""
    return any(name == word or name.startswith(f"{word}.") for word in IMPURE)


def test_modules_that_call_themselves_pure_reach_no_io_and_no_clock() -> None:
    """`Pure.` in a docstring holds for all that the module imports, however far away."""
    syntax = trees()
    edges = {
        name: {each for each in imported(tree) if (name, each) not in NAMES_ONLY}
        for name, tree in syntax.items()
    }
    pure = [name for name, tree in syntax.items() if "Pure." in (ast.get_docstring(tree) or "")]
    assert len(pure) > 50
    faults = []
    for start in pure:
        ways = [(start,)]
        seen = {start}
        while ways:
            way = ways.pop()
            for name in sorted(edges[way[-1]] - seen):
                seen.add(name)
                if is_impure(name):
                    faults.append(" → ".join((*way, name)))
                elif name in edges:
                    ways.append((*way, name))
    assert not faults, faults


def test_the_stores_revisions_are_one_line() -> None:
    """Two changes that were made at once must not both come after the same one."""
    folder = ROOT / "changeover" / "store" / "migrations" / "versions"
    text = "\n".join(path.read_text() for path in sorted(folder.glob("r0*.py")))
    before = re.findall(r"^down_revision = \"(\w+)\"", text, re.M)
    assert len(before) == len(set(before)), sorted(before)
