"""Judging one check over one window: thresholds and ratios to the baseline. Pure.

`Judge` is the seam for statistics beyond thresholds: anything that turns a check and its windows
into a result with its evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from changeover.analysis.window import Measured, Window
from changeover.domain.verdict import Verdict
from changeover.plan.budgets import describe
from changeover.plan.conditions import CheckSpec, OnFail
from changeover.plan.metrics import Metric, Source, format_value
from changeover.plan.subsets import in_words
from changeover.plan.triggers import TriggerSpec

_HOLDS = {
    "below": lambda value, bound: value < bound[0],
    "above": lambda value, bound: value > bound[0],
    "at_least": lambda value, bound: value >= bound[0],
    "at_most": lambda value, bound: value <= bound[0],
    "between": lambda value, bound: bound[0] <= value <= bound[1],
}
_RELATION = {
    "below": ("is below", "is at or above"),
    "above": ("is above", "is at or below"),
    "at_least": ("is at least", "is below"),
    "at_most": ("is at most", "is above"),
    "between": ("lies within", "lies outside"),
}


_MAPPINGS = ("coverage", "sequential", "by_minutes", "external", "interval", "outlook", "group")
"""Fields of a result that are mappings, or None."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A check's verdict with the numbers that a person needs to recompute it.

    `value` and `baseline_value` are in base units: shares 0..1, seconds, bytes. `coverage` stands
    beside the scores of comparisons: what was dropped, and why. `places` are those of the answers
    that the result is about, `parts` the parts of the traffic. `sequential` is what a comparison
    by buckets was reached by, `by_minutes` one of single minutes, `external` what sources said.
    `on_fail` says what follows when it failed, `subset` which requests are meant if not all
    (`segment:beta`). `interval` is where the true value lies (95 %), `outlook` how much longer an
    undecided check needs; neither decides anything. `group` is the one of the plan that it belongs
    to, with the group's verdict.
    """

    metric: str
    of: str
    bound: str
    verdict: Verdict
    reason: str
    value: float | None
    samples: int
    min_samples: int
    start: datetime
    end: datetime
    baseline_value: float | None = None
    baseline_samples: int | None = None
    coverage: Mapping[str, int] | None = None
    places: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    sequential: Mapping[str, Any] | None = None
    by_minutes: Mapping[str, Any] | None = None
    external: Mapping[str, Any] | None = None
    on_fail: OnFail = OnFail.ROLLBACK
    subset: str | None = None
    interval: Mapping[str, Any] | None = None
    outlook: Mapping[str, Any] | None = None
    group: Mapping[str, Any] | None = None

    @property
    def full_reason(self) -> str:
        """The reason, with how much longer it takes where that is known."""
        if not self.outlook:
            return self.reason
        return f"{self.reason}; {self.outlook['text']}"

    def as_evidence(self) -> dict[str, Any]:
        """Return the result as the mapping that the store keeps; times in ISO form."""
        document: dict[str, Any] = {
            "metric": self.metric, "of": self.of, "bound": self.bound,
            "verdict": str(self.verdict), "reason": self.reason, "value": self.value,
            "samples": self.samples, "min_samples": self.min_samples,
            "baseline_value": self.baseline_value, "baseline_samples": self.baseline_samples,
            "window_start": self.start.isoformat(), "window_end": self.end.isoformat(),
        }
        # What does not apply is left out: most checks have none of these.
        for name in _MAPPINGS:
            mapping = getattr(self, name)
            if mapping is not None:
                document[name] = dict(mapping)
        if self.places:
            document["places"] = list(self.places)
        if self.parts:
            document["parts"] = list(self.parts)
        if self.subset is not None:
            document["subset"] = self.subset
        if self.on_fail is not OnFail.ROLLBACK:
            document["on_fail"] = str(self.on_fail)
        return document

    def with_coverage(self, coverage: Mapping[str, int]) -> CheckResult:
        """Return the result of a check on comparisons with how much stands behind it.

        Args:
            coverage: How many copied requests had which outcome since the migration began:
                `seen`, `compared`, `dropped: …`.
        """
        seen, compared = coverage.get("seen", 0), coverage.get("compared", 0)
        reason = f"{self.reason}; so far {compared} of {seen} copied requests were compared"
        return replace(self, reason=reason, coverage=dict(coverage))


_Condition = CheckSpec | TriggerSpec


class Judge(Protocol):
    """Turns a check and what was measured into a result."""

    def __call__(
        self, check: CheckSpec, own: Window, baseline: Window | None, *, start: datetime,
        end: datetime,
    ) -> CheckResult:
        """Judge `check` over [start, end)."""
        ...


def judge(
    check: CheckSpec, own: Window, baseline: Window | None, *, start: datetime, end: datetime
) -> CheckResult:
    """Judge a check by its threshold, or by its ratio to the baseline.

    Args:
        check: The check.
        own: What was measured of the check's system in the window.
        baseline: The baseline's measurements, needed for ratios.
        start: Start of the window.
        end: End of the window.
    """
    name = check.measured.name
    other = baseline.measure(name) if baseline else None
    return judge_measured(
        check, own.measure(name), other, start=start, end=end, seconds=own.seconds)


def judge_measured(
    check: CheckSpec, measured: Measured, other: Measured | None, *, start: datetime,
    end: datetime, seconds: float,
) -> CheckResult:
    """Judge a check by the values that were measured in a window of `seconds`.

    Args:
        check: The check.
        measured: The value of the check's system.
        other: The baseline's, needed for ratios.
        start: Start of the window.
        end: End of the window.
        seconds: Its length.
    """
    needed = _needed(check.measured, check.min_samples, seconds)
    verdict, reason = evaluate(check, measured, other, needed=needed)
    return CheckResult(
        metric=check.measured.name, of=check.of, bound=describe_bound(check), verdict=verdict,
        reason=reason, value=measured.value, samples=measured.samples, min_samples=needed,
        start=start, end=end,
        baseline_value=other.value if other else None,
        baseline_samples=other.samples if other else None,
    )


def evaluate(
    condition: _Condition, measured: Measured, baseline: Measured | None, *, needed: int
) -> tuple[Verdict, str]:
    """Return whether a condition holds, with a sentence of value, relation, bound and samples.

    Too few samples, on either side of a ratio, are inconclusive: no data is never a pass.
    """
    metric = condition.measured
    of = "the gateway" if metric.source is Source.GATEWAY else condition.of
    place = f" at {condition.path}" if condition.path else ""
    what = f"{metric.name} of {of}{place}{in_words(condition.subset)}"
    if measured.value is None or measured.samples < needed:
        reason = f"{what}: {measured.samples} of at least {needed} samples"
        return Verdict.INCONCLUSIVE, reason
    if condition.is_to_baseline:
        return _evaluate_to_baseline(condition, metric, measured, baseline, needed)
    holds = _HOLDS[condition.bound_name](measured.value, condition.bound_values)
    relation = _RELATION[condition.bound_name][0 if holds else 1]
    value = format_value(metric, measured.value)
    bounds = _bounds(condition)
    reason = f"{what} {value} {relation} {bounds} in {measured.samples} samples"
    return _verdict(holds), reason


def describe_bound(condition: _Condition) -> str:
    """Return a condition's bound for people: `below 0.100 %`, `at most 1.1 × baseline`."""
    if isinstance(condition, TriggerSpec) and condition.budget is not None:
        return describe(condition.burning, condition.budget)
    name, bound = condition.bound_name, condition.bound_values[0]
    side = "at least" if condition.is_falling else "at most"
    if name == "ratio_to_baseline":
        return f"{side} {bound:g} × baseline"
    if name == "difference_to_baseline":
        shown = format_value(condition.measured, bound)
        return f"at most {shown} {'below' if condition.is_falling else 'above'} the baseline"
    return f"{name.replace('_', ' ')} {_bounds(condition)}"


