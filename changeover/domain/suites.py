"""Runs of validation suites and what each check found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from changeover.domain.verdict import Verdict


class SuiteVerdict(StrEnum):
    """What a suite's run found."""

    RUNNING = "running"
    PASS = "pass"  # noqa: S105  a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"  # nobody carries the run on


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One run of a suite."""

    id: int
    migration: str
    suite: str
    key: str
    started_at: datetime
    ended_at: datetime | None
    verdict: SuiteVerdict


@dataclass(frozen=True, slots=True)
class SuiteCheck:
    """One check of a run as it is stored."""

    run_id: int
    number: int
    name: str
    kind: str
    verdict: Verdict
    reason: str
    evidence: dict[str, Any]
    started_at: datetime
    seconds: float
