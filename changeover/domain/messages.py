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

    Args:
        migration: Whose people are notified.
        key: What it is about: a message with the same key is not sent again for a while.
        severity: How urgent it is.
        title: One line.
        body: What there is to say about it.
        at: When it was saved.
        is_sent: Whether every channel has it.
        attempts: How often it was sent or tried.
        problem: Why the last attempt failed.
        reached: The channels that have it.
        id: 0 until it is stored.
    """

    migration: str
    key: str
    severity: Severity
    title: str
    body: str
    at: datetime
    is_sent: bool = False
    attempts: int = 0
    problem: str = ""
    reached: tuple[str, ...] = ()
    id: int = 0
