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


_Document = Mapping[str, Any]
_Key = tuple[str, float, int]
"""A check, its stage's begin, its share."""


class OutlookOf(Protocol):
    """Adds to an undecided check how much longer it needs."""

    def __call__(
        self, check: CheckSpec, result: CheckResult, sums: StageSums
    ) -> CheckResult:
        """Return the result with its outlook."""
        ...


@dataclass(frozen=True, slots=True)
class Thorough:
    """Looks ahead each time, and at what larger shares would bring: for the soak's end.

    Args:
        plan: The plan, whose later stages name the larger shares.
    """

    plan: Plan

    def __call__(
        self, check: CheckSpec, result: CheckResult, sums: StageSums
    ) -> CheckResult:
        """Return the result with its outlook."""
        if not _is_open(result, sums):
            return result
        view = view_of(check, sums)
        if view is None:
            return result
        larger = larger_shares(self.plan, sums.weight)
        found = look_ahead(view, larger)
        return _with_outlook(result, found.document() if found else None)


class Remembered:
    """Looks ahead now and then: for those who look every few seconds.

    Args:
        plan: The plan, whose later stages name the larger shares.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[_Key, tuple[float, _Document | None]] = {}

    def __call__(
        self, check: CheckSpec, result: CheckResult, sums: StageSums
    ) -> CheckResult:
        """Return the result with its outlook."""
        if not _is_open(result, sums):
            return result
        seen = _seen(sums)
        stage = sums.start.timestamp(), sums.weight
        key = check.model_dump_json(), *stage
        never = float("-inf"), None
        made_at, document = self._known.get(key, never)
        # rarely when it has soaked for days: a day more changes little
        pause = max(AGAIN_AFTER, AGAIN_AFTER_SHARE * made_at)
        if seen - made_at >= pause:
            document = self._look_ahead(check, sums)
            # what was known of an earlier stage is of no use any more
            for each in list(self._known):
                if each[1:] != stage:
                    del self._known[each]
            self._known[key] = seen, document
        return _with_outlook(result, document)

    def _look_ahead(self, check: CheckSpec, sums: StageSums) -> _Document | None:
        view = view_of(check, sums)
        if view is None:
            return None
        found = look_ahead(view)
        if found is not None and found.seconds is None:
            # only now it matters what a larger share would bring
            larger = larger_shares(self._plan, sums.weight)
            found = look_ahead(view, larger)
        return found.document() if found else None


def look_ahead(view: View, larger: Sequence[int] = ()) -> Outlook | None:
    """Return how much longer a check needs, of a share or of a mean."""
    # only a mean has values: a share counts
    if view.question.values is None:
        return look_ahead_share(view, larger)
    return look_ahead_mean(view, larger)


def larger_shares(plan: Plan, weight: int) -> list[int]:
    """Return the larger shares to try, in buckets: those of later stages, else half of the users.

    Args:
        plan: The plan.
        weight: The present share, in buckets.
    """
    known = set()
    for stage in plan.stages():
        # with everyone on the candidate there is nobody to compare with
        if weight < stage.split < BUCKETS:
            known.add(stage.split)
    if not known and weight < HALF:
        known.add(HALF)
    return sorted(known)[:MOST_SHARES]


def _is_open(result: CheckResult, sums: StageSums) -> bool:
    """Whether time may still decide a check."""
    # without evidence there is nothing to carry on from
    is_judged = "log_worse" in (result.sequential or {})
    is_undecided = result.verdict is Verdict.INCONCLUSIVE
    is_long = _seen(sums) >= LEAST_SECONDS
    return is_undecided and is_judged and is_long


def _seen(sums: StageSums) -> float:
    """Return how long the stage has been counted, in seconds."""
    return (sums.end - sums.start).total_seconds()


def _with_outlook(result: CheckResult, document: _Document | None) -> CheckResult:
    if not document:
        return result
    return replace(result, outlook=document)
