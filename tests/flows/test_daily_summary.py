"""The daily summary as a flow: sent once a day, however often it runs and wherever it is killed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.messages import Severity
from changeover.domain.rollout import Approval
from changeover.store import approvals, cutovers, messages, report_files
from tests.integration.conftest import make_plan
from tests.support.sop_site import PrefectServer, sop_site

pytestmark = [pytest.mark.integration]


def test_people_get_one_summary_a_day(server: PrefectServer, tmp_path: Path) -> None:
    """Killed at every point and run again, it has put one message, with what waits and since when.
    """
    plan = make_plan(notify=[{"webhook": "http://127.0.0.1:9/hook"}])
    with sop_site(server, plan, tmp_path / "site", is_measured=False) as site:
        now = clock.now()
        cutover = cutovers.begin(site.store, "bench", flow_run_id="run", now=now)
        stage = plan.stages()[0]
        cutovers.enter_stage(site.store, cutover.id, stage, now=now)
        cutovers.wait_for_approval(site.store, cutover.id, stage.key)
        approvals.ask(site.store, Approval(
            cutover.id, stage.key, 1, 1, 0, "Leave it?", now - timedelta(hours=3)))

        run = site.carry_out("daily-summary", kills=True)
        again = site.carry_out("daily-summary")

        assert (run.state_name, again.state_name) == ("Completed", "Completed")
        sent = [each for each in messages.newest(site.store, "bench")
                if each.key.startswith("daily-summary-")]
        (summary,) = sent
        assert summary.severity is Severity.WARNING
        assert "1 thing waiting for people" in summary.title
        assert "waits for approval 1, for 3 h" in summary.body
        report = report_files.latest(site.store, "bench", "daily")
        assert report is not None and Path(report.html_path).exists()
        # also right behind the message, before the run could say that it had put it
        assert any("after put daily-summary-" in point for point in site.killed)
