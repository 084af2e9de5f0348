"""What differs between the answers, as the comparison's page shows it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from changeover.comparison.noise import Judgement
from changeover.domain.routing import RoutingState
from changeover.plan.model import Plan
from changeover.shadow.findings import Finding

DAY = timedelta(days=1)
_TONES = {
    Judgement.REGRESSION: "regression", Judgement.INCONCLUSIVE: "inconclusive",
    Judgement.NOISE: "", Judgement.QUIET: "pass"}
_COVERED = {
    "seen": "requests copied by the gateway", "compared": "compared", "matched": "of these, alike",
    "paired": "of these, the baseline asked twice", "failed": "of these, an answer is missing"}
"""What is counted of every copied request; all else says why one was left out."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Why a page has nothing to show, or only old things."""

    title: str
    text: str
    tone: str = ""


def notice(
    plan: Plan, state: RoutingState, coverage: Mapping[str, int], compared_at: datetime | None
) -> Notice | None:
    """Return what stands above the figures; None while answers are compared.

    Args:
        plan: The migration's plan.
        state: Where its traffic goes.
        coverage: How many copied requests had which outcome.
        compared_at: When the newest compared request came; None before the first.
    """
    if plan.shadow is None:
        return Notice(
            "Nothing is compared", "The plan has no `shadow`. With `shadow: {sample: 10%}` a part "
            "of the requests is copied to the candidate, and both answers are compared; users "
            "notice nothing. See docs/comparison.md.")
    if state.copied == 0:
        last = "" if compared_at is None else (
            f" The last request that was compared came at {compared_at:%Y-%m-%d %H:%M:%S}; "
            "the figures below are as old as that.")
        why = "maintenance" if state.maintenance else str(state.mode).replace("_", " ")
        return Notice(
            "Nothing is copied at present",
            f"Requests are copied in shadow, parallel and gradual; now is {why}.{last}", "warn")
    if coverage.get("compared", 0) == 0:
        seen = coverage.get("seen", 0)
        return Notice(
            "Nothing was compared yet",
            f"{state.copied / 100:g} % of the requests are copied; {seen} were seen so far. "
            "What became of them stands under “Coverage”.", "warn" if seen else "")
    return None


def coverage_rows(coverage: Mapping[str, int]) -> list[tuple[str, int, float | None]]:
    """Return what became of the copied requests: words, number, share of those seen.

    What was left out comes last, the most frequent reason first.
    """
    seen = coverage.get("seen", 0)
    rows: list[tuple[str, int, float | None]] = []
    for name, words in _COVERED.items():
        number = coverage.get(name, 0)
        rows.append((words, number, number / seen if seen else None))
    left_out = [(name, number) for name, number in coverage.items() if name not in _COVERED]
    for name, number in sorted(left_out, key=lambda each: (-each[1], each[0])):
        rows.append((name, number, number / seen if seen else None))
    return rows


def is_new(first_seen: datetime, began: datetime | None, now: datetime) -> bool:
    """Whether a place is new since yesterday: where all is of today, nothing is.

    Args:
        first_seen: When the answers differed there for the first time.
        began: When the first thing was measured; None when nothing was.
        now: The present moment.
    """
    is_older = began is not None and now - began > DAY
    return is_older and now - first_seen <= DAY


def verdict_of(finding: Finding) -> tuple[str, str]:
    """Return the verdict on a place in one word, and the class of its chip."""
    place, found = finding.place, finding.verdict
    # a rule hides all of it: it decides nothing, whatever the pairs say
    if not place.diverged and place.ignored:
        return "ignored by a rule", ""
    if found.judgement is Judgement.REGRESSION and found.is_firm:
        return "firm regression", _TONES[Judgement.REGRESSION]
    return str(found.judgement), _TONES[found.judgement]


def cards(
    findings: Sequence[Finding], began: datetime | None, now: datetime
) -> list[dict[str, Any]]:
    """Return each place as it is shown.

    Args:
        findings: The places, in the order in which they are shown.
        began: When the first thing was measured.
        now: The present moment.
    """
    found = []
    for each in findings:
        place, (word, tone) = each.place, verdict_of(each)
        found.append({
            "field": place.field, "verdict": word, "tone": tone, "reason": each.verdict.reason,
            "diverged": place.diverged, "ignored": place.ignored,
            "kinds": Counter(place.counts).most_common(),
            "examples": [_example(one) for one in place.examples],
            "rules": each.rules, "suggestion": each.suggestion,
            "why": each.suggestion.partition("; ")[0], "yaml": each.as_yaml,
            "is_new": is_new(place.first_seen, began, now),
            "first_seen": place.first_seen, "last_seen": place.last_seen})
    return found


def _example(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example with all that is shown: one of another version may have less."""
    sides = {side: one.get(side) for side in ("baseline", "candidate")}
    return {"request": one.get("request", ""), "path": one.get("path", ""), **sides}


def counted(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    """Return how many places have which verdict, the most urgent first."""
    found: dict[str, int] = {}
    for each in findings:
        word = verdict_of(each)[0]
        found[word] = found.get(word, 0) + 1
    return list(found.items())