def _bounds(condition: _Condition) -> str:
    metric = condition.measured
    values = [format_value(metric, bound) for bound in condition.bound_values]
    return " to ".join(values)


def _verdict(holds: bool) -> Verdict:
    return Verdict.PASS if holds else Verdict.FAIL


def as_asked(check: CheckSpec, result: CheckResult) -> CheckResult:
    """Return a check's result with what the plan says of failures and of missing data."""
    is_open = result.verdict is Verdict.INCONCLUSIVE
    is_missing = is_open and result.samples < result.min_samples
    if is_missing and check.on_no_data == "fail":
        reason = f"{result.reason}, and the plan calls that a failure"
        result = replace(result, verdict=Verdict.FAIL, reason=reason)
    result = replace(result, on_fail=check.on_fail, subset=check.subset)
    return with_group(check, result)


def with_group(check: CheckSpec, result: CheckResult) -> CheckResult:
    """Return a check's result with the group of the plan that it belongs to, if any."""
    if check.group is None:
        return result
    # Stored with the result: the plan may have other groups when somebody reads it.
    group = check.group.model_dump(exclude_none=True)
    return replace(result, group={**group, "words": check.group.words})


SHORT_WINDOW = 10.0
"""Seconds below which a rate is taken from as few seconds as `min_samples` says."""


