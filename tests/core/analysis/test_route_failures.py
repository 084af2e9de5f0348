"""Which routes may go back alone when gates failed: none where anything else may be the cause."""

from __future__ import annotations

from typing import Any

import pytest

from changeover import clock
from changeover.analysis.route_failures import failed_routes
from changeover.domain.rollout import GateVerdict
from changeover.domain.verdict import Verdict

FAIL, PASS = Verdict.FAIL, Verdict.PASS


def check(
    verdict: Verdict = FAIL, of: str | None = "route:orders", **changes: Any
) -> dict[str, Any]:
    """Return a check's evidence as it is stored."""
    return {"metric": "error_rate", "verdict": str(verdict), "subset": of, **changes}


def gate(name: str, *evidence: dict[str, Any], verdict: Verdict = FAIL) -> GateVerdict:
    """Return the verdict of a gate."""
    return GateVerdict(1, "gradual-orders-50", name, 1, 0, verdict, "so", clock.now(),
                       list(evidence))


def test_a_route_whose_own_requests_failed_goes_back_alone() -> None:
    """Other checks of its gate that passed, or decide nothing, do not matter."""
    mine = gate("slo.orders", check(), check(PASS, None), check(on_fail="show", of=None),
                check(on_fail="ask", of=None))
    assert failed_routes(["orders"], [mine]) == ("orders",)
    other = gate("slo.search", check(PASS, "route:search"), verdict=PASS)
    assert failed_routes(["orders", "search"], [mine, other]) == ("orders",)


def test_all_routes_that_failed_go_back_each_once() -> None:
    """Two gates of the same route are one reason."""
    judged = [gate("slo.orders", check()), gate("fast.orders", check()),
              gate("slo.search", check(of="route:search"))]
    assert failed_routes(["orders", "search"], judged) == ("orders", "search")


@pytest.mark.parametrize("judged", [
    [gate("slo.orders", check(), check(of=None))],
    [gate("slo.orders", check(of="route:login"))],
    [gate("slo.orders", check()), gate("slo.search", check(of=None))],
    [gate("slo", check())],
    [gate("slo.other", check(of="route:other"))],
    [gate("slo.orders", check(PASS))],
    [gate("slo.orders", check(group={"verdict": "fail"}),
          check(PASS, None, group={"verdict": "fail"}))],
    [],
], ids=["whole systems, too", "another route's requests", "another gate of whole systems",
        "a gate of everything", "a route of another stage", "nobody knows which check",
        "a group with a check of whole systems", "nothing failed"])
def test_when_in_doubt_nobody_goes_back_alone(judged: list[GateVerdict]) -> None:
    """Then everyone goes back, as for every other gate."""
    assert failed_routes(["orders", "search"], judged) == ()
