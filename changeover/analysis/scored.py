"""What a score of checks by ranks says of a gate. Pure.

The score is Kayenta's. Its verdict is stricter about what was not measured, as every check's here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from changeover.analysis.check import CheckResult
from changeover.analysis.mann_whitney.classify import Classification
from changeover.analysis.mann_whitney.score import JudgedMetric, score
from changeover.domain.verdict import Verdict
from changeover.plan.ranks import ALL_METRICS

_FAILURES = (Classification.HIGH, Classification.LOW)


def judge_score(group: Mapping[str, Any], members: Sequence[CheckResult]) -> tuple[Verdict, str]:
    """Return the verdict of a score, and its reason.

    1. Half of the checks without data, or a group without any: nobody knows.
    2. Below `marginal` (or `pass`, where there is none) the gate fails.
    3. Between both nobody knows, so that people are asked in the end.

    Args:
        group: The group of the checks, with `score`.
        members: Their results.
    """
    asked = group["score"]
    metrics = [_metric(each) for each in members]
    found = score(metrics, asked["weights"])
    needed = asked["pass_"]
    marginal = asked.get("marginal", needed)
    about = f"score {found.total:g} of {needed:g} ({found.reason})"
    missing = 0
    for each in metrics:
        missing += each.classification is Classification.NODATA
    # A critical failure is known, however much of the rest is missing.
    is_critical = found.reason.startswith("critical")
    if not is_critical and (2 * missing >= len(metrics) or found.unmeasured):
        return Verdict.INCONCLUSIVE, f"{about}: too little was measured"
    if found.total < marginal:
        return Verdict.FAIL, about
    verdict = Verdict.PASS if found.total >= needed else Verdict.INCONCLUSIVE
    return verdict, about


def _metric(result: CheckResult) -> JudgedMetric:
    """Return a check as the score counts it; one that knows nothing has no data."""
    document = result.by_minutes or {}
    classification = Classification.NODATA
    if result.verdict is not Verdict.INCONCLUSIVE:
        known = document.get("classification", Classification.NODATA)
        classification = Classification(known)
    if result.verdict is Verdict.FAIL and classification not in _FAILURES:
        # The plan wants data here.
        classification = Classification.NODATA_FAIL
    # A metric that is critical can still pass: only its failure makes the score 0.
    is_failed = result.verdict is Verdict.FAIL
    is_critical = is_failed and bool(document.get("is_critical"))
    groups = document.get("groups") or [ALL_METRICS]
    return JudgedMetric(result.metric, classification, groups, is_critical)
