"""The counts of a window by their names, for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from changeover.analysis.window import Measurements, Window


def counts(window: Window) -> dict[str, Any]:
    """Return the counts of a window; not its histograms, nor which users it saw."""
    found: dict[str, Any] = {}
    for each in fields(Measurements):
        value = getattr(window, each.name)
        parts = value.values() if isinstance(value, Mapping) else [value]
        # histograms and users are objects and lists; a mapping of numbers is a count by name
        if all(part is None or isinstance(part, int | float) for part in parts):
            found[each.name] = value
    return found
