"""Statuses of answers, as a plan names them: codes and classes. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

STATUS_RATE = "status_rate"
"""The metric that needs a status beside it."""
NAMED = r"[1-5](?:[0-9]{2}|xx)"
"""A code as `404`, or a class as `4xx`."""


def parse_statuses(value: Any) -> list[str]:
    """Return the codes and classes of a plan's `status`, sorted and each once.

    Args:
        value: `404`, `4xx`, or a list of such.

    Raises:
        ValueError: One of them is neither a code nor a class.
    """
    found = value if isinstance(value, list | tuple) else [value]
    # YAML reads 404 as a number
    names = [str(each).lower() for each in found]
    for name in names:
        if not re.fullmatch(NAMED, name):
            raise ValueError(f"{name!r} is no status; allowed are codes from 100 to 599 and the "
                             "classes 1xx, 2xx, 3xx, 4xx and 5xx")
    if not names:
        raise ValueError("`status` is empty; name a code such as 404, or a class such as 4xx")
    return sorted(set(names))


Statuses = Annotated[
    list[str],
    BeforeValidator(parse_statuses),
    Field(json_schema_extra={
        "anyOf": [{"type": ["string", "integer"]},
                  {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}],
        "examples": [404, "4xx", ["401", "403"]]}),
]


def has_status(code: str, named: list[str]) -> bool:
    """Whether a code is one of the codes and classes that are named.

    Args:
        code: Three digits, as `404`.
        named: What `parse_statuses` returned.
    """
    return code in named or f"{code[:1]}xx" in named


def reading(metric: str, named: list[str] | None) -> str:
    """Return the metric's name with the statuses that are counted: `status_rate 401 403`."""
    return " ".join([metric, *(named or [])]) if metric == STATUS_RATE else metric


def statuses_of(metric: str) -> list[str]:
    """Return the statuses that `reading` wrote behind the metric's name; none for others."""
    name, *named = metric.split(" ")
    return named if name == STATUS_RATE else []


def is_reading(metric: object) -> bool:
    """Whether it is what `reading` returns."""
    is_text = isinstance(metric, str)
    return is_text and re.fullmatch(rf"{STATUS_RATE}(?: {NAMED})+", str(metric)) is not None
