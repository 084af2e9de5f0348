"""The end of a cutover: the time of observation, and whether it was a success."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from changeover import clock
from changeover.domain.health import Status
from changeover.domain.procedures import StepStatus
from changeover.domain.rollout import PASSED, StageStatus
from changeover.plan.units import format_duration
from changeover.procedures import baseline
from changeover.procedures.approvals import Question
from changeover.procedures.preconditions import SERIOUS
from changeover.procedures.steps import CutoverRun, Found
from changeover.procedures.suites import SuiteResult
from changeover.store import cutovers, firings, health_results, steps

HEALTH_DUE = timedelta(minutes=2)
"""In an observation of this length a health check that is made every minute has a result."""
GOOD = (Status.HEALTHY, Status.WARNING)
SUBJECT = "success"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion of success as it was judged."""

    criterion: str
    is_met: bool
    detail: str


def observed_until(run: CutoverRun, round_: int) -> datetime:
    """Return when the time of observation ends, counted from the first call of its round.

    Raises:
        StaleEpoch: A rollback came first: there is nothing to observe.
    """
    run.current_state()
    spec = run.site.plan.cutover.observe
    detail, length = "not observed", timedelta(0)
    if spec is not None:
        length = spec.duration
        detail = f"observed for {format_duration(length)}"
    name = _of_round("observation", round_)
    # its first call is saved: a run that begins again does not observe anew
    begun = run.once(name, lambda: (detail, {}))
    return begun.started_at + length


def judge_success(
    run: CutoverRun, suite: SuiteResult | None, round_: int
) -> list[Criterion]:
    """Judge the criteria of success one by one and keep them for the report.

    Returns:
        The criteria as they were judged first in this round.
    """
    def judge() -> Found:
        criteria = _criteria(run, suite, round_)
        met = sum(each.is_met for each in criteria)
        said = f"{met} of {len(criteria)} are met"
        return said, {"criteria": [asdict(each) for each in criteria]}

    name = _of_round(steps.CRITERIA, round_)
    found = run.once(name, judge)
    return [Criterion(**each) for each in found.data["criteria"]]


def question(run: CutoverRun, unmet: list[Criterion], round_: int) -> Question:
    """Return what people are asked about a cutover that is no success yet."""
    spec = run.site.plan.cutover.disable_baseline
    listed = "\n".join(f"- {each.criterion}: {each.detail}" for each in unmet)
    text = (
        f"## Accept the cutover of {run.migration} although these criteria are not met?\n\n"
        f"Everyone is on the candidate. Not met:\n\n{listed}\n\n"
        "- **promote**: accept it as it is.\n"
        "- **hold**: validate and observe once more.\n"
        "- **rollback**: everyone back to the baseline now.\n")
    needed = spec.approval.approvers if spec else 1
    return Question(SUBJECT, lambda _ordinal: text, needed, round_)


def _of_round(step_name: str, round_: int) -> str:
    return step_name if round_ == 1 else f"{step_name} {round_}"


def _criteria(run: CutoverRun, suite: SuiteResult | None, round_: int) -> list[Criterion]:
    observation = run.known(_of_round("observation", round_))
    began = observation.started_at if observation else run.began_at
    found = [_every_stage(run), _no_trigger(run, began), *_healthy(run, began)]
    if suite is not None:
        title = f"suite {suite.suite} passed"
        found.append(Criterion(title, suite.is_passed, suite.reason))
    # what a procedure may do without: a plan that wants none of them has no such step
    for name in ("backup", "rollback.sh", "final configuration", baseline.DISABLED):
        step = run.known(name)
        if step is not None:
            is_done = step.status is StepStatus.DONE
            found.append(Criterion(f"step {name} is done", is_done, step.detail))
    return found


def _every_stage(run: CutoverRun) -> Criterion:
    stages = cutovers.stages(run.site.store, run.id)
    passed, everyone = 0, len(stages)
    for stage in stages:
        passed += stage.status in PASSED
    counted = f"{passed} of {everyone}"
    # its approvers agreed to leave it out: they are not asked once more
    if left := [each.key for each in stages if each.status is StageStatus.SKIPPED]:
        counted += f", left out by people: {', '.join(left)}"
    return Criterion("every stage was promoted", passed == everyone, counted)


def _no_trigger(run: CutoverRun, began: datetime) -> Criterion:
    fired = firings.all_of(run.site.store, run.migration, since=began)
    reasons = ", ".join(f"{each.trigger}: {each.reason}" for each in fired)
    title = "no trigger fired during the observation"
    return Criterion(title, not fired, reasons or "none")


def _healthy(run: CutoverRun, began: datetime) -> list[Criterion]:
    """Judge the health checks since the observation began, and the newest one."""
    store, migration = run.site.store, run.migration
    # a short observation may end before the first health check is due: no result is no fault then
    is_due = clock.now() - began >= HEALTH_DUE
    # whatever was critical for a moment counts, and each fault is told once
    health = health_results.since(store, migration, since=began)
    serious = set()
    for each in health:
        if each.status in SERIOUS:
            serious.add(f"{each.check}: {each.detail}")
    newest = health_results.latest(store, migration)
    is_good = all(each.status in GOOD for each in newest)
    states = ", ".join(f"{each.check} {each.status}" for each in newest)
    faults = ", ".join(sorted(serious))
    return [
        Criterion(
            "no critical health check during the observation",
            is_met=not serious and bool(health or not is_due),
            detail=faults or f"{len(health)} results, none critical"),
        Criterion(
            "the newest health check is good",
            is_met=is_good and bool(newest or not is_due),
            detail=states or "no health check has run"),
    ]
