"""Messages to people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How urgent a message is; a later one is more urgent."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    def reaches(self, least: Severity) -> bool:
        """Whether it is as urgent as `least`, or more."""
        order = list(Severity)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True)
class Message:
    """A message and how far its sending has come.

    `problem` is why the last attempt failed, `told` are the channels that have it.
    """

    id: int
    migration: str
    key: str
    severity: Severity
    title: str
    body: str
    at: datetime
    is_sent: bool
    attempts: int
    next_at: datetime
    problem: str
    told: tuple[str, ...]
