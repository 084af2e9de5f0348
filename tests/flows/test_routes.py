"""A cutover moves one path first and alone, then everything else, and in full all but `never`."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from changeover.store import audit, cutovers, routing, verdicts
from tests.integration.conftest import make_plan
from tests.support.processes import LONGEST_PAUSE
from tests.support.sop_site import PrefectServer, sop_site

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
