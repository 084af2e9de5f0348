"""What must hold before the first user moves: every reason at once, and nobody is moved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from changeover import clock
from changeover.domain.health import HealthResult, Status
from changeover.domain.procedures import Step, StepStatus
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.suites import SuiteVerdict
from changeover.errors import Refused
from changeover.plan.procedures import PreconditionsSpec
from changeover.plan.triggers import TriggerAction
from changeover.procedures.preconditions import check
from changeover.procedures.steps import CutoverRun
from changeover.procedures.suites import SuiteResult
from changeover.site.site import Site
from changeover.store import firings, health_results, plans, routing, steps
from tests.core.procedures.conftest import begun

HOUR = timedelta(hours=1)
GOOD = "everything holds that the plan wants"


def wanting(site: Site, **wanted: Any) -> CutoverRun:
    """Begin a cutover whose plan wants this."""
    spec = PreconditionsSpec.model_validate({"disk": "1MB", **wanted})
    cutover = site.plan.cutover.model_copy(update={"preconditions": spec})
    site.plan = site.plan.model_copy(update={"cutover": cutover})
    return begun(site)


def reasons(run: CutoverRun, suite: SuiteResult | None = None) -> str:
    """Return why the cutover may not begin."""
    before = routing.read(run.site.store, run.migration)
    with pytest.raises(Refused, match=r"^not begun because ") as refused:
        check(run, suite)
    assert routing.read(run.site.store, run.migration) == before
    return str(refused.value)


def fire(run: CutoverRun, ago: timedelta) -> None:
    at = clock.now() - ago
    firings.record(run.site.store, TriggerFiring(
        run.migration, "errors", TriggerAction.HOLD, "too many", {}, at, at, epoch=0))


def look_at_health(run: CutoverRun, status: Status) -> None:
    health_results.save(run.site.store, [
        HealthResult(run.migration, clock.now(), "gateway", status, "drift")])


def rehearse(run: CutoverRun, ago: timedelta) -> None:
    """Store a rehearsal that passed with the present plan."""
    at = clock.now() - ago
    steps.save(run.site.store, Step(
        run.migration, f"rehearsal-{at}", steps.REHEARSAL, StepStatus.DONE, "", at, at,
        {"plan": plans.digest_of(run.site.plan)}))


def test_plan_that_wants_nothing_is_content(site: Site) -> None:
    """A cutover without preconditions begins at once."""
    assert check(begun(site), None) == GOOD


def test_every_reason_is_named_at_once(site: Site) -> None:
    """Nobody mends one after the other."""
    run = wanting(site, disk="900TB", quiet="1h", rehearsed_within="1d")
    fire(run, HOUR / 2)
    look_at_health(run, Status.CRITICAL)
    told = reasons(run, SuiteResult("pre_cutover", SuiteVerdict.FAIL, "1 of 2 checks failed"))
    for reason in ("suite pre_cutover: 1 of 2 checks failed", "trigger errors fired at",
                   "health check gateway is critical: drift", "free, less than 900",
                   "the rollback was never rehearsed"):
        assert reason in told


def test_what_is_mended_lets_it_begin(site: Site) -> None:
    """The same cutover is looked at again; what passed once is not asked for again."""
    run = wanting(site, rehearsed_within="1d")
    assert "never rehearsed" in reasons(run)
    rehearse(run, timedelta(0))
    assert check(run, None) == GOOD
    fire(run, timedelta(0))
    assert check(run, SuiteResult("pre_cutover", SuiteVerdict.FAIL, "")) == GOOD


def test_only_what_happened_lately_counts(site: Site) -> None:
    """A trigger before the quiet time is over, an old rehearsal is none."""
    run = wanting(site, quiet="1h", rehearsed_within="1h")
    fire(run, 2 * HOUR)
    look_at_health(run, Status.WARNING)
    rehearse(run, 2 * HOUR)
    told = reasons(run)
    assert "the rollback was rehearsed at" in told and "longer ago than 1h" in told
    assert "trigger" not in told and "health check" not in told
