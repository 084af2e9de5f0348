"""What a cutover teaches. Pure.

Values are in base units: shares 0..1, seconds; times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from changeover.domain.rollbacks import Rollback, TriggerFiring
from changeover.domain.rollout import Cutover
from reports.model import Headline, Moment


@dataclass(frozen=True, slots=True)
class StageTime:
    """Where the time of a stage went; the parts add up to `seconds`.

    Args:
        key: Its name in the store.
        title: Its name for people.
        status: What became of it.
        weight: Buckets (0..10_000) of users on the candidate.
        seconds: Time in it, by the clock.
        soak_seconds: Of that, the soak that the plan wants.
        people_seconds: Of that, after the soak, waiting for people's answers.
        paused_seconds: Of that, after the soak, while people had paused it.
        other_seconds: The rest: further soaks that people wanted, gates without enough data.
        rounds: How often it soaked; a hold begins the next round.
        rechecks: How often its gates were judged again.
    """

    key: str
    title: str
    status: str
    weight: int
    seconds: float
    soak_seconds: float
    people_seconds: float
    paused_seconds: float
    other_seconds: float
    rounds: int
    rechecks: int


class Watch(StrEnum):
    """What watched a value."""

    TRIGGER = "trigger"
    CHECK = "check"
    GUARDRAIL = "guardrail"


@dataclass(frozen=True, slots=True)
class Near:
    """How near something came to its bound.

    Args:
        watch: A trigger, a check of a gate, or a guardrail.
        name: Its name; of a check its gate and metric.
        bound: The bound, in words.
        share: 0: as good as can be; 1: at the bound; above 1: beyond it.
        value: The worst value, in words.
        at: When that was; null when nobody knows.
        stage: The stage at that time; empty outside any.
        basis: What the value is of: `seconds`, `minutes`, `hours`, `verdicts`, `firing`,
            `evidence now`.
        fired: Whether it fired or failed.
    """

    watch: Watch
    name: str
    bound: str
    share: float
    value: str
    at: datetime | None
    stage: str
    basis: str
    fired: bool


@dataclass(frozen=True, slots=True)
class Unseen:
    """A check or trigger that never had enough data.

    Args:
        watch: A trigger, a check of a gate, or a guardrail.
        name: Its name.
        reason: What it said.
    """

    watch: Watch
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Flaky:
    """A check whose verdict changed its mind.

    Args:
        stage: Title of the stage.
        gate: Name of the gate.
        check: The check, in words.
        flips: How often it went from pass to fail or back, what lay between left out.
        lost: How often a pass became inconclusive.
        verdicts: Every verdict in order.
    """

    stage: str
    gate: str
    check: str
    flips: int
    lost: int
    verdicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """What the next plan should do otherwise, and the numbers that say so.

    Args:
        rule: Name of the rule.
        text: What to do.
        reason: What it is derived from.
    """

    rule: str
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lessons:
    """Everything that the report of lessons learned says.

    Args:
        migration: Name of the migration.
        generated_at: When it was written.
        changeover_version: Of the program.
        systems: The names that people gave both systems.
        cutover: The cutover.
        headline: How it ended, or stands.
        start: When it began.
        end: When it ended, or now.
        stages: Where the time of each stage went.
        near: How near triggers, checks and guardrails came to their bounds, the nearest first.
        unseen: What never had enough data.
        flaky: Checks whose verdict changed its mind.
        firings: Triggers that fired.
        rollbacks: Rollbacks.
        timeline: The decisions.
        advice: What follows for the next plan.
    """

    migration: str
    generated_at: datetime
    changeover_version: str
    systems: Mapping[str, str]
    cutover: Cutover
    headline: Headline
    start: datetime
    end: datetime
    stages: tuple[StageTime, ...]
    near: tuple[Near, ...]
    unseen: tuple[Unseen, ...]
    flaky: tuple[Flaky, ...]
    firings: tuple[TriggerFiring, ...]
    rollbacks: tuple[Rollback, ...]
    timeline: tuple[Moment, ...]
    advice: tuple[Advice, ...]
