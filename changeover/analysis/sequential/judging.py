"""Judging a check against the baseline by the sums of buckets: pass, fail, or not known yet. Pure.

Failing and passing are two questions, each with evidence of its own. Between them is
"inconclusive", which says what is missing. Nothing is decided by an absence: zero errors are no
pass.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from changeover.analysis.check import CheckResult, describe_bound
from changeover.analysis.sequential.buckets import Counts, Split, arms
from changeover.analysis.sequential.comparable import left_out, why_incomparable
from changeover.analysis.sequential.counters import COUNTED, counters_of
from changeover.analysis.sequential.evidence import Evidence, Question, log_worse, weigh
from changeover.analysis.sequential.expected import expect
from changeover.analysis.sequential.interval import ratio_of, spread_of
from changeover.analysis.sequential.mean_sums import values_of
from changeover.analysis.sequential.mean_words import mean_interval, mean_numbers, mean_values
from changeover.analysis.sequential.outlook import View
from changeover.analysis.sequential.peak import Peak
from changeover.analysis.sequential.slices import OF_OUTCOMES
from changeover.analysis.sequential.slow import (
    condition_of,
    is_timed,
    needed_requests,
    slow_times,
)
from changeover.analysis.sequential.stage_sums import METHOD, StageSums
from changeover.analysis.sequential.starts import log_bar, promising_starts
from changeover.domain.routing import BUCKETS
from changeover.domain.slices import SlowBound
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import Metric, Source, format_value
from changeover.plan.subsets import in_words

LOG_PASS = math.log(20)
"""Evidence that lets pass: a candidate at the margin gets so far once in 20."""
LEAST_SHARE = 1e-5
"""A usual share below it is not known well enough to divide by."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found: the evidence of the whole stage, and the start that speaks loudest.

    `before` is an earlier look at the same stage, where that one stood higher.
    """

    evidence: Evidence
    margin: float
    start: int
    log_worse: float
    log_bar: float
    log_pass: float
    before: Peak | None = None

    @property
    def is_worse(self) -> bool:
        # a fail stays a fail: what was shown once was shown
        was_worse = self.before is not None and self.before.is_shown
        return self.log_worse >= self.log_bar or was_worse

    def beside(self, before: Peak | None) -> _Found:
        """Return it with an earlier look, if that stood higher."""
        excess = self.log_worse - self.log_bar
        is_higher = before is not None and before.excess > excess
        return replace(self, before=before) if is_higher else self

    @property
    def is_better(self) -> bool:
        better = self.evidence.log_better
        return better is not None and better >= self.log_pass


def judge_by_buckets(
    check: CheckSpec, sums: StageSums, before: Peak | None = None
) -> CheckResult:
    """Return the verdict of a check whose metric is counted by bucket.

    Args:
        check: A check with a bound that is relative to the baseline.
        sums: What was counted.
        before: The highest of the earlier looks at this stage, where there were any.
    """
    found = _judged(check, sums, before)
    if before is None or "log_worse" in (found.sequential or {}):
        return found
    # nobody can be compared at present: what was seen before is kept for later looks
    known = {**(found.sequential or {}), "before": before.document()}
    return replace(found, sequential=known)


def _judged(check: CheckSpec, sums: StageSums, before: Peak | None) -> CheckResult:
    if not 0 < sums.weight < BUCKETS:
        return _unknown(check, sums, "all users are on one system, so that there is nobody to "
                                     "compare them with")
    bound = sums.bounds.get(condition_of(check))
    if is_timed(check) and bound is None:
        return _unknown(
            check, sums, f"fewer than {needed_requests(check)} requests of the baseline were known "
            "before users were moved, so that nobody can say what is slow")
    split = Split(sums.weight)
    why_not = why_incomparable(check, sums, split)
    if why_not is not None:
        return _unknown(check, sums, why_not)
    found = _weigh(check, sums, split).beside(before)
    verdict, reason = _say(check, found, bound)
    evidence = found.evidence
    values = mean_values(check, evidence)
    return CheckResult(
        metric=check.measured.name, of=check.of, bound=describe_bound(check), verdict=verdict,
        reason=reason + left_out(check, sums), value=values[0], samples=evidence.candidate.requests,
        min_samples=check.min_samples, start=sums.start, end=sums.end,
        baseline_value=values[1], baseline_samples=evidence.baseline.requests,
        sequential=_document(check, sums, found, bound),
        interval=_interval(check, sums, split),
    )


def _interval(check: CheckSpec, sums: StageSums, split: Split) -> dict[str, Any] | None:
    """Return how many times the baseline's rate the candidate's is, or how much above it."""
    events, of = counters_of(check, sums.bounds)
    total = sums.total(events, of)
    values = values_of(check, sums)
    if values is not None:
        return mean_interval(values, total, sums.past.counts(events, of), split)
    ratio = ratio_of(total, sums.past.counts(events, of), split.is_candidate)
    is_difference = check.bound_name == "difference_to_baseline"
    if ratio is None:
        return None
    if not is_difference or is_timed(check):
        return ratio.document()
    usual = arms(total, split.is_candidate)[1].share or 0.0
    numbers = {name: (number - 1) * usual for name, number in asdict(ratio).items()}
    return {"of": "difference", **numbers}


def log_pass(check: CheckSpec) -> float:
    """Return the logarithm of the evidence that lets a check pass.

    Where not all checks of a group must pass, each of those that should not could let it through:
    the chance of it is shared by as many of them as may be left out, and one more.
    """
    return LOG_PASS + (math.log(check.group.fails_with) if check.group else 0.0)


def spread_in(check: CheckSpec, sums: StageSums) -> float | None:
    """Return how many times the variance of users' groups is that of independent requests.

    Args:
        check: A check with an absolute bound.
        sums: What was counted.

    Returns:
        At least 1; None where its metric is not counted by group.
    """
    is_counted = check.metric in COUNTED and check.subset is None
    if not is_counted or not 0 < sums.weight < BUCKETS:
        return None
    is_mine = Split(sums.weight).is_candidate
    chosen = is_mine if check.of == "candidate" else ~is_mine
    return spread_of(sums.total(*COUNTED[check.metric]), chosen)


def view_of(check: CheckSpec, sums: StageSums) -> View | None:
    """Return an undecided check as the outlook needs it; None where it cannot be judged at all.

    Args:
        check: A check with a bound that is relative to the baseline.
        sums: What was counted.
    """
    bound = sums.bounds.get(condition_of(check))
    is_slow = is_timed(check)
    if not 0 < sums.weight < BUCKETS or (is_slow and bound is None):
        return None
    events, of = counters_of(check, sums.bounds)
    past, total = sums.past.counts(events, of), sums.total(events, of)
    values = values_of(check, sums)
    margin = 1.0 if is_slow or values is not None else _margin(check, total, past)
    question = Question(total, past, Split(sums.weight), margin, is_slow, values)
    seconds = (sums.end - sums.start).total_seconds()
    alike = 1.0
    if bound is not None:
        times = bound.candidate_us / bound.baseline_us
        alike = slow_times(check.measured.quantile or 0.0, times, 1.0)
    bars = log_bar(sums.alpha), log_pass(check)
    return View(question, seconds, *bars, check.min_samples, alike)


def _weigh(check: CheckSpec, sums: StageSums, split: Split) -> _Found:
    events, of = counters_of(check, sums.bounds)
    is_slow = is_timed(check)
    past = sums.past.counts(events, of)
    total = sums.total(events, of)
    values = values_of(check, sums)
    margin = 1.0 if is_slow or values is not None else _margin(check, total, past)
    question = Question(total, past, split, margin, is_slow, values)
    usual = None if values is not None else sums.memo.usual(sums.past, events, of)
    whole = weigh(question, usual)
    found = _Found(
        whole, margin, 0, whole.log_worse, log_bar(sums.alpha), log_pass(check))
    for each in promising_starts(question, sums, (events, of)):
        since = log_worse(each.question, each.usual)
        if since - each.log_bar > found.log_worse - found.log_bar:
            found = replace(found, start=each.after, log_worse=since, log_bar=each.log_bar)
    return found


def _margin(check: CheckSpec, total: Counts, past: Counts) -> float:
    """Return how many times the baseline's rate the candidate's may be."""
    bound = check.bound_values[0]
    if check.bound_name == "ratio_to_baseline":
        return max(1.0, bound)
    usual = max(LEAST_SHARE, expect(total, past).share)
    return 1 + max(0.0, bound) / usual


def _say(check: CheckSpec, found: _Found, bound: SlowBound | None) -> tuple[Verdict, str]:
    """Return the verdict with two sentences for a person."""
    metric, evidence = check.measured, found.evidence
    numbers = mean_numbers(check, evidence) or _numbers(
        metric, evidence, bound, in_words(check.subset))
    more = _excess(check, metric)
    if found.is_worse:
        log_worse, shown = found.log_worse, "is shown"
        if found.before is not None:
            log_worse, shown = found.before.log_worse, f"was shown at {found.before.words}"
        once = math.exp(min(log_worse, 700.0))
        return Verdict.FAIL, (
            f"{numbers}: {more} {shown}. Looked at all the time, a healthy stage shows this at "
            f"most once in {_rounded(once)}")
    if evidence.candidate.requests < check.min_samples:
        return Verdict.INCONCLUSIVE, (
            f"{numbers}: {evidence.candidate.requests} of at least {check.min_samples} samples")
    if found.is_better:
        return Verdict.PASS, f"{numbers}: {more} is excluded (95 %)"
    return Verdict.INCONCLUSIVE, (
        f"{numbers}: no harm is shown, but {more} is not excluded yet")


def _numbers(metric: Metric, evidence: Evidence, bound: SlowBound | None, of: str) -> str:
    mine, theirs = evidence.candidate, evidence.baseline
    if bound is not None:
        limits = [format_value(metric, us / 1e6) for us in (bound.candidate_us, bound.baseline_us)]
        return (
            f"{metric.name}{of}: {mine.share or 0:.2%} of {mine.requests} requests of the "
            f"candidate took longer than {limits[0]}, {theirs.share or 0:.2%} of "
            f"{theirs.requests} of the baseline longer than {limits[1]} at the same time")
    what = "outcomes" if metric.source is Source.OUTCOME else "requests"
    return (
        f"{metric.name} of candidate{of} {format_value(metric, mine.share)} in {mine.requests} "
        f"{what} against the baseline's {format_value(metric, theirs.share)} in "
        f"{theirs.requests} at the same time ({mine.bad_buckets} and {theirs.bad_buckets} groups "
        "of users hit)")


def _excess(check: CheckSpec, metric: Metric) -> str:
    bound, is_falling = check.bound_values[0], check.direction == "decrease"
    if check.bound_name == "ratio_to_baseline":
        return f"{'less' if is_falling else 'more'} than {bound:g} times the baseline's"
    if is_falling:
        return f"more than {format_value(metric, bound)} below the baseline's"
    return f"more than {format_value(metric, bound)} above the baseline's"


def _rounded(number: float) -> str:
    """Return a large number as people say it: `4,200`, or `a million`."""
    if number >= 1e6:
        return "a million"
    step = 10 ** max(0, int(math.log10(number)) - 1)
    return f"{int(number / step) * step:,}"


def _unknown(check: CheckSpec, sums: StageSums, why: str) -> CheckResult:
    reason = f"{check.measured.name}{in_words(check.subset)}: {why}"
    return CheckResult(
        metric=check.measured.name, of=check.of, bound=describe_bound(check),
        verdict=Verdict.INCONCLUSIVE, reason=reason, value=None, samples=0,
        min_samples=check.min_samples, start=sums.start, end=sums.end,
        sequential=_circumstances(check, sums),
    )


def _document(
    check: CheckSpec, sums: StageSums, found: _Found, bound: SlowBound | None
) -> dict[str, Any]:
    before = found.before
    return {
        **({} if bound is None else {"slow": asdict(bound)}),
        # only where it stood higher: most verdicts have none
        **({} if before is None else {"before": before.document()}),
        **_circumstances(check, sums), "margin": found.margin, "start": found.start,
        "log_worse": found.log_worse, "log_bar": found.log_bar, "log_pass": found.log_pass,
        "stage": found.evidence.document(),
    }


def _circumstances(check: CheckSpec, sums: StageSums) -> dict[str, Any]:
    of = OF_OUTCOMES if check.measured.source is Source.OUTCOME else ""
    return {
        "method": METHOD, "weight": sums.weight, "checks": sums.checks, "alpha": sums.alpha,
        "parts": len(sums.parts), "hours": sums.hours,
        "past_start": sums.past.start, "past_end": sums.past.end,
        "excluded": sums.excluded(check.subset, of),
    }

