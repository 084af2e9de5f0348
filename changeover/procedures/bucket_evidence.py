"""Gathering what checks against the baseline are judged by: the sums of a stage's buckets."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from changeover.analysis.sequential.slices import Slice
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.rollout import StageRecord
from changeover.domain.stages import split_of
from changeover.plan.groups import shares
from changeover.plan.model import Plan, Stage
from changeover.site.site import Site
from changeover.store import routing, slices

MOST_OF_THE_SOAK = 10
"""A stage settles for the soak divided by this at most."""


def stage_sums(
    site: Site, record: StageRecord, *, end: datetime, past: Slice | None = None
) -> StageSums:
    """Return the sums of a stage and of the time before it.

    The split is the one in force: after the rollback of a part it is not the one in the plan, and
    what was counted under another is left out.

    Args:
        site: The migration on this machine.
        record: The stage as it stands.
        end: Until when the stage is looked at.
        past: The time before it, when it is known already; None reads it.
    """
    plan, sums, spec = site.plan, site.bucket_sums, site.plan.stage(record.key)
    weight = split_of(spec, routing.read(site.store, site.migration))
    start = min(end, record.entered_at + settles_for(plan, spec))
    return StageSums(
        weight=weight,
        parts=sums.of_stage(weight, start=start, end=end),
        past=past or sums.past(record.entered_at),
        start=start, end=end,
        bounds={bound.condition: bound
                for bound in slices.slow_bounds(site.store, site.migration)},
        checks=questions(plan, spec),
        hours=hours_of(spec),
    )


def questions(plan: Plan, spec: Stage) -> float:
    """Return how many share a stage's allowed false alarms: its checks and all triggers by
    evidence, each the same part. Checks of a group that fails by several count as fewer."""
    asked = sum(shares(plan.all_gates[gate]) for gate in spec.gates)
    return asked + sum(each.is_sequential for each in plan.triggers)


def hours_of(spec: Stage) -> int:
    """Return how many hours of the clock a stage may take: twice its soak, and one it touches."""
    return math.ceil(2 * spec.soak / timedelta(hours=1)) + 1


def settles_for(plan: Plan, spec: Stage) -> timedelta:
    """Return for how long after its start a stage is in no comparison."""
    return min(plan.patience.settle, spec.soak / MOST_OF_THE_SOAK)
