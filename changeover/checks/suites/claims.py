"""The check of a suite that the systems and the claims agree about every item."""

from __future__ import annotations

from changeover.checks.agreement import compare
from changeover.checks.suites.result import CheckResult, judged, unknown
from changeover.checks.suites.target import CheckTarget
from changeover.plan.suites import ClaimsCheck


def check_claims(spec: ClaimsCheck, target: CheckTarget) -> CheckResult:
    """Compare what both systems say of their items with the claims."""
    if target.site is None:
        return unknown("nothing was started with `changeover up`: there are no claims to compare")
    found = compare(target.site, spec.path, spec.grace)
    if found.unanswered and not found.problems:
        return unknown("; ".join(found.unanswered), **found.evidence)
    fine = f"both systems and the claims agree about {found.items} items"
    return judged([found.text] if found.problems else [], fine, **found.evidence)
