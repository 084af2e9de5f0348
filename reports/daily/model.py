"""What a daily summary says. Pure.

Values are in base units: shares 0..1, seconds; times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover.domain.rollbacks import TriggerFiring
from changeover.shadow.findings import Finding
from reports.model import Figures, Headline, Moment


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for people.

    Args:
        what: What is asked or to be done, in a sentence.
        since: Since when.
        seconds: For how long.
        may: Who may answer, by the plan; empty: anybody.
        agreed: Who has agreed so far.
    """

    what: str
    since: datetime
    seconds: float
    may: str = ""
    agreed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HealthOfDay:
    """A health check over the day.

    Args:
        check: Name of the check.
        status: What it found last: `healthy`, `warning`, `unhealthy`, `critical`, `error`.
        detail: What it said last.
        worst: The worst that it found.
        checked: How often it looked.
        not_good: How often it found something worse than a warning.
    """

    check: str
    status: str
    detail: str
    worst: str
    checked: int
    not_good: int


@dataclass(frozen=True, slots=True)
class StageNow:
    """Where the cutover stands among its stages, and what comes next and when."""

    done: int
    of: int
    stage: str
    next: str
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class DailySummary:
    """Everything that a daily summary says.

    Args:
        migration: Name of the migration.
        day: The day of its end in UTC, as `2026-11-29`; one message is sent for each.
        generated_at: When it was written.
        changeover_version: Of the program.
        systems: The names that people gave both systems.
        start: Start of the time that it covers.
        end: Its end.
        headline: Where the newest cutover stands.
        routing: The routing state in one phrase.
        progress: Where it stands among its stages; null without a cutover.
        changes: What was decided and changed in this time.
        more_changes: How many less important events there were besides.
        waiting: What waits for people.
        figures: What was measured of both systems in this time.
        figures_before: The same of as long a time before.
        health: Every health check over this time, the worst first.
        firings: Triggers that fired in this time.
        triggers: How every trigger stands now.
        new_differences: Places that differ since this time began and did not before.
        regressions: Places at which the candidate is worse, new or not.
        compared: Comparisons since the rules were changed last, and how many of them match.
    """

    migration: str
    day: str
    generated_at: datetime
    changeover_version: str
    systems: Mapping[str, str]
    start: datetime
    end: datetime
    headline: Headline
    routing: str
    progress: StageNow | None
    changes: tuple[Moment, ...]
    more_changes: int
    waiting: tuple[Waiting, ...]
    figures: tuple[Figures, ...]
    figures_before: tuple[Figures, ...]
    health: tuple[HealthOfDay, ...]
    firings: tuple[TriggerFiring, ...]
    triggers: tuple[Mapping[str, Any], ...]
    new_differences: tuple[Finding, ...]
    regressions: int
    compared: tuple[int, int] | None
