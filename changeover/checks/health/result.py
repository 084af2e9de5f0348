"""What a health check says, and which status is worst. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from changeover.domain.health import Status
from changeover.plan.health import Issue

_ORDER = list(Status)


@dataclass(frozen=True, slots=True)
class Health:
    """One check's finding. `issue` is what a repair could be about; None when it is well.

    `system` is whose repair it would be: no two repairs run on one system at once.
    """

    status: Status
    detail: str
    data: dict[str, Any] = field(default_factory=dict)
    issue: Issue | None = None
    system: str = "machine"


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst status; no status at all is an error."""
    return max(statuses, key=_ORDER.index, default=Status.ERROR)


def by_level(value: float, warning: float, critical: float) -> Status:
    """Return the status of a value of which more is worse."""
    if value > critical:
        return Status.CRITICAL
    return Status.WARNING if value > warning else Status.HEALTHY
