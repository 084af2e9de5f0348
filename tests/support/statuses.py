"""What a condition needs beside a metric that counts statuses."""

from __future__ import annotations

from changeover.plan.statuses import GRPC_STATUS, STATUS_RATE

_NEEDED = {STATUS_RATE: "4xx", GRPC_STATUS: "UNAVAILABLE"}


def status_of(metric: str) -> dict[str, str]:
    """Return the status that a condition needs beside this metric, as part of it."""
    return {"status": _NEEDED[metric]} if metric in _NEEDED else {}
