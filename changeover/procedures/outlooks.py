"""How much longer undecided checks need: told beside their verdicts, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from changeover.analysis.check import CheckResult
from changeover.analysis.sequential.judging import view_of
from changeover.analysis.sequential.mean_outlook import look_ahead_mean
from changeover.analysis.sequential.outlook import Outlook, View
from changeover.analysis.sequential.outlook import look_ahead as look_ahead_share
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.routing import BUCKETS
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from changeover.plan.model import Plan

HALF = BUCKETS // 2
MOST_SHARES = 2
"""Larger shares that are tried: each takes as long as the outlook itself."""
LEAST_SECONDS = 5.0
"""What was seen of a shorter time says nothing of the time to come."""
AGAIN_AFTER = 60.0
AGAIN_AFTER_SHARE = 0.2
"""An outlook is made anew when the stage is older by this, and by this share of its age."""


class OutlookOf(Protocol):
    """Adds to an undecided check how much longer it needs."""

    def __call__(self, check: CheckSpec, result: CheckResult, sums: StageSums) -> CheckResult:
        """Return the result with its outlook."""
        ...


@dataclass(frozen=True, slots=True)
class Thorough:
    """Looks ahead each time, and at what larger shares would bring: for the soak's end.

    Args:
        plan: The plan, whose later stages name the larger shares.
    """

    plan: Plan

    def __call__(self, check: CheckSpec, result: CheckResult, sums: StageSums) -> CheckResult:
        """Return the result with its outlook."""
        view = view_of(check, sums) if _is_open(result, sums) else None
        found = view and look_ahead(view, larger_shares(self.plan, sums.weight))
        return _with_outlook(result, found.document() if found else None)


class Remembered:
    """Looks ahead now and then: for those who look every few seconds.

    Args:
        plan: The plan, whose later stages name the larger shares.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[tuple[str, float, int], tuple[float, Mapping[str, Any] | None]] = {}

    def __call__(self, check: CheckSpec, result: CheckResult, sums: StageSums) -> CheckResult:
        """Return the result with its outlook."""
        if not _is_open(result, sums):
            return result
        seen = _seen(sums)
        key = check.model_dump_json(), sums.start.timestamp(), sums.weight
        made_at, document = self._known.get(key, (float("-inf"), None))
        # rarely when it has soaked for days: a day more changes little
        if seen - made_at >= max(AGAIN_AFTER, AGAIN_AFTER_SHARE * made_at):
            document = self._look_ahead(check, sums)
            # what was known of an earlier stage is of no use any more
            self._known = {each: told for each, told in self._known.items() if each[1:] == key[1:]}
            self._known[key] = seen, document
        return _with_outlook(result, document)

    def _look_ahead(self, check: CheckSpec, sums: StageSums) -> Mapping[str, Any] | None:
        view = view_of(check, sums)
        found = view and look_ahead(view)
        if view is not None and found is not None and found.seconds is None:
            # only now it matters what a larger share would bring
            found = look_ahead(view, larger_shares(self._plan, sums.weight))
        return found.document() if found else None


def look_ahead(view: View, larger: Sequence[int] = ()) -> Outlook | None:
    """Return how much longer a check needs, of a share or of a mean."""
    look = look_ahead_share if view.question.values is None else look_ahead_mean
    return look(view, larger)


def larger_shares(plan: Plan, weight: int) -> list[int]:
    """Return the larger shares to try, in buckets: those of later stages, else half of the users.

    Args:
        plan: The plan.
        weight: The present share, in buckets.
    """
    later = {stage.weight for stage in plan.stages() if weight < stage.weight < BUCKETS}
    known = later or ({HALF} if weight < HALF else set())
    return sorted(known)[:MOST_SHARES]


def _is_open(result: CheckResult, sums: StageSums) -> bool:
    """Whether time may still decide a check."""
    is_judged = "log_worse" in (result.sequential or {})
    return result.verdict is Verdict.INCONCLUSIVE and is_judged and _seen(sums) >= LEAST_SECONDS


def _seen(sums: StageSums) -> float:
    """Return how long the stage has been counted, in seconds."""
    return (sums.end - sums.start).total_seconds()


def _with_outlook(result: CheckResult, document: Mapping[str, Any] | None) -> CheckResult:
    return replace(result, outlook=document) if document else result
