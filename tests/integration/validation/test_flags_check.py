"""The `flags` check: values for nobody in particular, and for given users."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover import clock
from changeover.checks.suites.machine import check_flags
from changeover.checks.suites.target import CheckTarget
from changeover.domain.verdict import Verdict
from changeover.plan.suites import FlagsCheck
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import flags, plans
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

GOLD = {"key": "user-7", "attributes": {"plan": "gold"}}


@pytest.fixture
def target(tmp_path: Path) -> CheckTarget:
    """A migration whose flag `ai` is on for gold users only."""
    plan = make_plan(flags={"ai": {"rules": [{"when": {"plan": ["gold"]}, "variant": "enabled"}]}})
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plans.register(store, plan, source="test", now=clock.now())
    flags.follow_plan(store, plan, now=clock.now())
    return CheckTarget(plan, tmp_path, Site(Home(tmp_path), plan, store))


def check(target: CheckTarget, **spec: object) -> tuple[Verdict, str]:
    """Carry the check out."""
    result = check_flags(FlagsCheck.model_validate({"kind": "flags", **spec}), target)
    return result.verdict, result.reason


def test_users_are_asked_about_with_their_attributes(target: CheckTarget) -> None:
    """A user of the plan's group has the flag, everyone else has not."""
    verdict, _ = check(target, expect={"ai": False}, users=[
        {**GOLD, "expect": {"ai": True}}, {"key": "user-8", "expect": {"ai": False}}])
    assert verdict is Verdict.PASS


def test_value_that_is_not_the_wanted_one_is_told_with_its_user(target: CheckTarget) -> None:
    """The sentence names the flag, what it is, for whom, and what was wanted."""
    verdict, reason = check(target, users=[{**GOLD, "expect": {"ai": False, "gone": "x"}}])
    assert verdict is Verdict.FAIL
    assert "flag ai is True for user-7, not False" in reason
    assert "flag gone is 'not there' for user-7, not 'x'" in reason
