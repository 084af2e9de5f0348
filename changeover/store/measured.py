"""What was measured, as a row of samples has it in JSON: only what is not zero."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import orjson

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Measurements

COMPARED = ("compared", "matched", "similarity")
"""Fields that have columns of their own: they are added to in place."""
_EMPTY = {each.name: getattr(Measurements(), each.name) for each in fields(Measurements)
          if each.name not in COMPARED}


def document(measured: Measurements) -> dict[str, Any]:
    """Return the fields that are not what they are when nothing was measured."""
    found = {}
    for name, empty in _EMPTY.items():
        value = getattr(measured, name)
        # most fields of most seconds are empty: rows get a tenth of the size
        if value != empty:
            found[name] = _TO_JSON.get(name, _as_it_is)(value)
    return found


def opened(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that `document` has."""
    return {name: _FROM_JSON.get(name, _as_it_is)(value) for name, value in row.items()}


def opened_text(text: str) -> dict[str, Any]:
    """Return the fields that `document` has, from its JSON."""
    try:
        return opened(orjson.loads(text))
    # a number that is none (NaN), which Python writes and only Python reads
    except orjson.JSONDecodeError:
        return opened(json.loads(text))


def _as_it_is(value: Any) -> Any:
    return value


def _subsets(measured: Mapping[str, Measurements]) -> dict[str, Any]:
    return {name: document(each) for name, each in measured.items()}


def _subsets_of(rows: Mapping[str, Any]) -> dict[str, Measurements]:
    return {name: Measurements(**opened(each)) for name, each in rows.items()}


def _tuples(lists: Mapping[str, list[Any]]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(values) for name, values in lists.items()}


_TO_JSON: dict[str, Callable[[Any], Any]] = {
    "latency": Histogram.document, "durations": Histogram.document, "subsets": _subsets}
_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "latency": Histogram.of_document, "durations": Histogram.of_document,
    "subsets": _subsets_of, "users": _tuples, "quality": _tuples}
"""Fields that JSON has in another form."""