def needed_samples(condition: _Condition, seconds: float) -> int:
    """Return how many samples a condition needs in a window of `seconds`."""
    return _needed(condition.measured, condition.min_samples, seconds)


def _needed(metric: Metric, min_samples: int, seconds: float) -> int:
    """Return how many samples are required.

    Probes arrive once per second: the required samples are capped at 80 % of the window. A rate
    needs at least half of the window, because fewer seconds mean that nobody watched.
    """
    if not metric.is_of_seconds:
        return min_samples
    # 80 %: a busy machine misses some seconds, and the check must not wait for ever for them.
    most = int(seconds * 0.8)
    half = int(seconds / 2) if metric.is_rate and seconds >= SHORT_WINDOW else 1
    return max(1, half, min(min_samples, most))


def _where(condition: _Condition, measured: Measured, of_baseline: int) -> str:
    """Return whose requests the baseline's are, and why it has none."""
    if condition.subset is None:
        return ""
    words = in_words(condition.subset)
    # A segment moves as a whole: then the baseline cannot have requests of it.
    is_moved = measured.samples > 0 and of_baseline == 0
    return f"{words}, of whose users all are on the candidate" if is_moved else words


def _evaluate_to_baseline(
    condition: _Condition, metric: Metric, measured: Measured, baseline: Measured | None,
    needed: int,
) -> tuple[Verdict, str]:
    value = measured.value or 0.0
    if baseline is None or baseline.value is None or baseline.samples < needed:
        found = baseline.samples if baseline else 0
        where = _where(condition, measured, found)
        what = f"{metric.name} of the baseline{where}"
        reason = f"{what}: {found} of at least {needed} samples"
        return Verdict.INCONCLUSIVE, reason
    own, other = format_value(metric, value), format_value(metric, baseline.value)
    what = f"{metric.name} of {condition.of}{in_words(condition.subset)}"
    numbers = f"{what} {own} against the baseline's {other}"
    of_samples = f"in {measured.samples} and {baseline.samples} samples"
    if condition.bound_name == "ratio_to_baseline":
        return _evaluate_ratio(condition, value, baseline.value, numbers, of_samples)
    bound, difference = condition.bound_values[0], value - baseline.value
    # lower is worse: how much lower is what the bound limits
    if condition.is_falling:
        difference = -difference
    holds = difference <= bound
    relation = "is at most" if holds else "is above"
    shown, limit = format_value(metric, difference), format_value(metric, bound)
    down = " down" if condition.is_falling else ""
    reason = f"{numbers}: the difference{down} {shown} {relation} {limit} {of_samples}"
    return _verdict(holds), reason


def _evaluate_ratio(
    condition: _Condition, value: float, other: float, numbers: str, of_samples: str
) -> tuple[Verdict, str]:
    bound = condition.bound_values[0]
    if other == 0:
        # No multiple of nothing is right or wrong, except nothing itself.
        if value == 0:
            return Verdict.PASS, f"{numbers}: both are zero"
        return Verdict.INCONCLUSIVE, f"{numbers}: there is no ratio to zero"
    ratio = value / other
    holds = ratio >= bound if condition.is_falling else ratio <= bound
    at_bound, beyond = ("is at least", "is below") if condition.is_falling else (
        "is at most", "is above")
    relation = at_bound if holds else beyond
    reason = f"{numbers}: ratio {ratio:.3g} {relation} {bound:g} {of_samples}"
    return _verdict(holds), reason
