"""A run that wakes up goes on where it was, on this machine or on another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from changeover.domain.rollout import StageStatus
from changeover.procedures.partial_rollback import move_back
from changeover.site.site import Site
from changeover.store import approvals, cutovers
from tests.integration.conftest import make_plan
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

STAGES = [{"percent": percent, "soak": "0s", "segments": ["beta"], "approval": {"approvers": 1}}
          for percent in (10, 50)]
PHASES = [{"phase": "gradual", "stages": STAGES}]


def asked(site: SopSite) -> list[tuple[str, int, str]]:
    return [(each.stage, each.round, str(each.decision))
            for each in approvals.all_of(site.store, 1)]


def test_another_machine_goes_on_without_what_prefect_kept_on_the_first_one(
    server: PrefectServer, tmp_path: Path
) -> None:
    """Results of subflows are files at home; whoever wakes up next may have none of them."""
    kept = server.log.parent / "prefect" / "storage"
    gone: list[int] = []

    def elsewhere(decision: str) -> object:
        def decide() -> str:
            gone.append(len(list(kept.iterdir())))
            shutil.rmtree(kept)
            return decision
        return decide

    with sop_site(server, make_plan(health_timeout="60s", phases=PHASES), tmp_path / "site",
                  is_measured=False) as site:
        run = site.carry_out("cutover", decisions=[
            elsewhere("promote"), elsewhere("hold"), elsewhere("promote")])
        assert run.state_name == "Promoted"
        assert all(gone), "Prefect kept nothing: this tests nothing"
        assert asked(site) == [("gradual-10", 1, "promote"), ("gradual-50", 1, "hold"),
                               ("gradual-50", 2, "promote")]
        assert {each.status for each in cutovers.stages(site.store, 1)} == {StageStatus.PROMOTED}


def test_a_stage_that_got_its_users_again_is_not_taken_for_the_next_one(
    server: PrefectServer, tmp_path: Path
) -> None:
    """It was passed twice; a run that wakes up in the next stage passes it twice again."""
    with sop_site(server, make_plan(health_timeout="60s", phases=PHASES), tmp_path / "site",
                  is_measured=False) as site:
        def with_a_part_back() -> str:
            there = Site(site.home, site.plan, site.store, site.bench.gateway)
            move_back(there, "segment:beta", "a bad cohort", "once")
            return "promote"

        run = site.carry_out("cutover", decisions=[with_a_part_back, "promote", "promote"])
        assert run.state_name == "Promoted"
        assert asked(site) == [("gradual-10", 1, "promote"), ("gradual-10", 2, "promote"),
                               ("gradual-50", 1, "promote")]
