"""What the evidence of a stage says of a trigger. Pure.

The evidence is that of gates, so it may be read at any time. It stays as long as the stage lasts:
a trigger by evidence is over when the evidence has fallen well below what it needs (another stage
begins without any), and the window's value is back as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.analysis.trigger import Judged
from changeover.domain.verdict import Verdict
from changeover.plan.triggers import TriggerSpec

VALID_SECONDS = 60
"""Evidence that is older says nothing of now."""
LOG_FALLEN = math.log(10)
"""Evidence must fall to a tenth of what a trigger needs before it may be over."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The evidence of a stage as it was weighed at the end of second `at`.

    Args:
        at: Unix second.
        is_shown: Whether harm beyond the margin is shown; None while nobody can know.
        is_fallen: Whether the evidence is far below what a trigger needs.
        reason: One sentence with the numbers.
        numbers: What it was reached by.
    """

    at: int
    is_shown: bool | None
    is_fallen: bool
    reason: str
    numbers: Mapping[str, Any]


def weigh_trigger(spec: TriggerSpec, sums: StageSums) -> Weighed:
    """Return what the sums of a stage say of a trigger.

    Args:
        spec: A trigger for which `is_sequential` holds.
        sums: What was counted of the stage, without any time to settle.
    """
    result = judge_by_buckets(spec.as_check, sums)
    found = dict(result.sequential or {})
    has_data = result.value is not None and result.samples >= result.min_samples
    log_worse, log_bar = found.get("log_worse", 0.0), found.get("log_bar", math.inf)
    numbers: dict[str, Any] = {
        "value": result.value, "samples": result.samples,
        "baseline_value": result.baseline_value, "baseline_samples": result.baseline_samples,
        **{name: found[name] for name in (
            "method", "weight", "checks", "alpha", "margin", "start", "log_worse", "log_bar")
           if name in found},
    }
    return Weighed(
        at=int(sums.end.timestamp()),
        is_shown=result.verdict is Verdict.FAIL if has_data else None,
        is_fallen=log_worse <= log_bar - LOG_FALLEN, reason=result.reason, numbers=numbers)


def judge_evidence(weighed: Weighed | None, measured: Judged, *, at: int) -> Judged:
    """Return what a second says of a trigger by evidence.

    Args:
        weighed: The newest evidence.
        measured: What the window's two values say.
        at: The second.
    """
    if weighed is None or abs(at - weighed.at) > VALID_SECONDS:
        # nothing is known; a trigger that fired is not over by that
        return replace(measured, is_true=None, is_back=None,
                       reason="the evidence is not weighed yet, or no users of both systems are "
                       "compared at present")
    is_back = None if measured.is_back is None else measured.is_back and weighed.is_fallen
    return Judged(weighed.is_shown, is_back, weighed.reason, measured.value,
                  {**measured.numbers, "evidence": dict(weighed.numbers)})
