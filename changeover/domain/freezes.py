"""Freezes: times in which nobody is moved to the candidate, whatever the plan says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Freeze:
    """One freeze of a migration. `id` is 0 until it is stored.

    Args:
        migration: The migration.
        actor: Who froze it.
        reason: Why.
        at: Since when.
        until: When it ends by itself; None: when a person ends it.
        ended_at: When a person ended it.
        ended_by: Who.
    """

    migration: str
    actor: str
    reason: str
    at: datetime
    until: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    id: int = 0

    @property
    def text(self) -> str:
        """The freeze for people: who, why, until when."""
        until = f"until {self.until:%F %T} UTC" if self.until else "until somebody ends it"
        return f"frozen by {self.actor} {until}: {self.reason}"
