"""A cutover moves one path first and alone, then everything else, and in full all but `never`."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from changeover.analysis.window import Measurements, Sample
from changeover.domain.routing import RoutingState
from changeover.store import audit, cutovers, routing, samples, verdicts
from tests.integration.conftest import make_plan
from tests.support.processes import LONGEST_PAUSE
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]
ROUTES = [{"name": "login", "path": {"exact": "/login"}, "move": "never"},
          {"name": "orders", "path": {"prefix": "/orders"}}]
PHASES = [
    {"phase": "gradual", "routes": ["orders"], "gates": ["slo"],
     "stages": [{"percent": 50, "soak": "0s"}, {"percent": 100, "soak": "0s", "gates": []}]},
    {"phase": "gradual", "stages": [{"percent": 25, "soak": "0s"}]},
    {"phase": "full", "soak": "0s"},
]
GATES = {"slo": [{"metric": "error_rate", "below": "1%", "on_fail": "show"}]}
WHERE = ["gradual 0 %, route orders 50 %", "gradual 0 %, route orders 100 %",
         "gradual 25 %, route orders 100 %", "candidate_only"]


def test_cutover_moves_a_route_and_then_the_rest(server: PrefectServer, tmp_path: Path) -> None:
    """Each stage moves its part and nothing else, and the route has a verdict of its own."""
    plan = make_plan(health_timeout="60s", routes=ROUTES, phases=PHASES, gates=GATES,
                     patience={"rechecks": 0})
    with sop_site(server, plan, tmp_path, is_measured=False) as site:
        run = site.start("cutover")
        # nobody measures here: the gate has no data, and people are asked
        assert site.until_it_waits("cutover", run).state_type == "PAUSED"
        site.answer(run, "promote")
        assert site.carry_on("cutover", run).state_name == "Promoted"
        moves = [each.data["to"].partition(" (version")[0]
                 for each in audit.events(site.store, "bench") if each.kind == "routing.changed"]
        assert moves == WHERE
        cutover = cutovers.latest(site.store, "bench")
        assert cutover is not None
        judged = [(each.stage, each.gate) for each in verdicts.all_of(site.store, cutover.id)
                  if each.gate.startswith("slo")]
        assert judged == [("gradual-orders-50", "slo.orders")]
        assert routing.read(site.store, "bench").routes == (("orders", 10_000),)
        with httpx.Client(base_url=site.bench.url, timeout=LONGEST_PAUSE) as client:
            served = {path: client.get(path).json()["served_by"]
                      for path in ("/", "/orders/1", "/login")}
        assert served == {"/": "candidate", "/orders/1": "candidate", "/login": "baseline"}


ONE_BY_ONE = [{"name": name, "path": {"prefix": f"/{name}"}} for name in ("search", "orders")]
ONE_FAILS = [
    {"phase": "gradual", "routes": ["search"], "stages": [{"percent": 100, "soak": "0s"}]},
    {"phase": "gradual", "routes": ["orders"], "gates": ["slo"],
     "stages": [{"percent": 50, "soak": "12s"}]}]


def fail_orders(site: SopSite, cutover_id: int) -> None:
    """Store that half of the candidate's orders failed while the stage soaked; search was well."""
    (record,) = [each for each in cutovers.stages(site.store, cutover_id)
                 if each.key == "gradual-orders-50"]
    met = {"route:orders": Measurements(requests=20, errors={"status_5xx": 10}),
           "route:search": Measurements(requests=500)}
    begun = int(record.entered_at.timestamp())
    samples.write(site.store, "bench", [
        Sample("candidate", at, requests=520, errors={"status_5xx": 10}, subsets=met)
        for at in range(begun, int(record.soak_until.timestamp()) + 1)])


def test_gate_that_fails_by_one_route_takes_this_route_back(
    server: PrefectServer, tmp_path: Path
) -> None:
    """Also when its process is killed meanwhile: the other route stays, audit and messages say it
    once, and people are asked; they give the route its share again.
    """
    plan = make_plan(
        health_timeout="60s", routes=ONE_BY_ONE, phases=ONE_FAILS, patience={"rechecks": 0},
        gates={"slo": [{"metric": "error_rate", "below": "1%", "over": "12s", "min_samples": 5}]})
    asked: list[RoutingState] = []

    with sop_site(server, plan, tmp_path, is_measured=False) as site:
        def promote() -> str:
            asked.append(routing.read(site.store, "bench"))
            return "promote"

        run = site.start("cutover")
        assert site.until_it_waits("cutover", run).state_name == "Soaking"
        cutover = cutovers.latest(site.store, "bench")
        assert cutover is not None
        fail_orders(site, cutover.id)
        ended = site.carry_on("cutover", run, decisions=[promote, promote])
        assert ended.state_name == "Promoted"
        assert [(each.routes, each.kept_routes, each.epoch) for each in asked] == [
            ((("search", 10_000),), ("orders",), 0),
            ((("orders", 5_000), ("search", 10_000)), (), 0)]
        (event,) = [each for each in audit.events(site.store, "bench")
                    if each.kind == "rollback.partial"]
        assert event.data["scope"] == "route:orders"
        assert "the gate of stage gradual-orders-50 failed: error_rate" in event.data["reason"]
