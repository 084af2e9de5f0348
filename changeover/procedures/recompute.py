"""Reaching a stored verdict again from what was stored with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from changeover.analysis.check import as_asked, evaluate
from changeover.analysis.external import judge_again
from changeover.analysis.mann_whitney import minutes as mann_whitney
from changeover.analysis.sequential.judging import METHOD, judge_by_buckets
from changeover.analysis.sequential.keeping import unpack_stage
from changeover.analysis.sequential.slow import is_timed
from changeover.analysis.window import Measured
from changeover.domain.rollout import GateVerdict
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

COMPARED = ("verdict", "reason", "value", "samples", "baseline_value", "baseline_samples",
            "sequential", "by_minutes", "interval", "external")
"""What must come out the same."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One check of a verdict, reached again.

    Args:
        metric: Its metric.
        stored: What was stored.
        again: What came out now; None where too little was stored to say.
        problem: Why it cannot be recomputed, or what differs; empty when it is the same.
    """

    metric: str
    stored: Mapping[str, Any]
    again: Mapping[str, Any] | None
    problem: str = ""


def recompute(verdict: GateVerdict, sums: bytes | None) -> list[Recomputed]:
    """Return each check of a stored verdict as it comes out now, from the stored numbers alone.

    Args:
        verdict: The stored verdict.
        sums: The packed sums that it was judged by; None where there were none.
    """
    return [_recomputed(each, sums) for each in verdict.evidence]


def _recomputed(stored: Mapping[str, Any], sums: bytes | None) -> Recomputed:
    metric = str(stored.get("metric", "?"))
    if "check" not in stored:
        return Recomputed(metric, stored, None, "a guardrail: what it saw is in its reason")
    check = CheckSpec.model_validate(stored["check"])
    again = dict(stored)
    if check.is_sequential:
        # another method reaches other verdicts, and neither is wrong
        method = stored.get("sequential", {}).get("method")
        if method != METHOD:
            return Recomputed(metric, stored, None, _other_method(method, METHOD))
        if sums is None:
            return Recomputed(metric, stored, None, "its sums are not in the store")
        judged = judge_by_buckets(check, unpack_stage(sums, stored))
        again |= as_asked(check, judged).as_evidence()
        if is_timed(check):  # the quantiles are shown beside it, and decide nothing
            again |= {name: stored[name] for name in ("value", "baseline_value")}
    elif check.is_by_minutes:
        method = stored.get("by_minutes", {}).get("method")
        if method != mann_whitney.METHOD:
            return Recomputed(metric, stored, None, _other_method(method, mann_whitney.METHOD))
        again |= _by_minutes(check, stored)
    elif check.is_external:
        again |= as_asked(check, judge_again(check, stored)).as_evidence()
    else:
        again |= _by_threshold(check, stored)
    differing = [name for name in COMPARED if not _is_same(stored.get(name), again.get(name))]
    problem = f"other than stored: {', '.join(differing)}" if differing else ""
    return Recomputed(metric, stored, again, problem)


def _other_method(stored: object, ours: str) -> str:
    return f"it was reached by method {stored!r}, and this version of changeover has {ours!r}"


def _by_minutes(check: CheckSpec, stored: Mapping[str, Any]) -> dict[str, Any]:
    document = stored["by_minutes"]
    minutes = mann_whitney.Minutes(document["baseline"], document["candidate"])
    samples = min(stored["samples"], stored["baseline_samples"] or 0)
    found = mann_whitney.judge_by_minutes(check, minutes, samples, stored["min_samples"])
    verdict, reason = found.verdict, found.reason
    if _is_failed_by_missing(check, verdict, stored):
        verdict, reason = Verdict.FAIL, str(stored["reason"])
    return {"verdict": str(verdict), "reason": reason, "by_minutes": found.document}


def _is_failed_by_missing(check: CheckSpec, verdict: Verdict, stored: Mapping[str, Any]) -> bool:
    """Whether the plan calls it a failure that the system had too few samples."""
    is_missing = verdict is Verdict.INCONCLUSIVE and stored["samples"] < stored["min_samples"]
    return is_missing and check.on_no_data == "fail"


def _by_threshold(check: CheckSpec, stored: Mapping[str, Any]) -> dict[str, Any]:
    own = Measured(stored["value"], stored["samples"])
    other = None
    if stored.get("baseline_samples") is not None:
        other = Measured(stored["baseline_value"], stored["baseline_samples"])
    verdict, reason = evaluate(check, own, other, needed=stored["min_samples"])
    if _is_failed_by_missing(check, verdict, stored):
        verdict, reason = Verdict.FAIL, str(stored["reason"])
    if stored.get("coverage") is not None:  # told beside the reason, decides nothing
        reason = str(stored["reason"])
    return {"verdict": str(verdict), "reason": reason}


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same to the last bit, whether they came from JSON or not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            _is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return bool(one == other)
