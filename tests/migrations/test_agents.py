"""The agents' migration: rolled back, warned, and every risk tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest

from changeover.checks.agreement import compare
from changeover.domain.routing import Mode
from changeover.plan.triggers import TriggerAction
from changeover.store import rollbacks
from tests.support.migration import Migration
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration
TAKES_MINUTES = 5
EXAMPLE = "agents"


@contextmanager
def suffering(running: Migration, kind: str) -> Iterator[None]:
    """Half of the issues go to the new agents, and something goes wrong while the block runs."""
    running.move(50)
    running.begin(kind)
    try:
        yield
    finally:
        running.end_fault(kind)


@pytest.mark.parametrize(("kind", "trigger"), [
    ("errors", "success"), ("broken", "builds"), ("careless", "acceptance"), ("hang", "down"),
    ("memory", "memory")])
def test_lost_quality_rolls_back_by_itself(running: Migration, kind: str, trigger: str) -> None:
    """Each reason of the plan to go back: everyone is at the old agent, and the report says why."""
    try:
        running.provoke(kind, trigger)
        running.wait_rolled_back()
    finally:
        running.end_fault(kind)
    newest = rollbacks.latest(running.store, "agents")
    # what does not build has no success either: another one may be first
    assert newest is not None and newest.reason.startswith("trigger ")


@pytest.mark.parametrize(("kind", "trigger", "action"), [
    ("slow", "slower", TriggerAction.HOLD), ("old-errors", "old-success", TriggerAction.ALERT)])
def test_warnings_move_nobody(
    running: Migration, kind: str, trigger: str, action: TriggerAction
) -> None:
    """People hear of it; issues stay where they are."""
    try:
        running.provoke(kind, trigger)
        assert running.mode() is Mode.GRADUAL
    finally:
        running.end_fault(kind)
    (spec,) = [each for each in running.staged.plan.triggers if each.name == trigger]
    assert spec.action is action


@pytest.mark.parametrize(("system", "trigger"), [("candidate", "slow"), ("baseline", "old-slow")])
def test_more_than_ten_minutes_on_average_is_a_warning(
    running: Migration, system: str, trigger: str
) -> None:
    """600 s stay 600 s at any speed: outcomes are reported that took so long."""
    running.move(50)
    url, token = running.stack.console_url, running.staged.token
    number = iter(range(10_000))

    def fired() -> bool:
        httpx.post(f"{url}/v1/outcomes", timeout=LONGEST_PAUSE,
                   headers={"authorization": f"Bearer {token}"}, json=[{
                       "id": f"long-{system}-{next(number)}", "system": system, "success": True,
                       "seconds": 40_000} for _ in range(5)]).raise_for_status()
        return trigger in running.fired()

    wait_for(fired, seconds=60, what=f"trigger {trigger}")
    assert running.mode() is Mode.GRADUAL


def test_a_broken_router_makes_nobody_do_an_issue_twice(running: Migration) -> None:
    """Double processing, the first risk of the story: tried for each issue, refused each time."""
    with suffering(running, "double"):
        wait_for(running.after_answers(20), seconds=60, what="issues")
    assert "failed_twice" not in running.users()


def test_systems_that_disagree_are_found(running: Migration) -> None:
    """State inconsistency: what is compared every minute names the issues and who says what."""
    def told() -> bool:
        found = compare(running.site, "/issues", timedelta(0))
        return "completed by the candidate, which says that it still works on it" in found.text

    with suffering(running, "inconsistent"):
        wait_for(told, seconds=60, what="an issue that the candidate forgets to be done")


def test_the_first_issue_that_fails_with_everyone_there_goes_back(running: Migration) -> None:
    """python_only and a failure: emergency rollback at once, and the old agent does that issue."""
    running.move(50)
    running.changeover("enable", "candidate_only", "--reason", "everyone to the new agents")
    running.begin("errors")
    running.wait_rolled_back()
    running.end_fault("errors")
    newest = rollbacks.latest(running.store, "agents")
    assert newest is not None and "acme:parcels-" in newest.reason
