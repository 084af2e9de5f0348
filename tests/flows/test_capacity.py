"""Before the baseline is made smaller: people are asked unless a rollback would still fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.suites import SuiteCheck, SuiteVerdict
from changeover.domain.verdict import Verdict
from changeover.store import approvals, routing, samples, steps, validations
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

LEVERS = {
    "halve": {"of": "baseline", "post": "/lever/halve", "shrinks": "baseline", "leaves": "50%"},
    "double": {"of": "baseline", "post": "/lever/double"},
    "least": {"of": "baseline", "post": "/lever/least", "shrinks": "baseline"},
}
PHASES = [
    {"phase": "gradual", "stages": [
        {"percent": 10, "soak": "0s"},
        {"percent": 50, "soak": "0s", "hooks": {"before": [{"lever": "halve", "undo": "double"}]},
         "approval": {"approvers": 1}}]},
    {"phase": "full", "soak": "0s"},
]


@pytest.fixture
def site(server: PrefectServer, tmp_path: Path) -> Iterator[SopSite]:
    """A cutover that halves the baseline, and at the end makes it as small as it can be."""
    with ExitStack() as stack:
        plan = make_plan(health_timeout="60s", phases=PHASES, levers=LEVERS,
                         cutover={"final": {"levers": ["least"]}})
        found = stack.enter_context(sop_site(server, plan, tmp_path / "site", is_measured=False))
        found.home.save_settings({"migration": "bench", "api_url": server.url})
        yield found


def arriving(site: SopSite, per_second: int) -> None:
    """Say that so many requests per second arrived in a minute of an hour ago."""
    minute = int((clock.now() - timedelta(hours=1)).timestamp()) // 60 * 60
    samples.write(site.store, "bench", [
        Sample("baseline", minute, 60, requests=60 * per_second),
        Sample("candidate", minute, 60, requests=0)])


def measured(site: SopSite, per_second: float, key: str) -> None:
    """Say that a load suite found the baseline to bear a rate."""
    now = clock.now()
    run = validations.begin(site.store, "bench", "load", key=key, now=now)
    row = {"rate": per_second, "answered_per_second": per_second, "sent": 100, "failed": 0}
    validations.save_check(site.store, SuiteCheck(
        run.id, 0, "load", "load", Verdict.PASS, "", {"baseline": [row]}, now, 0.0))
    validations.finish(site.store, run.id, verdict=SuiteVerdict.PASS, actor="test", now=now)


def asked(site: SopSite) -> list[tuple[str, int]]:
    return [(each.stage, each.round) for each in approvals.all_of(site.store, 1)]


def levers(site: SopSite) -> list[str]:
    return site.bench.ran("baseline")["levers"]


def test_people_are_asked_until_it_fits_or_they_go_on_all_the_same(site: SopSite) -> None:
    """A stage that needs no approval asks before its hook; nobody is moved and nothing is pulled
    meanwhile. What the last stage's people read is not asked once more."""
    seen: list[Any] = []

    def answered(decision: str, per_second: int = 0) -> Any:
        def decide() -> str:
            seen.append((routing.read(site.store, "bench").weight, levers(site)))
            if per_second:
                measured(site, per_second, f"run {per_second}")
            return decision
        return decide

    arriving(site, 100)
    run = site.carry_out("cutover", decisions=[
        answered("hold", 200), answered("hold", 400), answered("promote"), answered("promote")])
    assert run.state_name == "Promoted"
    assert asked(site) == [("capacity-before-gradual-50-1", 1), ("capacity-before-gradual-50-1", 2),
                           ("gradual-50", 1), ("capacity-final", 1)]
    first, second, stage, final = [each.question for each in approvals.all_of(site.store, 1)]
    assert "The baseline was last seen to answer 100 requests/s healthily" in first
    assert "leaves 50 % of it, 50 requests/s" in first
    assert "rolling back would NOT fit" in first
    assert "measured at 200 requests/s (load of suite load" in second
    assert "`halve` leaves 50 % of it, 100 requests/s" in second
    assert "rolling back would NOT fit" in second
    assert "rolling back would still fit" in stage
    assert "how much of that `least` leaves is not known" in final
    # until the question was answered: ten per cent, and no lever
    assert seen[:2] == [(1_000, []), (1_000, [])]
    assert levers(site) == ["halve", "least"]
    noted = steps.one(site.store, "bench", "cutover-1", "room for a rollback before-gradual-50-1")
    assert noted is not None
    assert noted.detail.endswith("rolling back would still fit")
    told = commands.changeover(site.home.root, "status")
    assert "WAY BACK AT RISK: " in told
    assert "how much of that `least` leaves is not known" in told


def test_a_rollback_instead_of_a_smaller_baseline_leaves_it_as_it_is(site: SopSite) -> None:
    """Nobody measured anything: the answer is to go back while the baseline has its size."""
    run = site.carry_out("cutover", decisions=["rollback"])
    assert run.state_name == "RolledBack"
    assert asked(site) == [("capacity-before-gradual-50-1", 1)]
    assert "Nobody has measured what the baseline bears" in approvals.all_of(
        site.store, 1)[0].question
    assert levers(site) == []
