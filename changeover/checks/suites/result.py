"""What a check of a validation suite found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from changeover.domain.suites import SuiteCheck
from changeover.domain.verdict import Verdict

Report = Callable[[float], None]
"""Receives how much of a check is done, 0..1."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found: a sentence with the numbers, and everything behind it."""

    verdict: Verdict
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckRun:
    """One check that was run; `seconds` is its duration."""

    number: int
    name: str
    kind: str
    result: CheckResult
    started_at: datetime
    seconds: float


def judged(problems: Sequence[str], fine: str, **evidence: Any) -> CheckResult:
    """Return a failure that lists every problem, or a pass with one sentence."""
    if problems:
        evidence["problems"] = list(problems)
        return CheckResult(Verdict.FAIL, "; ".join(problems), evidence)
    return CheckResult(Verdict.PASS, fine, evidence)


def unknown(reason: str, **evidence: Any) -> CheckResult:
    """Return that a check could not be run to its end: that is never a pass."""
    return CheckResult(Verdict.INCONCLUSIVE, reason, evidence)


def as_stored(run_id: int, run: CheckRun) -> SuiteCheck:
    """Return a check as the store saves it."""
    return SuiteCheck(
        run_id=run_id, number=run.number, name=run.name, kind=run.kind,
        verdict=run.result.verdict, reason=run.result.reason,
        evidence=run.result.evidence, started_at=run.started_at, seconds=run.seconds,
    )
