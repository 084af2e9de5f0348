"""Judging the checks of a gate by what is measured now. Decides nothing and stores nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from changeover import clock
from changeover.analysis.check import CheckResult, as_asked, judge
from changeover.analysis.gate import GateResult, judge_gate
from changeover.analysis.intervals import with_interval
from changeover.analysis.mann_whitney.minutes import Minutes, judge_by_minutes
from changeover.analysis.sequential.judging import judge_by_buckets, spread_in
from changeover.analysis.sequential.keeping import pack_stage
from changeover.analysis.sequential.peak import peak_before
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.rollout import StageRecord
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import Plan
from changeover.procedures.bucket_evidence import stage_sums
from changeover.procedures.external import ReadSources, Window, ask_now, judge_externals
from changeover.procedures.outlooks import OutlookOf, Thorough
from changeover.site.site import Site
from changeover.store import standings

SETTLE = timedelta(seconds=2)
"""Samples of the last seconds are still being completed by the observer; windows end before."""
ReadSums = Callable[[], StageSums]


def end_of_windows() -> datetime:
    """Return the end of windows: a whole second, so that those of a second hold one."""
    return (clock.now() - SETTLE).replace(microsecond=0)


def judge_now(
    site: Site, record: StageRecord, gate: str, read_sums: ReadSums | None = None, *,
    read_sources: ReadSources | None = None, outlook_of: OutlookOf | None = None,
) -> GateResult:
    """Return what a gate says of a stage now.

    Args:
        site: The migration on this machine.
        record: The stage as it stands.
        gate: Name of the gate.
        read_sums: Returns the stage's sums by bucket, for all of its gates; called when a check
            needs them. None reads them for this gate.
        read_sources: Returns what external sources say. None asks them now.
        outlook_of: How much longer undecided checks need; None: as `Thorough` says.
    """
    end = end_of_windows()
    checks = site.plan.all_gates[gate]
    by_buckets = [check for check in checks if check.is_sequential]
    sums = None
    # read for all checks at once, and only when one needs them: hours of sums take seconds
    if by_buckets:
        read_sums = read_sums or partial(stage_sums, site, record, end=end)
        sums = read_sums()
    known = _looked_before(site, record, gate)
    windows = [_window(site, record, check, end) for check in checks]
    read = read_sources or partial(ask_now, site)
    external = judge_externals(checks, windows, read, since=record.entered_at)
    look_ahead = outlook_of or Thorough(site.plan)
    results = []
    for index, check in enumerate(checks):
        result = external.get(index) or _measured(site, check, windows[index], sums)
        if sums is not None and check.is_sequential:
            judged = judge_by_buckets(check, sums, peak_before(check, sums, known))
            result = look_ahead(check, _with_shown(judged, result), sums)
        elif check.is_by_minutes:
            result = _by_minutes(site, check, result)
        results.append(as_asked(check, result))
    found = judge_gate(gate, results)
    # stored with the verdict: whoever doubts it reaches it again from these
    return found if sums is None else replace(found, sums=pack_stage(sums, by_buckets))


def _looked_before(
    site: Site, record: StageRecord, gate: str
) -> list[dict[str, Any]]:
    """Return what the newest look found of a gate's checks; it knows the highest before it."""
    for each in standings.of_stage(site.store, record.cutover_id, record.key):
        if each.gate == gate:
            return each.evidence
    return []


def evidence_of(plan: Plan, gate: str, result: GateResult) -> list[dict[str, Any]]:
    """Return what is stored of a gate's checks: what was asked, and what was found."""
    evidence = [each.as_evidence() for each in result.results]
    checks = plan.all_gates.get(gate, [])
    # not strict: guardrails are no checks of the plan, and have none beside them
    for each, check in zip(evidence, checks, strict=False):
        asked = check.model_dump(mode="json", exclude_defaults=True)
        each["check"] = asked
    return evidence


def _window(site: Site, record: StageRecord, check: CheckSpec, end: datetime) -> Window:
    """Return start and end of a check's window, never reaching back before the stage began."""
    stage = site.plan.stage(record.key)
    length = check.over or stage.soak
    # traffic of before is of other users
    start = max(end - length, record.entered_at)
    return min(end, start), end


def _measured(
    site: Site, check: CheckSpec, window: Window, sums: StageSums | None
) -> CheckResult:
    """Judge one check over its window; the stage's sums say how exact a share is."""
    metrics, (start, end) = site.metrics, window
    read = partial(metrics.window, start=start, end=end, segment=check.part)
    own = read(check.of, place=check.path)
    baseline = None
    if check.is_to_baseline:
        baseline = read("baseline")
    result = judge(check, own, baseline, start=start, end=end)
    spread = None
    # users make many requests each: a share is less exact than their number says
    if sums is not None:
        spread = spread_in(check, sums)
    result = with_interval(check, result, own, spread)
    if check.measured.source is Source.COMPARISON:
        return result.with_coverage(metrics.coverage())
    return result


def _by_minutes(site: Site, check: CheckSpec, measured: CheckResult) -> CheckResult:
    """Judge the single minutes of the window that a check was measured over."""
    start, end = measured.start, measured.end
    read = partial(site.metrics.minutes, check=check, start=start, end=end)
    minutes = Minutes(read("baseline"), read("candidate"))
    # of the system that has fewer: the comparison is no better than that
    samples = min(measured.samples, measured.baseline_samples or 0)
    found = judge_by_minutes(check, minutes, samples, measured.min_samples)
    return replace(
        measured, verdict=found.verdict, reason=found.reason,
        by_minutes=found.document)


def _with_shown(judged: CheckResult, measured: CheckResult) -> CheckResult:
    """Return a check's result; a quantile's value is that of the window, as everywhere else."""
    if METRICS[judged.metric].quantile is None:
        return judged
    value, known = measured.value, measured.baseline_value
    return replace(judged, value=value, baseline_value=known)
