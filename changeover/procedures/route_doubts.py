"""Whether a candidate that fails a route's gate fails other requests, too: then all go back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from changeover.analysis.check import judge
from changeover.analysis.window import Window
from changeover.domain.rollout import GateVerdict
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from changeover.plan.model import Plan
from changeover.plan.subsets import REST, subset_of_route
from changeover.site.site import Site
from changeover.store.subset_windows import windows_of


def failing_elsewhere(
    site: Site, routes: Sequence[str], judged: Iterable[GateVerdict], plan: Plan | None = None
) -> tuple[str, ...]:
    """Return the candidate's other requests that fail what the routes failed, in words.

    Each failed check with a bound of its own is asked about the requests of each other route, and
    of none, in the same window. Comparisons with the baseline are not: whether another part's ratio
    is bad takes evidence of its own, which its own stage's gate has.

    Args:
        site: The migration.
        routes: The routes that would go back alone.
        judged: The stage's verdicts, as they are stored.
        plan: The plan by which they were judged; None: the one that runs.
    """
    plan = plan or site.plan
    others = {subset_of_route(each.name): f"route {each.name}"
              for each in plan.routes if each.name not in routes}
    others[REST] = "everything without a route"
    @cache
    def windows(of: str, start: datetime, end: datetime) -> dict[str, Window]:
        return windows_of(site.store, site.migration, of, [*others], start=start, end=end)

    found: dict[str, None] = {}
    for check, evidence in _failed(plan, judged):
        start, end = (datetime.fromisoformat(evidence[name])
                      for name in ("window_start", "window_end"))
        for subset, own in windows(check.of, start, end).items():
            if judge(check, own, None, start=start, end=end).verdict is Verdict.FAIL:
                found[others[subset]] = None
    return tuple(found)


def _failed(
    plan: Plan, judged: Iterable[GateVerdict]
) -> Iterator[tuple[CheckSpec, dict[str, Any]]]:
    """Yield the failed checks of a route that have a fixed bound, with what was found."""
    for known in judged:
        for check, evidence in zip(plan.all_gates[known.gate], known.evidence, strict=False):
            is_fixed = check.route is not None and not check.is_to_baseline
            if is_fixed and evidence.get("verdict") == Verdict.FAIL:
                yield check, evidence
