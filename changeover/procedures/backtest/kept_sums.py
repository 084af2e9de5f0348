"""The sums by bucket of a stage that was judged: as they were stored with it, or as they are kept.

Those of the verdict are exactly what was seen. Kept slices are summed up by the hour after two
hours, so that a stage's first and last hour may have a little more or less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from changeover.analysis.sequential.counters import counters_of
from changeover.analysis.sequential.keeping import unpack_stage
from changeover.analysis.sequential.parts import into_parts
from changeover.analysis.sequential.slices import Counter, Slice
from changeover.analysis.sequential.slow import condition_of, is_timed
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.clock import from_timestamp
from changeover.domain.rollout import GateVerdict
from changeover.domain.routing import BUCKETS
from changeover.domain.slices import SlowBound
from changeover.plan.conditions import CheckSpec
from changeover.plan.model import Plan
from changeover.plan.units import format_duration
from changeover.procedures.backtest.moment import Moment
from changeover.procedures.bucket_evidence import hours_of, settles_for
from changeover.store import slices

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sums:
    """A stage's sums and where they are from, or why there are none."""

    sums: StageSums | None
    basis: str


def sums_for(moment: Moment, gate: str, check: CheckSpec) -> Sums:
    """Return the sums by which a check would have been judged.

    Args:
        moment: The evaluation.
        gate: The gate that asks; its own stored sums come first.
        check: A check that is judged by buckets.
    """
    if moment.spec is None:
        return Sums(None, "the plan has no such stage")
    start = moment.record.entered_at + settles_for(moment.plan, moment.spec)
    hours = hours_of(moment.spec)
    # its own sums first, then those of the stage's other gates
    ordered = sorted(moment.gates, key=lambda each: each.gate != gate)
    for known in ordered:
        found = _stored(moment, known, check)
        if found is not None and abs(found.start - min(start, found.end)) < timedelta(seconds=1):
            asked = replace(found, checks=moment.checks, hours=hours)
            return Sums(asked, "sums stored with the verdict")
    return _kept(moment, check, min(start, moment.end), hours)


def _stored(moment: Moment, known: GateVerdict, check: CheckSpec) -> StageSums | None:
    """Return the sums that a gate was judged by, when they have what a check asks."""
    documents = [each for each in known.evidence if "sequential" in each and "check" in each]
    counted: set[str] = set()
    for document, bounds in _with_bounds(documents):
        asked = CheckSpec.model_validate(document["check"])
        if not is_timed(asked) or condition_of(asked) in bounds:
            counted.update(counters_of(asked, bounds))
    for document, bounds in _with_bounds(documents):
        is_known = not is_timed(check) or condition_of(check) in bounds
        if is_known and counted.issuperset(counters_of(check, bounds)):
            content = moment.sums(known)
            return None if content is None else unpack_stage(content, document)
    return None


def _with_bounds(
    documents: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], Mapping[str, SlowBound]]]:
    for each in documents:
        found = each["sequential"].get("slow")
        bound = SlowBound(**found) if found else None
        yield each, {} if bound is None else {bound.condition: bound}


def _kept(moment: Moment, check: CheckSpec, start: datetime, hours: int) -> Sums:
    """Return the sums from the slices that are kept; `hours` as of `StageSums`."""
    site, weight = moment.site, moment.weight
    # all users on one system: there is nothing to compare, and that is the answer
    if not 0 < weight < BUCKETS:
        end = moment.end
        none = Slice(0, int(start.timestamp()), int(start.timestamp()), {})
        return Sums(StageSums(weight, [], none, start, end, moment.checks), "the split")
    bounds = {}
    for each in slices.slow_bounds(site.store, site.migration):
        bounds[each.condition] = each
    entered = moment.record.entered_at
    found = list(site.bucket_sums.of_split(weight, start=entered, end=moment.end))
    # an hour's sum cannot be divided: what began while the stage settled is in it
    is_summed_up = any(
        from_timestamp(each.start) < start and from_timestamp(each.end) > start + HOUR / 60
        for each in found)
    if not is_summed_up:
        found = [each for each in found if from_timestamp(each.start) >= start]
    if not found:
        return Sums(None, "the stage's sums by bucket are no longer kept")
    if why_not := why_not_counted(site.plan, check, bounds, found):
        return Sums(None, why_not)
    parts = into_parts(found, int(moment.end.timestamp()))
    first = from_timestamp(parts[0].start)
    missing = first - start
    basis = "kept sums by bucket" + (" of whole hours" if is_summed_up else "")
    if missing > HOUR:
        basis += f", without the first {format_duration(_whole(missing))}, which are pruned"
    past = site.bucket_sums.past(entered)
    sums = StageSums(weight, parts, past, start, moment.end, moment.checks, bounds, hours)
    return Sums(sums, basis)


def why_not_counted(
    running: Plan, check: CheckSpec, bounds: Mapping[str, SlowBound], found: Iterable[Slice]
) -> str:
    """Return why the sums by bucket do not tell what a check asks; empty when they do.

    A counter that is not there was 0 all the time, if the plan that runs counts it.
    """
    if is_timed(check) and condition_of(check) not in bounds:
        known = ", ".join(sorted(bounds)) or "none"
        return (f"requests slower than this allows were never counted by bucket "
                f"({condition_of(check)}); counted are: {known}")
    counted = {str(each) for each in Counter} | _counted_by(running, bounds)
    for each in found:
        counted.update(each.sums)
    missing = [name for name in counters_of(check, bounds) if str(name) not in counted]
    return f"{missing[0]} was never counted by bucket" if missing else ""


def _counted_by(plan: Plan, bounds: Mapping[str, SlowBound]) -> set[str]:
    """Return the counters that a plan's own checks and triggers need."""
    asked = [each.as_check for each in plan.triggers if each.is_sequential]
    for gate in plan.all_gates.values():
        asked += gate
    found: set[str] = set()
    for check in asked:
        if not check.is_sequential:
            continue
        if not is_timed(check) or condition_of(check) in bounds:
            found.update(str(name) for name in counters_of(check, bounds))
    return found


def _whole(duration: timedelta) -> timedelta:
    return timedelta(seconds=int(duration.total_seconds()))
