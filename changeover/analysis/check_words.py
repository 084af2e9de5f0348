"""What is shown of a check's evidence beside its verdict and reason, in words. Pure.

The evidence is the mapping that `CheckResult.as_evidence` gave and the store keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from changeover.domain.verdict import Verdict
from changeover.plan.conditions import OnFail
from changeover.plan.metrics import format_value, metric_of


def interval_text(check: Mapping[str, Any]) -> str:
    """Return where the true value lies: `0.080 % to 0.180 %`, `0.9 × baseline, 0.7 to 1.2`.

    Empty where no interval is known.
    """
    found = check.get("interval")
    if not found:
        return ""
    if found["of"] == "ratio":
        low, high = f"{found['low']:.2g}", f"{found['high']:.2g}"
        return f"{found['value']:.2g} × baseline, {low} to {high}"
    metric = metric_of(str(check["metric"]))
    low = format_value(metric, found["low"])
    high = format_value(metric, found["high"])
    if found["of"] == "difference":
        value = format_value(metric, found["value"])
        return f"{value} above baseline, {low} to {high}"
    return f"{low} to {high}"


def evidence_text(check: Mapping[str, Any]) -> str:
    """Return how far the evidence is: `harm -0.52 of 4.61, health 1.90 of 3.00`.

    An earlier look that showed harm is beside it: `harm 4.5 of 4.6 (before 4.7 of 4.6)`.

    Logarithms of e-values, each beside what it needs. Empty where a check is judged otherwise.
    """
    found = check.get("sequential") or {}
    if "log_worse" not in found:
        return ""
    text = f"harm {found['log_worse']:.2f} of {found['log_bar']:.2f}"
    before = found.get("before")
    # each start has a bar of its own: both are said
    if before and before["log_worse"] >= before["log_bar"]:
        text += f" (before {before['log_worse']:.2f} of {before['log_bar']:.2f})"
    better = found["stage"]["log_better"]
    if better is None:
        return text
    return f"{text}, health {better:.2f} of {found['log_pass']:.2f}"


def outlook_text(check: Mapping[str, Any]) -> str:
    """Return how much longer an undecided check needs; empty where nobody knows."""
    return str((check.get("outlook") or {}).get("text", ""))


def group_text(check: Mapping[str, Any]) -> str:
    """Return the group that a check belongs to, and what it says: `one of 2 must pass: pass`."""
    group = check.get("group")
    # A group whose checks are only shown has no verdict.
    if not group or "verdict" not in group:
        return ""
    return f"{group['words']}: {group['verdict']}"


def asks_people(check: Mapping[str, Any]) -> bool:
    """Whether a check failed whose failure people decide about, and its group needs it."""
    is_failed = check.get("verdict") == Verdict.FAIL
    is_asked = is_failed and check.get("on_fail") == OnFail.ASK
    group = check.get("group") or {}
    return is_asked and group.get("verdict") != Verdict.PASS


def gate_word(verdict: str, evidence: Iterable[Mapping[str, Any]]) -> str:
    """Return a gate's verdict for people; one that hangs on an answer of theirs says so."""
    is_open = verdict == Verdict.INCONCLUSIVE
    if is_open and any(map(asks_people, evidence)):
        return "asks people"
    return str(verdict)
