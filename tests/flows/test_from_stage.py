"""After a rollback a cutover begins where it was: the same users, gates anew, approvers asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.rollout import CutoverStatus, StageStatus
from changeover.domain.routing import System, decide
from changeover.store import approvals, audit, cutovers, routing
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

STAGES = [
    {"phase": "gradual", "stages": [
        {"percent": 10, "soak": "0s"},
        {"percent": 50, "soak": "0s", "approval": {"approvers": 2}},
        {"percent": 75, "soak": "0s", "approval": {"approvers": 1}}]},
    {"phase": "full", "soak": "0s"},
]
USERS = [f"user-{number}" for number in range(60)]


@pytest.fixture
def site(server: PrefectServer, tmp_path: Path) -> Iterator[SopSite]:
    """A site whose later stages ask people."""
    plan = make_plan(health_timeout="60s", phases=STAGES)
    with sop_site(server, plan, tmp_path, is_measured=False) as found:
        found.home.save_settings({"migration": "bench", "api_url": server.url})
        yield found


def moved(site: SopSite) -> list[str]:
    """Return the users whom the candidate answers."""
    state = routing.read(site.store, "bench")
    return [user for user in USERS if decide(state, user) is System.CANDIDATE]


def until_asked(site: SopSite, run: str) -> None:
    while site.attempt("cutover", run).state_type != "PAUSED":
        continue


def roll_back(site: SopSite, run: str) -> None:
    """Roll back while the run asks, and recover."""
    commands.changeover(site.home.root, "rollback", "--reason", "wrong totals")
    site.api.schedule(run, at=clock.now(), name="Waking", message="as the observer does")
    assert site.attempt("cutover", run).state_name == "RolledBack"
    commands.changeover(site.home.root, "recover", "--reason", "mended")


def answer(site: SopSite, run: str, who: str, decision: str = "promote") -> None:
    site.answer(run, decision, who)
    until_asked(site, run)


def test_users_who_had_moved_move_again_and_nobody_else(site: SopSite) -> None:
    """Rolled back at 75 %, begun anew with 75 %: two people are asked, as for 50 %."""
    run = site.start("cutover")
    until_asked(site, run)
    answer(site, run, "alice")
    answer(site, run, "bob")
    assert routing.read(site.store, "bench").weight == 7_500
    before = moved(site)
    roll_back(site, run)
    assert moved(site) == []
    for stage, words in (("full", "no earlier cutover has reached it"), ("x", "no stage x")):
        refused = site.carry_out("cutover", from_stage=stage)
        assert refused.state_name == "NotBegun"
        assert words in refused.said
        assert "gradual-10, gradual-50, gradual-75" in refused.said
    run = site.start("cutover", from_stage="gradual-75")
    until_asked(site, run)
    assert moved(site) == []
    answer(site, run, "alice")
    assert moved(site) == []
    answer(site, run, "bob")
    cutover = cutovers.latest(site.store, "bench")
    assert cutover is not None
    assert moved(site) == before
    assert 30 < len(before) < len(USERS)
    stages = {each.key: each.status for each in cutovers.stages(site.store, cutover.id)}
    assert stages == {"gradual-10": StageStatus.SKIPPED, "gradual-50": StageStatus.SKIPPED,
                      "gradual-75": StageStatus.WAITING}
    asked = [each.stage for each in approvals.all_of(site.store, cutover.id)]
    assert asked == ["from-gradual-75", "from-gradual-75", "gradual-75"]
    assert site.carry_on("cutover", run).state_name == "Promoted"
    assert audit.verify(site.store, "bench") == []


def test_who_does_not_agree_keeps_everybody_at_the_baseline(site: SopSite) -> None:
    """The cutover has not begun."""
    run = site.start("cutover")
    until_asked(site, run)
    roll_back(site, run)
    run = site.carry_out("cutover", from_stage="gradual-50", decisions=["hold"])
    assert run.state_name == "NotBegun"
    cutover = cutovers.latest(site.store, "bench")
    assert cutover is not None
    assert cutover.status is CutoverStatus.FAILED
    assert routing.read(site.store, "bench").weight == 0
