"""The end of a cutover: how long it is observed, and whether it is a success."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.health import HealthResult, Status
from changeover.domain.procedures import Step, StepStatus
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.rollout import StageStatus
from changeover.domain.routing import Change, Mode
from changeover.domain.suites import SuiteVerdict
from changeover.errors import StaleEpoch
from changeover.plan.procedures import ObserveSpec
from changeover.plan.triggers import TriggerAction
from changeover.procedures import baseline
from changeover.procedures.finishing import HEALTH_DUE, judge_success, observed_until, question
from changeover.procedures.steps import CutoverRun
from changeover.procedures.suites import SuiteResult
from changeover.site.site import Site
from changeover.store import cutovers, firings, health_results, routing, steps
from tests.core.procedures.conftest import begun

PASSED = SuiteResult("post_cutover", SuiteVerdict.PASS, "3 of 3 checks passed")
FAILED = SuiteResult("post_cutover", SuiteVerdict.FAIL, "1 of 3 checks failed")


def passed_stages(site: Site, status: StageStatus = StageStatus.PROMOTED) -> CutoverRun:
    """Begin a cutover, promote its stages or leave them out, and begin the observation."""
    run = begun(site)
    for stage in site.plan.stages():
        cutovers.enter_stage(site.store, run.id, stage, now=clock.now())
        cutovers.decide(site.store, run.id, stage.key, status=status, reason="",
                        now=clock.now())
    observed_until(run, 1)
    return run


def unmet(run: CutoverRun, suite: SuiteResult | None = PASSED, round_: int = 1) -> dict[str, str]:
    """Return the criteria that are not met, with what was found."""
    return {each.criterion: each.detail for each in judge_success(run, suite, round_)
            if not each.is_met}


def fire(run: CutoverRun) -> None:
    now = clock.now()
    firings.record(run.site.store, TriggerFiring(
        run.migration, "errors", TriggerAction.HOLD, "too many", {}, now, now, epoch=0))


def check_health(run: CutoverRun, status: Status) -> None:
    health_results.save(run.site.store, [
        HealthResult(run.migration, clock.now(), "gateway", status, "drift")])


def save_step(run: CutoverRun) -> None:
    now = clock.now()
    steps.save(run.site.store, Step(
        run.migration, run.subject, baseline.DISABLED, StepStatus.FAILED, "lever off failed",
        now, now))


def test_cutover_after_which_all_is_well_is_a_success(site: Site) -> None:
    """Every stage promoted, no trigger, the suite passed, no step that failed."""
    run = passed_stages(site)
    check_health(run, Status.WARNING)
    assert unmet(run) == {}


@pytest.mark.parametrize(("spoil", "expected"), [
    (fire, {"no trigger fired during the observation": "errors: too many"}),
    (lambda run: check_health(run, Status.CRITICAL), {
        "no critical health check during the observation": "gateway: drift",
        "the newest health check is good": "gateway critical"}),
    (lambda run: check_health(run, Status.UNHEALTHY), {
        "the newest health check is good": "gateway unhealthy"}),
    (save_step, {f"step {baseline.DISABLED} is done": "lever off failed"}),
], ids=["trigger", "critical health", "poor health", "step"])
def test_what_spoils_a_success_is_named(
    site: Site, spoil: Callable[[CutoverRun], None], expected: dict[str, str]
) -> None:
    """One criterion each, with what was found."""
    run = passed_stages(site)
    spoil(run)
    assert unmet(run) == expected


def test_suite_that_failed_is_no_success_and_a_plan_without_one_needs_none(site: Site) -> None:
    """The reason is the suite's own sentence."""
    run = passed_stages(site)
    assert unmet(run, FAILED) == {"suite post_cutover passed": "1 of 3 checks failed"}
    assert unmet(run, None, 2) == {}


def test_stage_that_was_not_promoted_is_counted(site: Site) -> None:
    """However the cutover came to its end."""
    run = begun(site)
    for stage in site.plan.stages():
        cutovers.enter_stage(site.store, run.id, stage, now=clock.now())
    total = len(site.plan.stages())
    assert unmet(run) == {"every stage was promoted": f"0 of {total}"}


def test_a_stage_that_people_left_out_spoils_no_success(site: Site) -> None:
    """As many agreed as approve it; the criterion names it."""
    run = passed_stages(site, StageStatus.SKIPPED)
    left = site.plan.stages()[0].key
    check_health(run, Status.WARNING)
    found = judge_success(run, None, 1)
    assert all(each.is_met for each in found)
    assert found[0].detail.endswith(f", left out by people: {left}")


def test_long_observation_without_any_health_check_is_no_success(site: Site) -> None:
    """One that is made every minute should have had a result: nobody knows."""
    run = begun(site)
    long_ago = clock.now() - HEALTH_DUE
    steps.save(site.store, Step(
        run.migration, run.subject, "observation", StepStatus.DONE, "", long_ago, long_ago))
    assert unmet(run) == {
        "no critical health check during the observation": "0 results, none critical",
        "the newest health check is good": "no health check has run"}


def test_criteria_are_judged_once_in_a_round(site: Site) -> None:
    """A run that is killed and comes back asks people about what they saw; the next round counts
    what happened since its own beginning."""
    run = passed_stages(site)
    first = judge_success(run, FAILED, 1)
    fire(run)
    assert judge_success(run, PASSED, 1) == first
    observed_until(run, 2)
    assert unmet(run, PASSED, 2) == {}


def test_observation_is_counted_from_its_first_call(site: Site) -> None:
    """Killed and started again, it does not begin anew; the next round does."""
    observe = ObserveSpec(duration=timedelta(hours=1))
    site.plan = site.plan.model_copy(
        update={"cutover": site.plan.cutover.model_copy(update={"observe": observe})})
    run = begun(site)
    before = clock.now()
    until = observed_until(run, 1)
    assert until - before >= timedelta(hours=1)
    assert observed_until(run, 1) == until
    assert observed_until(run, 2) > until


def test_observation_ends_when_a_rollback_came(site: Site) -> None:
    """There is nothing to observe any more."""
    run = begun(site)
    routing.change(site.store, site.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
                   Author("ann", "it burns"), now=clock.now())
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        observed_until(run, 1)


def test_people_are_asked_about_every_criterion_that_is_not_met(site: Site) -> None:
    """With what was found, and as often as the round."""
    run = passed_stages(site)
    found = [each for each in judge_success(run, FAILED, 1) if not each.is_met]
    asked = question(run, found, 2)
    assert "- suite post_cutover passed: 1 of 3 checks failed\n" in asked.text(1)
    assert (asked.subject, asked.round) == ("success", 2)
