"""Freezes: times in which nobody is moved to the candidate, whatever the plan says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SOON = timedelta(minutes=10)
"""Within it, `--until 2d` said again is the same two days: perhaps the command was killed."""


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


def is_same(known: Freeze, wanted: Freeze) -> bool:
    """Whether a freeze that is wanted is the one that is in force, said once more."""
    if known.reason != wanted.reason:
        return False
    if known.until is None or wanted.until is None:
        return known.until == wanted.until
    is_as_long = known.until - known.at == wanted.until - wanted.at
    is_again = known.actor == wanted.actor and wanted.at - known.at <= SOON
    return known.until == wanted.until or (is_as_long and is_again)
