"""Runs of validation suites and what each check found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One run of a suite. `verdict` is `running` until it ended."""

    id: int
    migration: str
    suite: str
    key: str
    started_at: datetime
    ended_at: datetime | None
    verdict: str


@dataclass(frozen=True, slots=True)
class SuiteCheck:
    """One check of a run as it is stored."""

    run_id: int
    number: int
    name: str
    kind: str
    verdict: str
    reason: str
    evidence: dict[str, Any]
    started_at: datetime
    seconds: float
