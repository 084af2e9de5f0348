"""While a stage soaks, the observer says what its gates would say, and harm that is shown acts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from changeover import clock
from changeover.console.context import Console
from changeover.console.exposition import Meter
from changeover.console.kept import Kept
from changeover.console.pages import overview, rendering
from changeover.console.pages.ranges import DEFAULT
from changeover.console.pages.view import Look
from changeover.domain.rollout import Standing
from changeover.domain.routing import Mode
from changeover.domain.verdict import Verdict
from changeover.observer.standing_table import StandingTable
from changeover.observer.throttle import LogOnce
from changeover.site import status
from changeover.site.site import Site
from changeover.store import cutovers, firings, standings
from tests.integration.conftest import make_plan
from tests.integration.observer.conftest import Start, Watched
from tests.support.prefect_runs import Prefect
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

PHASES = [{"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "30s"}]}]
Begun = Callable[..., tuple[Watched, int]]
UNDECIDED = {
    "metric": "error_rate", "of": "candidate", "bound": "at most 2 × baseline",
    "verdict": "inconclusive", "value": 0.011, "samples": 900, "min_samples": 100,
    "baseline_value": 0.01, "baseline_samples": 1000,
    "interval": {"of": "ratio", "value": 1.1, "low": 0.5, "high": 2.2},
    "outlook": {"text": "about 40 minutes more", "seconds": 2400.0},
    "sequential": {"log_worse": -1.5, "log_bar": 4.605, "log_pass": 2.996,
                   "stage": {"log_better": 0.75}},
}


@pytest.fixture
def begun(start: Start) -> Begun:
    """Return a function that starts a stage of 50 % with one check on it."""
    def begin(**check: object) -> tuple[Watched, int]:
        # guardrails are off: what happens here is the gate's doing
        off = {name: {"off": "this test is about the gate"} for name in ("errors", "down")}
        watched = start(gates={"slo": [check]}, phases=PHASES, guardrails=off)
        cutover = cutovers.begin(watched.store, "bench", flow_run_id="a", now=clock.now())
        watched.move(Mode.GRADUAL, 5000)
        cutovers.enter_stage(watched.store, cutover.id, watched.plan.stages()[0], now=clock.now())
        return watched, cutover.id

    return begin


def standing(watched: Watched, cutover: int) -> Standing | None:
    """Return how the gate stands, once it was judged by some requests."""
    found = standings.of_stage(watched.store, cutover, "gradual-50")
    return found[0] if found and found[0].evidence[0]["samples"] > 20 else None


def test_status_page_and_metrics_say_what_the_gate_would_say_now(begun: Begun) -> None:
    """Before the soak ends, people and programs see each check with its numbers."""
    watched, cutover = begun(metric="error_rate", ratio_to_baseline=2)
    with watched.load():
        wait_for(lambda: standing(watched, cutover), what="the gate's standing")
        site = watched.site()
        found = status.collect(site, now=clock.now())
        console = Console(site, is_local=True)
        look = Look(site, DEFAULT, clock.now(), Kept())
        shown = rendering.render(overview.VIEW, look).sections["gates"]
        exposed = Meter(console).text().decode()
    (gate,) = found["gates"]
    (check,) = gate["checks"]
    assert (gate["stage"], check["metric"], check["standing"]) == (
        "gradual-50", "error_rate", "undecided")
    assert "gate slo: undecided: error_rate of candidate" in status.as_text(found)
    assert '<span class="chip inconclusive">undecided</span>' in shown
    labels = ('{check="1",gate="slo",metric="error_rate",migration="bench",on_fail="rollback",'
              'stage="gradual-50",subset=""}')
    assert f"changeover_check_standing{labels} 0.0" in exposed
    for name in ("value", "log_worse", "log_better"):
        assert f"changeover_check_{name}{labels} " in exposed


def test_harm_that_is_shown_rolls_back_before_the_soak_ends(begun: Begun) -> None:
    """A candidate that fails everybody needs no second half of its soak."""
    watched, _ = begun(metric="error_rate", ratio_to_baseline=2)
    watched.bench.fault("503")
    with watched.load():
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="the rollback")
    wait_for(watched.firings, what="the firing")
    (firing,) = firings.all_of(watched.store, "bench")
    assert (firing.trigger, str(firing.action)) == ("gate slo", "rollback")
    assert firing.evidence["sequential"]["log_worse"] > firing.evidence["sequential"]["log_bar"]


def test_early_fail_can_be_turned_off(begun: Begun) -> None:
    """Then harm is shown, and the gate decides at the soak's end."""
    watched, cutover = begun(metric="error_rate", ratio_to_baseline=2, early_fail=False)
    watched.bench.fault("503")

    def is_failing() -> bool:
        found = standing(watched, cutover)
        return found is not None and found.verdict == "fail"

    with watched.load():
        wait_for(is_failing, what="the harm")
    assert watched.state().mode is Mode.GRADUAL
    assert watched.firings() == []


def test_prefect_shows_a_table_of_the_gates_while_the_stage_soaks(
    site: Site, prefect: Prefect
) -> None:
    """A soaking run holds no process; its page has the numbers all the same, one table a stage."""
    run = prefect.start()
    plan = make_plan(gates={"slo": [{"metric": "error_rate", "ratio_to_baseline": 2}]},
                     phases=PHASES)
    site = Site(site.home, plan, site.store)
    cutover = cutovers.begin(site.store, "bench", flow_run_id=run, now=clock.now())
    cutovers.enter_stage(site.store, cutover.id, plan.stages()[0], now=clock.now())
    table = StandingTable(site, prefect.api, LogOnce())
    table.show()  # nothing was judged yet: there is nothing to show
    for reason in ("few requests", "still few"):
        standings.save(site.store, Standing(
            cutover.id, "gradual-50", "slo", clock.now(), Verdict.INCONCLUSIVE, reason,
            [UNDECIDED | {"reason": reason}]))
        table.show()
    found = prefect.post("/artifacts/filter", {"artifacts": {
        "key": {"any_": ["bench-now-gradual-50"]}}})
    (artifact,) = found
    assert (artifact["type"], artifact["flow_run_id"]) == ("table", run)
    (row,) = json.loads(artifact["data"])
    assert (row["now"], row["why"]) == ("undecided", "still few")
    assert row["95 %"] == "1.1 × baseline, 0.5 to 2.2"
    assert row["evidence"] == "harm -1.50 of 4.61, health 0.75 of 3.00"
    assert row["how much longer"] == "about 40 minutes more"
