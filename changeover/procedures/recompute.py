"""Reaching a stored verdict again from what was stored with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from changeover.analysis.check import as_asked, evaluate
from changeover.analysis.external import judge_again
from changeover.analysis.mann_whitney import minutes as mann_whitney
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.keeping import unpack_stage
from changeover.analysis.sequential.peak import before_in
from changeover.analysis.sequential.slow import is_timed
from changeover.analysis.sequential.stage_sums import METHOD
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
        why = "a guardrail: what it saw is in its reason"
        return Recomputed(metric, stored, None, why)
    check = CheckSpec.model_validate(stored["check"])
    why = _why_not(check, stored, sums)
    if why:
        return Recomputed(metric, stored, None, why)
    again = dict(stored)
    if check.is_sequential:
        again |= _by_buckets(check, stored, sums or b"")
    elif check.is_by_minutes:
        again |= _by_minutes(check, stored)
    elif check.is_external:
        judged = judge_again(check, stored)
        again |= as_asked(check, judged).as_evidence()
    else:
        again |= _by_threshold(check, stored)
    differing = []
    for name in COMPARED:
        if not _is_same(stored.get(name), again.get(name)):
            differing.append(name)
    problem = ""
    if differing:
        problem = f"other than stored: {', '.join(differing)}"
    return Recomputed(metric, stored, again, problem)


def _why_not(check: CheckSpec, stored: Mapping[str, Any], sums: bytes | None) -> str:
    """Return why a check cannot be reached again; empty when it can."""
    # another method reaches other verdicts, and neither is wrong
    if check.is_sequential:
        method = stored.get("sequential", {}).get("method")
        if method != METHOD:
            return _other_method(method, METHOD)
        if sums is None:
            return "its sums are not in the store"
    elif check.is_by_minutes:
        method = stored.get("by_minutes", {}).get("method")
        if method != mann_whitney.METHOD:
            return _other_method(method, mann_whitney.METHOD)
    return ""


def _other_method(stored: object, ours: str) -> str:
    return (f"it was reached by method {stored!r}, "
            f"and this version of changeover has {ours!r}")


def _by_buckets(
    check: CheckSpec, stored: Mapping[str, Any], sums: bytes
) -> dict[str, Any]:
    stage = unpack_stage(sums, stored)
    # the sums of an earlier look are not kept: what it found is taken as it was stored
    judged = judge_by_buckets(check, stage, before_in(stored))
    found = as_asked(check, judged).as_evidence()
    if is_timed(check):
        # the quantiles are shown beside it, and decide nothing
        for name in ("value", "baseline_value"):
            found[name] = stored[name]
    return found


def _by_minutes(check: CheckSpec, stored: Mapping[str, Any]) -> dict[str, Any]:
    known, needed = stored["by_minutes"], stored["min_samples"]
    minutes = mann_whitney.Minutes(known["baseline"], known["candidate"])
    samples = min(stored["samples"], stored["baseline_samples"] or 0)
    found = mann_whitney.judge_by_minutes(check, minutes, samples, needed)
    verdict, reason = found.verdict, found.reason
    if _is_failed_by_missing(check, verdict, stored):
        verdict, reason = Verdict.FAIL, str(stored["reason"])
    return {"verdict": str(verdict), "reason": reason, "by_minutes": found.document}


def _is_failed_by_missing(check: CheckSpec, verdict: Verdict, stored: Mapping[str, Any]) -> bool:
    """Whether the plan calls it a failure that the system had too few samples."""
    has_few = stored["samples"] < stored["min_samples"]
    is_missing = verdict is Verdict.INCONCLUSIVE and has_few
    return is_missing and check.on_no_data == "fail"


def _by_threshold(check: CheckSpec, stored: Mapping[str, Any]) -> dict[str, Any]:
    own = Measured(stored["value"], stored["samples"])
    other = None
    number = stored.get("baseline_samples")
    if number is not None:
        other = Measured(stored["baseline_value"], number)
    needed = stored["min_samples"]
    verdict, reason = evaluate(check, own, other, needed=needed)
    if _is_failed_by_missing(check, verdict, stored):
        verdict, reason = Verdict.FAIL, str(stored["reason"])
    # told beside the reason, decides nothing
    if stored.get("coverage") is not None:
        reason = str(stored["reason"])
    return {"verdict": str(verdict), "reason": reason}


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same to the last bit, whether they came from JSON or not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if one.keys() != other.keys():
            return False
        return all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, float) and isinstance(other, float):
        # what is no number is never equal to itself
        are_nan = math.isnan(one) and math.isnan(other)
        return one == other or are_nan
    return bool(one == other)
