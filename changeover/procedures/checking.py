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
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.rollout import StageRecord
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import Plan
from changeover.procedures.bucket_evidence import stage_sums
from changeover.procedures.external import ReadSources, Window, ask_now, judge_externals
from changeover.procedures.outlooks import OutlookOf, Thorough
from changeover.site.site import Site

SETTLE = timedelta(seconds=2)
"""Samples of the last seconds are still being completed by the observer; windows end before."""


def end_of_windows() -> datetime:
    """Return the end of windows: a whole second, so that those of a second hold one."""
    return (clock.now() - SETTLE).replace(microsecond=0)


def judge_now(
    site: Site, record: StageRecord, gate: str, read_sums: Callable[[], StageSums] | None = None,
    read_sources: ReadSources | None = None,
    *, outlook_of: OutlookOf | None = None,
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
    checks = site.plan.gates[gate]
    by_buckets = [check for check in checks if check.is_sequential]
    sums = None
    # read for all checks at once, and only when one needs them: hours of sums take seconds
    if by_buckets:
        sums = read_sums() if read_sums else stage_sums(site, record, end=end)
    windows = [_window(site, record, check, end) for check in checks]
    external = judge_externals(
        checks, windows, read_sources or partial(ask_now, site), since=record.entered_at)
    results = []
    for index, check in enumerate(checks):
        result = external.get(index) or _measured(site, check, windows[index], sums)
        if sums is not None and check.is_sequential:
            result = _with_shown(judge_by_buckets(check, sums), result)
            result = (outlook_of or Thorough(site.plan))(check, result, sums)
        elif check.is_by_minutes:
            result = _by_minutes(site, check, result)
        results.append(as_asked(check, result))
    judged = judge_gate(gate, results)
    if sums is None or not by_buckets:
        # stored with the verdict: whoever doubts it reaches it again from these
        return judged
    return replace(judged, sums=pack_stage(sums, by_buckets))


def evidence_of(plan: Plan, gate: str, result: GateResult) -> list[dict[str, Any]]:
    """Return what is stored of a gate's checks: what was asked, and what was found."""
    evidence = [each.as_evidence() for each in result.results]
    # not strict: guardrails are no checks of the plan, and have none beside them
    for each, check in zip(evidence, plan.gates.get(gate, []), strict=False):
        each["check"] = check.model_dump(mode="json", exclude_defaults=True)
    return evidence


def _window(site: Site, record: StageRecord, check: CheckSpec, end: datetime) -> Window:
    """Return start and end of a check's window, never reaching back before the stage began."""
    soak = site.plan.stage(record.key).soak
    # traffic of before is of other users
    return min(end, max(end - (check.over or soak), record.entered_at)), end


def _measured(
    site: Site, check: CheckSpec, window: Window, sums: StageSums | None
) -> CheckResult:
    """Judge one check over its window; the stage's sums say how exact a share is."""
    metrics, (start, end) = site.metrics, window
    own = metrics.window(
        check.of, start=start, end=end, place=check.path, segment=check.segment)
    baseline = None
    if check.is_to_baseline:
        baseline = metrics.window("baseline", start=start, end=end, segment=check.segment)
    result = judge(check, own, baseline, start=start, end=end)
    spread = None if sums is None else spread_in(check, sums)
    result = with_interval(check, result, own, spread)
    if check.measured.source is Source.COMPARISON:
        return result.with_coverage(metrics.coverage())
    return result


def _by_minutes(site: Site, check: CheckSpec, measured: CheckResult) -> CheckResult:
    """Judge the single minutes of the window that a check was measured over."""
    baseline, candidate = (
        site.metrics.minutes(system, check, start=measured.start, end=measured.end)
        for system in ("baseline", "candidate"))
    samples = min(measured.samples, measured.baseline_samples or 0)
    found = judge_by_minutes(check, Minutes(baseline, candidate), samples, measured.min_samples)
    return replace(
        measured, verdict=found.verdict, reason=found.reason, by_minutes=found.document)


def _with_shown(judged: CheckResult, measured: CheckResult) -> CheckResult:
    """Return a check's result; a quantile's value is that of the window, as everywhere else."""
    if METRICS[judged.metric].quantile is None:
        return judged
    return replace(judged, value=measured.value, baseline_value=measured.baseline_value)
