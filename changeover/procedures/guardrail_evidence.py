"""What the guardrails need when a stage's gates are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from changeover.analysis import guardrails
from changeover.analysis.gate import GateResult
from changeover.analysis.guardrails import Evidence, Regression
from changeover.analysis.sequential.buckets import Split, add, arms
from changeover.analysis.sequential.slices import Counter
from changeover.analysis.summing import combined
from changeover.analysis.window import Window
from changeover.domain.rollout import StageRecord, StageStatus
from changeover.domain.routing import BUCKETS
from changeover.domain.stages import split_of
from changeover.plan.guardrails import GATE, Guardrail
from changeover.plan.model import PhaseKind, Stage
from changeover.plan.subsets import REST, subset_of_route
from changeover.procedures.counting import as_counted
from changeover.procedures.steps import CutoverRun
from changeover.site.site import Site
from changeover.store import cutovers, routing, verdicts
from changeover.store.subset_windows import windows_of

BEFORE = timedelta(hours=24)
"""The baseline is known from so long before the stage, where it serves nobody beside it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen elsewhere.

    Args:
        has_share: Whether the users are moved that the stage says.
        regressions: Firm regressions since the cutover began; None when nothing is compared.
    """

    has_share: bool
    regressions: list[Regression] | None


def judge_guardrails(
    run: CutoverRun, record: StageRecord, spec: Stage, seen: Seen, *, end: datetime
) -> GateResult:
    """Return the verdict of all guardrails over the stage, and what each found.

    Args:
        run: The cutover.
        record: The stage as it stands.
        spec: The stage in the plan.
        seen: What is seen elsewhere.
        end: End of the windows.
    """
    # what was counted before users came again has taken them back already
    start = min(as_counted(run.site, record).entered_at, end)
    began = min(record.entered_at, end)
    parts = compared_parts(run.site, spec)

    baseline, is_whole = _baseline(run.site, parts, (start, end))
    # of the day before: with everyone on the candidate the baseline serves nobody beside it
    before, was_whole = _baseline(run.site, parts, (began - BEFORE, began))
    wholes = {name for name, each in (("baseline", is_whole), ("before", was_whole)) if each}
    evidence = Evidence(
        own=_window_of(run.site, "candidate", parts, (start, end)),
        baseline=baseline,
        before=before,
        share=_share(spec) if seen.has_share else None,
        regressions=seen.regressions,
        groups=user_groups(run.site, start, end, spec) if seen.has_share else None,
        accepted=_accepted(run),
        start=start, end=end,
        parts=None if parts is None else tuple(parts),
        wholes=frozenset(wholes),
    )
    plan = run.site.plan.guardrails
    names = [name for name in Guardrail if plan.is_on(name)]
    results = guardrails.judge_guardrails(names, evidence)
    verdict, reason = guardrails.overall(results, plan.turned_off)
    return GateResult(GATE, verdict, reason, tuple(results))


def compared_parts(site: Site, spec: Stage) -> list[str] | None:
    """Return the subsets of requests that a stage's guardrails compare; None stands for all.

    Both systems must serve the same: a path that is at one system only has answers of its own. So
    it is what the stage moves: its routes, or what has no route; and routes that move with it.
    """
    plan = site.plan
    if not plan.routes:
        return None
    kept = routing.read(site.store, site.migration).kept_routes
    earlier = dict(plan.stages()[spec.index - 1].shares) if spec.index else {}
    moved = [name for name, buckets in spec.shares if buckets > earlier.get(name, 0)]
    named = {*spec.routes} if spec.routes else {
        *moved, *(each.name for each in plan.routes if each.move == "together")}
    found = [] if spec.routes else [REST]
    return [*found, *(subset_of_route(each.name) for each in plan.routes
                      if each.name in named and each.name not in kept)]


def _baseline(
    site: Site, parts: list[str] | None, span: tuple[datetime, datetime]
) -> tuple[Window, bool]:
    """Return the baseline's window, and whether it holds all requests instead of some parts."""
    if parts is not None:
        whole = site.metrics.window("baseline", start=span[0], end=span[1])
        if was_counted_otherwise(whole, parts):
            return whole, True
    return _window_of(site, "baseline", parts, span), False


def was_counted_otherwise(whole: Window, parts: Sequence[str]) -> bool:
    """Whether an earlier version measured a window, which knows nothing of these parts."""
    # with what has no route all parts are counted: a route without requests had none
    if not parts or not whole.requests or REST in whole.subsets:
        return False
    return REST in parts or not any(part in whole.subsets for part in parts)


def _window_of(
    site: Site, system: str, parts: list[str] | None, span: tuple[datetime, datetime]
) -> Window:
    """Return a system's window with the requests of some parts only."""
    whole = site.metrics.window(system, start=span[0], end=span[1])
    if parts is None:
        return whole
    found = combined(list(windows_of(
        site.store, site.migration, system, parts, start=span[0], end=span[1]).values()))
    # health is asked of the system, not of a part
    return replace(found, probes=whole.probes, probes_up=whole.probes_up)


def _share(spec: Stage) -> float | None:
    is_split = spec.phase in (PhaseKind.BETA, PhaseKind.GRADUAL) and spec.percent > 0
    return float(spec.percent) / 100 if is_split else None


def user_groups(
    site: Site, start: datetime, end: datetime, spec: Stage | None = None
) -> tuple[int, int] | None:
    """Return how many groups of users came to the candidate, and to both systems.

    Args:
        site: The migration.
        start: When the stage began.
        end: Slices that began later are left out.
        spec: The stage whose users are meant; None: everyone without a route of its own.

    Returns:
        None where nothing is split.
    """
    state = routing.read(site.store, site.migration)
    weight = state.weight if spec is None else split_of(spec, state)
    if not 0 < weight < BUCKETS:
        return None
    hours = site.bucket_sums.of_stage(weight, start=min(start, end), end=end)
    total = add(each.counts(Counter.ERRORS) for each in hours)
    mine, theirs = arms(total, Split(weight).is_candidate)
    return mine.buckets, mine.buckets + theirs.buckets


def _accepted(run: CutoverRun) -> frozenset[str]:
    """Return the places that people saw at an earlier gate of this cutover, and promoted."""
    promoted = set()
    for each in cutovers.stages(run.site.store, run.id):
        if each.status is StageStatus.PROMOTED:
            promoted.add(each.key)
    places: set[str] = set()
    for known in verdicts.all_of(run.site.store, run.id):
        # people had these places before them and promoted: they are no news
        if known.gate == GATE and known.stage in promoted:
            for check in known.evidence:
                places.update(check.get("places", ()))
    return frozenset(places)
