"""After a rollback a cutover begins where it was: the same users, gates anew, approvers asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from changeover import clock
from changeover.domain.rollout import CutoverStatus, StageStatus
from changeover.store import approvals, audit, cutovers, routing, verdicts
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.processes import LONGEST_PAUSE, wait_for
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

STAGES = [
    {"phase": "gradual", "gates": ["slo"], "stages": [
        {"percent": 10, "soak": "0s"},
        {"percent": 25, "soak": "0s", "approval": {"approvers": 2}},
        {"percent": 50, "soak": "0s", "approval": {"approvers": 1}}]},
    {"phase": "full", "soak": "0s"},
]
SHOWN = [{"metric": "error_rate", "below": "1%", "on_fail": "show"}]
"""Nobody measures here: the gate is judged, has no data, and people are asked."""
MANY = 100
POINTS = {
    f"{edge} {step}" for edge in ("before", "after")
    for step in ("pass over gradual-50", "move traffic gradual-50", "judge gate gradual-50")}
USERS = [f"user-{number}" for number in range(60)]


@pytest.fixture
def site(server: PrefectServer, tmp_path: Path) -> Iterator[SopSite]:
    """A site whose later stages ask people."""
    plan = make_plan(
        health_timeout="60s", phases=STAGES, gates={"slo": SHOWN}, patience={"rechecks": 0})
    with sop_site(server, plan, tmp_path, is_measured=False) as found:
        found.home.save_settings({"migration": "bench", "api_url": server.url})
        yield found


def moved(site: SopSite) -> list[str]:
    """Return the users whose requests the candidate answers."""
    state = routing.read(site.store, "bench")
    wait_for(lambda: site.bench.gateway.served() == state.order, what="the gateway")
    found = []
    with httpx.Client(base_url=site.bench.url, timeout=LONGEST_PAUSE) as client:
        for user in USERS:
            answer = client.get("/", headers={"x-user-id": user}).raise_for_status().json()
            found += [user] if answer["served_by"] == "candidate" else []
    return found


def until_asked(site: SopSite, run: str, kills: int = 0) -> None:
    assert site.until_it_waits("cutover", run, kills=kills).state_type == "PAUSED"


def roll_back(site: SopSite, run: str) -> None:
    """Roll back while the run asks, and recover."""
    commands.changeover(site.home.root, "rollback", "--reason", "wrong totals")
    site.api.schedule(run, at=clock.now(), name="Waking", message="as the observer does")
    assert site.attempt("cutover", run).state_name == "RolledBack"
    commands.changeover(site.home.root, "recover", "--reason", "mended")


def answer(site: SopSite, run: str, *people: str, kills: int = 0) -> None:
    for who in people:
        site.answer(run, "promote", who)
        until_asked(site, run, kills)


def judged(site: SopSite, cutover_id: int) -> list[str]:
    return [each.stage for each in verdicts.all_of(site.store, cutover_id) if each.gate == "slo"]


def test_users_who_had_moved_move_again_and_nobody_else(site: SopSite) -> None:
    """Rolled back at 50 %, begun anew with 50 %: two people are asked, as for 25 %.

    The new run is killed before and after each step until its users have moved.
    """
    run = site.start("cutover")
    until_asked(site, run)
    answer(site, run, "eve", "alice", "bob")  # 10 %, and two people for 25 %
    assert routing.read(site.store, "bench").weight == 5_000
    before = moved(site)
    roll_back(site, run)
    assert moved(site) == []
    for stage, words in (("full", "no earlier cutover has reached it"), ("x", "no stage x")):
        refused = site.carry_out("cutover", from_stage=stage)
        assert refused.state_name == "NotBegun"
        assert words in refused.said
        assert "gradual-10, gradual-25, gradual-50" in refused.said
    run = site.start("cutover", from_stage="gradual-50")
    until_asked(site, run)
    answer(site, run, "alice", kills=MANY)
    assert moved(site) == []
    answer(site, run, "bob", kills=MANY)
    assert set(site.killed) >= POINTS
    cutover = cutovers.latest(site.store, "bench")
    assert cutover is not None
    assert moved(site) == before
    assert 15 < len(before) < 45
    assert judged(site, cutover.id) == ["gradual-50"]
    stages = {each.key: each.status for each in cutovers.stages(site.store, cutover.id)}
    assert stages == {"gradual-10": StageStatus.SKIPPED, "gradual-25": StageStatus.SKIPPED,
                      "gradual-50": StageStatus.WAITING}
    asked = [(each.stage, each.approver) for each in approvals.all_of(site.store, cutover.id)]
    assert asked == [("from-gradual-50", "alice"), ("from-gradual-50", "bob"),
                     ("gradual-50", None)]
    check_once(site, cutover.id)
    assert site.carry_on("cutover", run).state_name == "Promoted"
    assert audit.verify(site.store, "bench") == []


def check_once(site: SopSite, cutover_id: int) -> None:
    """Whoever was killed: two stages were passed over, and users were moved, once each."""
    events = audit.events(site.store, "bench")
    since = [event.data.get("flow_run_id") for event in events].index(
        cutovers.get(site.store, cutover_id).flow_run_id)
    kinds = Counter(event.kind for event in events[since:])
    assert (kinds["stage.skipped"], kinds["routing.changed"]) == (2, 1)
    assert (kinds["approval.answered"], kinds["approval.asked"]) == (2, 3)
    assert audit.verify(site.store, "bench") == []


def test_who_does_not_agree_keeps_everybody_at_the_baseline(site: SopSite) -> None:
    """The cutover has not begun."""
    run = site.start("cutover")
    until_asked(site, run)
    answer(site, run, "eve")
    roll_back(site, run)
    run = site.carry_out("cutover", from_stage="gradual-25", decisions=["hold"])
    assert run.state_name == "NotBegun"
    cutover = cutovers.latest(site.store, "bench")
    assert cutover is not None
    assert cutover.status is CutoverStatus.FAILED
    assert routing.read(site.store, "bench").weight == 0


def test_a_phase_alone_asks_the_approvers_of_the_stages_before_it(
    server: PrefectServer, tmp_path: Path
) -> None:
    """Else whoever may start flows would pass them over; asked once, whoever is killed."""
    plan = make_plan(health_timeout="60s", phases=[
        {"phase": "beta", "percent": 10, "soak": "0s", "approval": {"approvers": 2}},
        {"phase": "gradual", "stages": [{"percent": 50, "soak": "0s"}]},
        {"phase": "full", "soak": "0s"}])
    with sop_site(server, plan, tmp_path, is_measured=False) as site:
        run = site.carry_out("gradual", decisions=["hold"])
        assert run.state_name == "NotBegun", run
        (asked,) = approvals.all_of(site.store, 1)
        assert asked.stage == "from-gradual-50"
        assert "since the last rollback: beta 10 %." in asked.question
        run_id = site.start("gradual")
        for who in ("alice", "bob"):
            assert site.until_it_waits("gradual", run_id, kills=MANY).state_type == "PAUSED"
            assert routing.read(site.store, "bench").weight == 0
            site.answer(run_id, "promote", who)
        assert site.until_it_waits("gradual", run_id, kills=MANY).state_name == "Promoted"
        assert [(each.stage, each.approver) for each in approvals.all_of(site.store, 2)] == [
            ("from-gradual-50", "alice"), ("from-gradual-50", "bob")]
        assert routing.read(site.store, "bench").weight == 5_000
        assert audit.verify(site.store, "bench") == []
