"""One check of another plan at the moment of a stored verdict.

The question is put to the very functions that judge gates. Where the verdict's own numbers answer
it, they are taken; else the samples and sums that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from changeover.analysis import external
from changeover.analysis.backtest.pairs import Stored, is_same
from changeover.analysis.check import (
    CheckResult,
    as_asked,
    describe_bound,
    judge,
    judge_measured,
)
from changeover.analysis.mann_whitney.minutes import Minutes, judge_by_minutes
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.slow import is_timed
from changeover.analysis.window import Measured
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec, OnFail
from changeover.plan.metrics import Source
from changeover.procedures.backtest.kept_sums import sums_for
from changeover.procedures.backtest.moment import Moment
from changeover.procedures.recompute import recompute
from changeover.site.site import Site
from changeover.store import series

FROM_VERDICT = "numbers stored with the verdict"
FROM_SAMPLES = "kept samples"
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Again:
    """A check's result with another plan; None where nobody can tell, `basis` says why."""

    result: CheckResult | None
    basis: str


def judge_again(
    moment: Moment, gate: str, check: CheckSpec, stored: Stored | None
) -> Again:
    """Return what a check says of a stage at the moment when it was judged.

    Args:
        moment: The evaluation.
        gate: Name of the gate that asks.
        check: The check.
        stored: The stored check that it stands for; None of a new one.
    """
    if stored is not None and is_same(stored, check):
        found = _unchanged(moment, gate, stored)
        if found is not None:
            return found
    if check.is_sequential:
        again = _by_buckets(moment, gate, check)
    elif check.is_external:
        again = _external(check, stored)
    elif check.is_by_minutes:
        again = _by_minutes(moment, check, stored)
    else:
        again = _by_threshold(moment, check, stored)
    if again.result is None:
        return again
    return replace(again, result=as_asked(check, again.result))


def _unchanged(moment: Moment, gate: str, stored: Stored) -> Again | None:
    """Return the stored result as it comes out again; None when another gate or share asked."""
    known = moment.gate(gate)
    if known is None or stored not in known.evidence:
        return None
    # another number of checks share the allowed false alarms: the same sums say something else
    if stored.get("sequential", {}).get("checks", moment.checks) != moment.checks:
        return None
    (found,) = recompute(replace(known, evidence=[dict(stored)]), moment.sums(known))
    basis = FROM_VERDICT
    if found.again is None:  # what was stored stands, where it cannot be reached again
        basis = f"the stored verdict, since {found.problem}"
    elif found.problem:
        basis = f"{FROM_VERDICT}; {found.problem}"
    return Again(result_of(found.again or stored), basis)


def result_of(evidence: Stored) -> CheckResult:
    """Return the result whose evidence this is."""
    names = [each.name for each in fields(CheckResult) if each.name in evidence]
    known: dict[str, Any] = {name: evidence[name] for name in names}
    return CheckResult(**known | {
        "verdict": Verdict(evidence["verdict"]),
        "start": datetime.fromisoformat(evidence["window_start"]),
        "end": datetime.fromisoformat(evidence["window_end"]),
        "places": tuple(evidence.get("places", ())),
        "parts": tuple(evidence.get("parts", ())),
        "on_fail": OnFail(evidence.get("on_fail", OnFail.ROLLBACK)),
    })


def _by_buckets(moment: Moment, gate: str, check: CheckSpec) -> Again:
    found = sums_for(moment, gate, check)
    if found.sums is None:
        return Again(None, found.basis)
    result = judge_by_buckets(check, found.sums)
    if is_timed(check):
        shown = _shown_quantiles(moment, check)
        result = replace(result, value=shown[0], baseline_value=shown[1])
    return Again(result, found.basis)


def _shown_quantiles(moment: Moment, check: CheckSpec) -> tuple[float | None, float | None]:
    """Return the quantiles that stand beside a comparison of slow requests, where known."""
    for known in moment.gates:
        for each in known.evidence:
            if each.get("metric") == check.measured.name and "sequential" in each:
                return each["value"], each["baseline_value"]
    return None, None


