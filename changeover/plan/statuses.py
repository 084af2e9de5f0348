"""Statuses of answers, as a plan names them: codes and classes, and names of gRPC. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

STATUS_RATE = "status_rate"
"""The metric that needs a status beside it."""
GRPC_STATUS = "grpc_status"
"""The metric that needs a status of gRPC beside it."""
WITH_STATUS = (STATUS_RATE, GRPC_STATUS)
NAMED = r"[1-5](?:[0-9]{2}|xx)"
"""A code as `404`, or a class as `4xx`."""


@dataclass(frozen=True, slots=True)
class GrpcStatus:
    """A status of gRPC, and the HTTP status that it stands for.

    Source: google/rpc/code.proto (googleapis), whose comments map each code to HTTP.
    """

    name: str
    http: int


GRPC_STATUSES = {
    0: GrpcStatus("OK", 200),
    1: GrpcStatus("CANCELLED", 499),
    2: GrpcStatus("UNKNOWN", 500),
    3: GrpcStatus("INVALID_ARGUMENT", 400),
    4: GrpcStatus("DEADLINE_EXCEEDED", 504),
    5: GrpcStatus("NOT_FOUND", 404),
    6: GrpcStatus("ALREADY_EXISTS", 409),
    7: GrpcStatus("PERMISSION_DENIED", 403),
    8: GrpcStatus("RESOURCE_EXHAUSTED", 429),
    9: GrpcStatus("FAILED_PRECONDITION", 400),
    10: GrpcStatus("ABORTED", 409),
    11: GrpcStatus("OUT_OF_RANGE", 400),
    12: GrpcStatus("UNIMPLEMENTED", 501),
    13: GrpcStatus("INTERNAL", 500),
    14: GrpcStatus("UNAVAILABLE", 503),
    15: GrpcStatus("DATA_LOSS", 500),
    16: GrpcStatus("UNAUTHENTICATED", 401),
}
"""By number. Those of 5xx are failures of the system, as an answer 5xx is."""
GRPC_NAMES = tuple(each.name for each in GRPC_STATUSES.values())


def parse_statuses(value: Any) -> list[str]:
    """Return the codes, classes and names of a plan's `status`, sorted and each once.

    Args:
        value: `404`, `4xx`, `UNAVAILABLE`, or a list of such.

    Raises:
        ValueError: One of them is none of these.
    """
    found = value if isinstance(value, list | tuple) else [value]
    # YAML reads 404 as a number
    names = [_normal(str(each)) for each in found]
    for name in names:
        if not re.fullmatch(NAMED, name) and name not in GRPC_NAMES:
            raise ValueError(f"{name!r} is no status; allowed are codes from 100 to 599 and the "
                             "classes 1xx, 2xx, 3xx, 4xx and 5xx, and for grpc_status "
                             f"{', '.join(GRPC_NAMES)}")
    if not names:
        raise ValueError("`status` is empty; name a code such as 404, or a class such as 4xx")
    return sorted(set(names))


def _normal(text: str) -> str:
    return text.upper() if text.upper() in GRPC_NAMES else text.lower()


def unfit(metric: str, named: list[str] | None) -> str:
    """Return why a metric does not go with a `status`; empty when it does."""
    if metric not in WITH_STATUS:
        only = " and ".join(WITH_STATUS)
        return f"`status` works with {only} only, not with {metric}" if named else ""
    if metric == GRPC_STATUS:
        if named and all(name in GRPC_NAMES for name in named):
            return ""
        return f"{GRPC_STATUS} needs `status`: one of {', '.join(GRPC_NAMES)}, or a list"
    if named and not any(name in GRPC_NAMES for name in named):
        return ""
    return f"{STATUS_RATE} needs `status`: a code such as 404, a class such as 4xx, or a list"


Statuses = Annotated[
    list[str],
    BeforeValidator(parse_statuses),
    Field(json_schema_extra={
        "anyOf": [{"type": ["string", "integer"]},
                  {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}],
        "examples": [404, "4xx", ["401", "403"], "UNAVAILABLE"]}),
]


def has_status(code: str, named: list[str]) -> bool:
    """Whether a code is one of the codes and classes that are named.

    Args:
        code: Three digits, as `404`, or a name of gRPC.
        named: What `parse_statuses` returned.
    """
    return code in named or f"{code[:1]}xx" in named


def reading(metric: str, named: list[str] | None) -> str:
    """Return the metric's name with the statuses that are counted: `status_rate 401 403`."""
    if metric not in WITH_STATUS or unfit(metric, named):
        return metric
    return " ".join([metric, *(named or [])])


def statuses_of(metric: str) -> list[str]:
    """Return the statuses that `reading` wrote behind the metric's name; none for others."""
    name, *named = metric.split(" ")
    return named if name in WITH_STATUS else []


def is_reading(metric: object) -> bool:
    """Whether it is what `reading` returns."""
    if not isinstance(metric, str):
        return False
    names = "|".join(GRPC_NAMES)
    forms = rf"{STATUS_RATE}(?: {NAMED})+|{GRPC_STATUS}(?: (?:{names}))+"
    return re.fullmatch(forms, metric) is not None
