"""The JSON schemas of reports, made of the types that their content has."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import TypeAdapter

from changeover.plan.metrics import METRICS
from changeover.plan.statuses import WITH_STATUS
from reports.as_json import FORMAT
from reports.kind import Kind
from reports.model import OF_SYSTEMS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_COUNT = {"type": ["number", "null"]}
_COUNTS = {"type": "object", "additionalProperties": {"type": "number"}}
_FACTS = ("system", "name", "start", "end", "requests", "errors", "user_errors", "metrics")


def schema_of(kind: Kind) -> dict[str, Any]:
    """Return the JSON schema of a kind of report."""
    found = TypeAdapter(kind.model).json_schema(mode="serialization")
    defined = found.pop("$defs", {})
    if "Figures" in defined:
        # a window has histograms and users, which no program gets
        defined["Figures"] = _figures()
    properties = {
        "format": {"const": FORMAT, "description": "Grows when a key changes its meaning."},
        "kind": {"const": kind.name},
        **found.pop("properties"),
    }
    whole = {
        "$schema": DIALECT, **found, "title": f"Report {kind.name}",
        "description": f"{kind.help[:1].upper()}{kind.help[1:]}.", "properties": properties,
        # what has a default in the program is in the document all the same
        "required": list(properties),
    }
    used = _used(whole, defined)
    return {**whole, "$defs": {name: defined[name] for name in sorted(used)}}


def _figures() -> dict[str, Any]:
    """Return the schema of `Figures.as_data`."""
    metrics = {}
    for name, metric in METRICS.items():
        if metric.source in OF_SYSTEMS and name not in WITH_STATUS:
            metrics[name] = {"type": ["number", "null"], "description": metric.description}
    return {
        "type": "object", "title": "Figures",
        "description": "What was measured of one system in [start, end): every count by its name, "
        "and every metric in base units (shares 0..1, seconds, bytes); null: not measured.",
        "properties": {
            "system": {"enum": ["baseline", "candidate"]}, "name": {"type": "string"},
            "start": {"type": "string", "format": "date-time"},
            "end": {"type": "string", "format": "date-time"},
            "errors": _COUNTS, "refused": _COUNTS,
            "metrics": {"type": "object", "properties": metrics, "required": list(metrics)},
        },
        "additionalProperties": {"anyOf": [_COUNT, _COUNTS]},
        "required": list(_FACTS),
    }


def _used(whole: dict[str, Any], defined: dict[str, Any]) -> set[str]:
    """Return the definitions that a schema needs, also by way of others."""
    used: set[str] = set()
    waiting = [json.dumps(whole)]
    while waiting:
        for name in re.findall(r'"#/\$defs/([^"]+)"', waiting.pop()):
            if name not in used:
                used.add(name)
                waiting.append(json.dumps(defined[name]))
    return used