def _external(check: CheckSpec, stored: Stored | None) -> Again:
    """Judge by what a source said at that time; it is kept with the verdict and nowhere else."""
    known = (stored or {}).get("external")
    if known is None or (check.is_to_baseline and known["baseline"] is None):
        return Again(None, "what sources said is kept with verdicts only, and this was not asked")
    return Again(external.judge_again(check, stored or {}), FROM_VERDICT)


def _by_minutes(moment: Moment, check: CheckSpec, stored: Stored | None) -> Again:
    measured = _by_threshold(moment, check, stored)
    if measured.result is None:
        return measured
    result, basis = measured.result, measured.basis
    document = (stored or {}).get("by_minutes")
    if document is not None and basis == FROM_VERDICT:
        minutes = Minutes(document["baseline"], document["candidate"])
    else:
        baseline, candidate = (
            moment.site.metrics.minutes(
                system, check, start=result.start, end=result.end)
            for system in ("baseline", "candidate"))
        minutes, basis = Minutes(baseline, candidate), FROM_SAMPLES
    fewer = min(result.samples, result.baseline_samples or 0)
    found = judge_by_minutes(check, minutes, fewer, result.min_samples)
    return Again(
        replace(result, verdict=found.verdict, reason=found.reason, by_minutes=found.document),
        basis)


def _by_threshold(moment: Moment, check: CheckSpec, stored: Stored | None) -> Again:
    """Judge by the two measured values: the verdict's own, where its window is the same."""
    start, end = moment.start(check, moment.end), moment.end
    if stored is not None and _has_values(stored, check):
        ends = [datetime.fromisoformat(stored[f"window_{each}"]) for each in ("start", "end")]
        # the values are of this very window
        if abs(ends[0] - moment.start(check, ends[1])) < SECOND:
            return Again(_from_values(check, stored, ends), FROM_VERDICT)
    why_not = _why_not_kept(moment, start)
    if why_not:
        return Again(None, why_not)
    return Again(_from_samples(moment.site, check, start, end), FROM_SAMPLES)


def _has_values(stored: Stored, check: CheckSpec) -> bool:
    """Whether a stored check has the measured values that another one of its number needs."""
    known = CheckSpec.model_validate(stored["check"])
    if known.is_sequential:  # its values are those of the buckets
        return False
    return not check.is_to_baseline or stored.get("baseline_samples") is not None


def _from_values(
    check: CheckSpec, stored: Stored, ends: Sequence[datetime]
) -> CheckResult:
    own, other = Measured(stored["value"], stored["samples"]), None
    if check.is_to_baseline:
        other = Measured(stored["baseline_value"], stored["baseline_samples"])
    start, end = ends
    result = judge_measured(check, own, other, start=start, end=end,
                            seconds=max(0.0, (end - start).total_seconds()))
    coverage = stored.get("coverage")
    return result.with_coverage(coverage) if coverage is not None else result


def _from_samples(
    site: Site, check: CheckSpec, start: datetime, end: datetime
) -> CheckResult:
    window: dict[str, Any] = {"start": start, "end": end, "segment": check.part}
    own = site.metrics.window(check.of, place=check.path, **window)
    baseline = site.metrics.window("baseline", **window) if check.is_to_baseline else None
    return judge(check, own, baseline, start=start, end=end)


def _why_not_kept(moment: Moment, start: datetime) -> str:
    """Return why a window cannot be read any more; empty when it can."""
    first = series.oldest(moment.site.store, moment.site.migration)
    if first is None or first > start + timedelta(minutes=1):
        kept = "none are kept" if first is None else f"they are kept since {first:%Y-%m-%d %H:%M}"
        return f"samples of the window from {start:%Y-%m-%d %H:%M} on are pruned: {kept}"
    return ""


def condition(check: CheckSpec) -> str:
    """Return a check for people: metric, system, bound."""
    of = "" if check.measured.source is Source.GATEWAY else f" of {check.of}"
    where = ""
    for name, value in (("at", check.path), ("in", check.part)):
        if value:
            where += f" {name} {value}"
    return f"{check.measured.name}{of}{where} {describe_bound(check)}"
