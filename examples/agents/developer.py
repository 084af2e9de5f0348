"""The new system's developer: turns an issue's form into a small change of the project's files.

It reads the code as Python does, so that it changes the one place that is meant and nothing else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path

Form = Mapping[str, str]
_NUMBER = re.compile(r"\d+")


def develop(folder: Path, form: Form) -> bool:
    """Change the working copy as a form asks; return whether anything was to be changed.

    Args:
        folder: The working copy.
        form: What was filled in, by heading.
    """
    for headings, change in _CHANGES.items():
        if all(form.get(heading) for heading in headings):
            return change(folder, form)
    return False


def _zone(folder: Path, form: Form) -> bool:
    """Put a country into the table of zones, or correct its zone; the order stays alphabetical."""
    path = folder / "parcels" / "zones.py"
    country, zone = form["country"].strip().upper(), _NUMBER.search(form["zone"])
    if zone is None or not re.fullmatch(r"[A-Z]{2}", country):
        return False
    source = path.read_text()
    table = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Dict))
    zones = {**ast.literal_eval(table), country: int(zone[0])}
    lines = source.splitlines(keepends=True)
    rows = [f'    "{name}": {number},\n' for name, number in sorted(zones.items())]
    # the braces stay on their own lines
    lines[table.lineno:(table.end_lineno or 0) - 1] = rows
    path.write_text("".join(lines))
    return True


def _setting(folder: Path, form: Form) -> bool:
    """Give a setting another value, at the one line where it is defined."""
    path = folder / "parcels" / "settings.py"
    name, value = form["setting"].strip(), _NUMBER.search(form["value"])
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines):
        if value is not None and line.startswith(f"{name} = "):
            lines[number] = f"{name} = {value[0]}\n"
            path.write_text("".join(lines))
            return True
    return False


def _typo(folder: Path, form: Form) -> bool:
    """Correct a word in the README, as a whole word."""
    path = folder / "README.md"
    found = re.sub(rf"\b{re.escape(form['wrong'])}\b", lambda _: form["right"], path.read_text())
    is_changed = found != path.read_text()
    path.write_text(found)
    return is_changed


_CHANGES: dict[tuple[str, ...], Callable[[Path, Form], bool]] = {
    ("country", "zone"): _zone, ("setting", "value"): _setting, ("wrong", "right"): _typo}
