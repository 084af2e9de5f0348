"""What a backtest found: of gates, of triggers, and what it could not tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from changeover.domain.rollout import StageAction


class Change(StrEnum):
    """How a check of the new plan stands to that of the verdict."""

    SAME = "same"
    CHANGED = "changed"
    NEW = "new"
    DROPPED = "dropped"


UNKNOWN = "unknown"
"""What stands for a verdict that nobody can give any more."""


@dataclass(frozen=True, slots=True)
class CheckAgain:
    """One check, as it was judged and as the new plan would judge it.

    Args:
        metric: Its metric.
        check: The new plan's condition for people, or the old one of a check that was dropped.
        change: How the new check stands to the old one.
        then: The stored verdict; None of a new check.
        now: The verdict with the new plan, or `unknown`; None of a dropped check.
        reason: The new plan's reason, or why it is unknown.
        basis: Which numbers it was judged by.
        evidence: What `CheckResult.as_evidence` gives; None where there is no result.
    """

    metric: str
    check: str
    change: Change
    then: str | None
    now: str | None
    reason: str
    basis: str
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class GateAgain:
    """One gate; `then` is None when nobody asked it, `now` when the new plan does not."""

    gate: str
    then: str | None
    now: str | None
    reason: str
    checks: Sequence[CheckAgain] = ()
    verdict_id: int | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A moment in which a stage was judged.

    Args:
        cutover_id: The cutover.
        stage: Key of the stage.
        attempt: How often it had been looked at in this soak before.
        at: When.
        then: What followed from the stored verdicts.
        now: What would have followed with the new plan; None where that is unknown.
        gates: All gates.
        then_back: Routes that went back alone then; everyone else stayed.
        now_back: Routes that would have gone back alone with the new plan.
    """

    cutover_id: int
    stage: str
    attempt: int
    at: datetime
    then: StageAction
    now: StageAction | None
    gates: Sequence[GateAgain]
    then_back: Sequence[str] = ()
    now_back: Sequence[str] = ()

    @property
    def then_words(self) -> str:
        """What followed, for people."""
        return follows(self.then, self.then_back)

    @property
    def now_words(self) -> str:
        """What would have followed, for people."""
        return UNKNOWN if self.now is None else follows(self.now, self.now_back)

    @property
    def ends(self) -> bool:
        """Whether it would have ended the cutover: everyone goes back, and not a route alone."""
        return self.now is StageAction.ROLLBACK and not self.now_back

    @property
    def is_other(self) -> bool:
        """Whether a verdict or what follows would have been another."""
        for each in self.gates:
            # A gate that only one of the two plans asks cannot be compared.
            is_in_both = each.now is not None and each.then is not None
            if is_in_both and each.now not in (each.then, UNKNOWN):
                return True
        return self.now is not None and self.now_words != self.then_words


def follows(action: StageAction, back: Sequence[str]) -> str:
    """Return what follows for a stage: a failed gate takes back everyone, or its routes alone."""
    return f"{action} of route {', '.join(back)}" if back else str(action)


@dataclass(frozen=True, slots=True)
class Fired:
    """A firing: when, and the sentence with its numbers."""

    at: datetime
    reason: str
    value: float | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class TriggerAgain:
    """One trigger.

    Args:
        trigger: Its name.
        action: What it does.
        condition: For people.
        change: How it stands to that of the plan that runs.
        then: What fired while users were on the candidate.
        now: What would have fired then; None where that is unknown.
        false_alarms: What it would have fired while everyone was on the baseline; None where
            that is unknown.
        fired_at_baseline: How often it did fire then.
        healthy_days: Days of that time that were measured.
        how: How the time at the baseline was evaluated.
    """

    trigger: str
    action: str
    condition: str
    change: Change
    then: Sequence[Fired] = ()
    now: Sequence[Fired] | None = ()
    false_alarms: Sequence[Fired] | None = ()
    fired_at_baseline: int = 0
    healthy_days: float = 0.0
    how: str = ""

    @property
    def is_other(self) -> bool:
        """Whether it would have fired otherwise while users were on the candidate."""
        if self.now is None:
            return False
        return self.change is not Change.SAME and len(self.now) != len(self.then)

    @property
    def false_alarms_per_day(self) -> float | None:
        """False alarms a day; None without any day or where they are unknown."""
        if self.false_alarms is None or not self.healthy_days:
            return None
        return len(self.false_alarms) / self.healthy_days


@dataclass(frozen=True, slots=True)
class HealthyCheck:
    """A check of a stage, asked about times in which everyone was on the baseline.

    Args:
        stage: Key of the stage.
        gate: The gate.
        check: The condition for people.
        soaks: Times as long as the soak that were looked at, one after the other.
        failed: How many of them fail.
        passed: How many pass; the others are inconclusive.
        how: What stood for the candidate.
    """

    stage: str
    gate: str
    check: str
    soaks: int
    failed: int
    passed: int
    how: str


@dataclass(frozen=True, slots=True)
class NotKnown:
    """What cannot be evaluated, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Backtest:
    """All that was found."""

    migration: str
    since: datetime
    until: datetime
    evaluations: Sequence[Evaluation] = ()
    triggers: Sequence[TriggerAgain] = ()
    healthy: Sequence[HealthyCheck] = ()
    unknown: Sequence[NotKnown] = ()
    on_users_days: float = 0.0
    healthy_days: float = 0.0
    cutovers: Sequence[str] = field(default_factory=tuple)

    @property
    def is_other(self) -> bool:
        """Whether anything would have been decided otherwise."""
        is_other_stage = any(each.is_other for each in self.evaluations)
        return is_other_stage or any(each.is_other for each in self.triggers)

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"is_other": self.is_other, **_plain(asdict(self), self)}


def _plain(values: dict[str, Any], found: Backtest) -> dict[str, Any]:
    """Return the values with what is computed beside them."""
    # `asdict` knows fields only, no properties.
    for shown, each in zip(values["triggers"], found.triggers, strict=True):
        shown["is_other"] = each.is_other
        shown["false_alarms_per_day"] = each.false_alarms_per_day
    for shown, evaluation in zip(values["evaluations"], found.evaluations, strict=True):
        shown["is_other"] = evaluation.is_other
    return {each.name: values[each.name] for each in fields(found)}
