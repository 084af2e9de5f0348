"""How Envoy finds a request's part: one after the other, or by its path's beginning."""

from __future__ import annotations

from typing import Any

import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.envoy import parts
from changeover.plan.model import Plan
from tests.integration.conftest import make_plan

STATE = RoutingState("bench", mode=Mode.GRADUAL, weight=5_000)


def planned(*paths: dict[str, str]) -> Plan:
    """Return a plan with a part for each path."""
    return make_plan(routes=[{"name": f"part-{number}", "path": path}
                             for number, path in enumerate(paths)])


def names(matcher: dict[str, Any]) -> list[str]:
    """Return the parts of a list, in order."""
    return [each["on_match"]["action"]["name"] for each in matcher["matcher_list"]["matchers"]]


def test_few_parts_are_tried_in_order() -> None:
    """A plan with few parts has the configuration that it had."""
    plan = planned(*({"prefix": f"/p{number}"} for number in range(15)))
    matcher = parts.virtual_host(plan, STATE)["matcher"]
    assert names(matcher) == [f"part-{number}" for number in range(15)]


def test_many_parts_are_found_by_their_beginning() -> None:
    """Below each beginning stand, in the plan's order, the parts whose own beginning it has."""
    plan = planned(
        {"exact": "/orders/7"}, {"prefix": "/orders"}, {"template": "/orders/{id}/lines"},
        *({"prefix": f"/p{number}"} for number in range(13)))
    matcher = parts.virtual_host(plan, STATE)["matcher"]
    known = matcher["matcher_tree"]["prefix_match_map"]["map"]
    found = {key: names(each["matcher"]) for key, each in known.items() if "orders" in key}
    assert found == {"/orders": ["part-1"], "/orders/": ["part-1", "part-2"],
                     "/orders/7": ["part-0", "part-1", "part-2"]}
    assert matcher["on_no_match"]["action"]["name"] == "rest"


def test_a_part_without_a_beginning_stands_below_each() -> None:
    """Where that would make too many copies, all are tried in order."""
    paths = [{"regex": "/.*[.]csv"}, *({"prefix": f"/p{number}"} for number in range(15, 50))]
    matcher = parts.virtual_host(planned(*paths), STATE)["matcher"]
    known = matcher["matcher_tree"]["prefix_match_map"]["map"]
    assert names(known["/p20"]["matcher"]) == ["part-0", "part-6"]
    assert names(matcher["on_no_match"]["matcher"]) == ["part-0"]
    several = [{"regex": f"/.*[.]{end}"} for end in ("csv", "pdf", "txt")]
    assert "matcher_list" in parts.virtual_host(planned(*several, *paths), STATE)["matcher"]


@pytest.mark.parametrize("count", [3, 30])
def test_every_list_can_be_changed(count: int) -> None:
    """Back-pressure, limits and marks of load change each list of routes, wherever it stands."""
    plan = planned(*({"prefix": f"/p{number:02}"} for number in range(count)))
    host = parts.changed(parts.virtual_host(plan, STATE), lambda found: found[:1])
    assert str(host).count("'inline_cluster_specifier_plugin'") == count + 1
