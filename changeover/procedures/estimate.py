"""What a plan's checks against the baseline would see in each of its stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from changeover.analysis.check import describe_bound
from changeover.analysis.sequential.forecast import Asked, Forecast, Habits, forecast
from changeover.analysis.sequential.judging import LEAST_SHARE, log_pass
from changeover.analysis.sequential.slow import slow_times
from changeover.analysis.sequential.stage_sums import ALPHA
from changeover.domain.routing import BUCKETS
from changeover.plan.by_segment import is_moved
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import Plan, Stage
from changeover.plan.subsets import in_words
from changeover.procedures.bucket_evidence import questions, settles_for

FEW_FOUND, FEW_PASSED = 0.8, 0.8
"""Below these shares a stage is too short for its own check."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What a candidate may do wrong.

    Args:
        times: It fails so many times as many requests.
        slower: Its answers take so many times as long.
    """

    times: float
    slower: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one check would see in one stage."""

    stage: Stage
    gate: str
    check: CheckSpec
    forecast: Forecast

    @property
    def bound(self) -> str:
        """The check for people."""
        check = self.check
        return f"{check.measured.name}{in_words(check.subset)} {describe_bound(check)}"

    @property
    def warning(self) -> str:
        """What is wrong with the stage for this check; empty when nothing is."""
        seen = self.forecast
        hidden, undecided = 1 - seen.found, 1 - seen.passed
        if seen.found < FEW_FOUND:
            return ("the soak is too short to show this harm: "
                    f"in {hidden:.0%} of futures it stays hidden")
        if seen.passed < FEW_PASSED:
            return ("the soak is too short to pass: "
                    f"a healthy candidate stays undecided in {undecided:.0%} of futures; "
                    "allow more time, a larger share or a larger margin")
        return ""


def cases(plan: Plan) -> list[tuple[Stage, str, CheckSpec]]:
    """Return each check that compares users, in each stage in which there are users to compare."""
    found = []
    for stage in plan.stages():
        # with all users on one side there is nobody to compare with
        if not 0 < stage.split < BUCKETS:
            continue
        for gate in stage.gates:
            for check in plan.all_gates[gate]:
                is_told = check.is_sequential and _is_foreseen(check)
                if is_told and not is_moved(check, stage):
                    found.append((stage, gate, check))
    return found


def without_estimate(plan: Plan) -> list[str]:
    """Return the checks by evidence whose futures are not drawn, as sentences."""
    # a dictionary: each name once, in the plan's order
    names: dict[str, None] = {}
    for gate in plan.all_gates.values():
        for check in gate:
            if check.is_sequential and not _is_foreseen(check):
                names[f"{check.measured.name}{in_words(check.subset)}"] = None
    return [
        f"{name}: not estimated, since nobody knows how often and how far apart its values will "
        "come; while a stage soaks, status says how much longer it needs"
        for name in names]


def _is_foreseen(check: CheckSpec) -> bool:
    """Whether futures can be drawn: requests come as they came, what is reported may not."""
    return not check.is_of_mean and check.measured.source is not Source.OUTCOME


def estimates(
    plan: Plan, habits_of: Callable[[CheckSpec], Habits], harm: Harm
) -> Iterator[Estimate]:
    """Yield what each case of a plan would see; some seconds of work for each.

    Args:
        plan: The plan.
        habits_of: What is expected of the buckets, for a check's bad requests.
        harm: The harm that is looked for.
    """
    for stage, gate, check in cases(plan):
        habits = habits_of(check)
        asked = _asked(plan, stage, check, habits=habits, harm=harm)
        seen = forecast(habits, asked)
        yield Estimate(stage, gate, check, seen)


def _asked(
    plan: Plan, stage: Stage, check: CheckSpec, *, habits: Habits, harm: Harm
) -> Asked:
    # cold caches and new sessions of a stage's begin are in no comparison
    counted = stage.soak - settles_for(plan, stage)
    seconds = counted.total_seconds()
    alpha = ALPHA / questions(plan, stage)
    bound = check.bound_values[0]
    quantile = METRICS[check.metric].quantile
    is_ratio = check.bound_name == "ratio_to_baseline"
    if quantile is not None:
        # what a difference in seconds is as a ratio depends on the durations; half more is usual
        margin = bound if is_ratio else 1.5
        slower = slow_times(quantile, margin, harm.slower)
        at_margin = slow_times(quantile, margin, 1.0)
        return Asked(
            stage.split, seconds, 1.0, True, alpha, times=slower,
            at_margin=at_margin, log_pass=log_pass(check))
    requests = habits.per_second
    usual = (habits.bad * requests).sum() / max(1e-12, requests.sum())
    # a difference is this ratio at the share that is usual; a share of 0 has no ratio
    margin = bound if is_ratio else 1 + bound / max(float(usual), LEAST_SHARE)
    return Asked(
        stage.split, seconds, margin, False, alpha, times=harm.times,
        log_pass=log_pass(check))
