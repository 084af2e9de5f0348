"""A stage that is reviewed while it soaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.domain.rollout import StageAction, StageStatus
from changeover.store import approvals, cutovers
from tests.integration.conftest import make_plan
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]


@pytest.fixture
def site(server: PrefectServer, tmp_path: Path) -> Iterator[SopSite]:
    """A site whose first stage soaks for an hour and is reviewed every two seconds."""
    plan = make_plan(
        health_timeout="60s", patience={"rechecks": 0}, gates={}, phases=[
            {"phase": "gradual", "stages": [
                {"percent": 50, "soak": "1h", "reviews": {"every": "2s"}}]},
            {"phase": "full", "soak": "0s"}])
    with sop_site(server, plan, tmp_path, is_measured=False) as found:
        yield found


def test_people_review_a_stage_while_it_soaks(site: SopSite) -> None:
    """Whoever is killed, each review is asked once; a hold begins anew, a rollback ends it."""
    run = site.carry_out(
        "cutover", kills=True, decisions=["promote", "hold", "promote", "rollback"])
    assert run.state_name == "RolledBack"
    asked = [(each.stage, each.round, each.decision) for each in approvals.all_of(site.store, 1)]
    promote, hold, rollback = StageAction.PROMOTE, StageAction.HOLD, StageAction.ROLLBACK
    assert asked == [
        ("review-gradual-50-1", 1, promote), ("review-gradual-50-2", 1, hold),
        ("review-gradual-50-1", 2, promote), ("review-gradual-50-2", 2, rollback)]
    stage = cutovers.stage(site.store, 1, "gradual-50")
    assert stage is not None
    assert (stage.status, stage.round) == (StageStatus.ROLLED_BACK, 2)
