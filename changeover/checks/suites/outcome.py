"""What a check of a validation suite works with, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from changeover.analysis.verdict import Verdict
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.store.engine import Store

Report = Callable[[float], None]
"""Told how much of a check is done, 0..1."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where checks look: the plan, the folder that its paths are relative to, what runs.

    `store` and `gateway` are None when nothing was started with `changeover up`; `pids` are the
    systems' processes that it started.
    """

    plan: Plan
    folder: Path
    store: Store | None = None
    gateway: Gateway | None = None
    pids: Mapping[str, int] = field(default_factory=dict)

    def url(self, host: str) -> str:
        """Return the address of the baseline, the candidate or the gateway."""
        if host == "gateway":
            return f"http://{self.plan.routing.listen}"
        return self.plan.system(host).url.rstrip("/")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found: a sentence with the numbers, and everything behind it."""

    verdict: Verdict
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckRun:
    """One check as it was carried out; `seconds` is how long it took."""

    number: int
    name: str
    kind: str
    outcome: Outcome
    started_at: datetime
    seconds: float


def judged(problems: Sequence[str], fine: str, **evidence: Any) -> Outcome:
    """Return a failure that lists every problem, or a pass with one sentence."""
    if problems:
        return Outcome(Verdict.FAIL, "; ".join(problems), {**evidence, "problems": [*problems]})
    return Outcome(Verdict.PASS, fine, evidence)


def unknown(reason: str, **evidence: Any) -> Outcome:
    """Return that a check could not be carried out: that is never a pass."""
    return Outcome(Verdict.INCONCLUSIVE, reason, evidence)
