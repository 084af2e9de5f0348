"""Where a system listens, in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.envoy.clusters import render_clusters
from changeover.gateway.envoy.config import render_routes
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.procedures import curling

TWO = ["10.0.0.1:80", {"address": "10.0.0.2:80", "weight": 3}]


def _plan(name: str, **own: Any) -> Plan:
    systems = {"baseline": {"name": "old", "url": "http://127.0.0.1:1"},
               "candidate": {"name": "new", "url": "http://127.0.0.1:2"}}
    systems[name] |= own
    return Plan.model_validate({
        "migration": "shop", "systems": systems,
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}]})


def _cluster(plan: Plan, name: str) -> dict[str, Any]:
    rendered = render_clusters(plan, GatewayFiles(Path("/gateway")))["resources"]
    found: dict[str, Any] = {each["name"]: each for each in rendered}[name]
    return found


@pytest.mark.parametrize(("name", "panic"), [("baseline", 1), ("candidate", 0)])
def test_addresses_are_asked_for_their_health(name: str, panic: int) -> None:
    """The candidate without a good one has the baseline behind it; the baseline has nobody."""
    cluster = _cluster(_plan(name, addresses=TWO), name)
    hosts = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert [host["load_balancing_weight"] for host in hosts] == [1, 3]
    assert {host["metadata"]["filter_metadata"]["changeover"]["system"] for host in hosts} == {name}
    assert cluster["common_lb_config"]["healthy_panic_threshold"]["value"] == panic
    assert cluster["health_checks"][0]["http_health_check"]["path"] == "/health"
    assert cluster["load_assignment"]["policy"]["overprovisioning_factor"] >= 100_000
    assert "outlier_detection" in cluster


def test_plan_without_addresses_is_as_ever() -> None:
    """No address is asked by the gateway, and a second attempt chooses as it always did."""
    plan = _plan("candidate")
    assert "health_checks" not in _cluster(plan, "baseline")
    state = RoutingState("shop", mode=Mode.GRADUAL, weight=5_000)
    assert "retry_host_predicate" not in str(render_routes(plan, state))
    assert "retry_host_predicate" in str(render_routes(_plan("baseline", addresses=TWO), state))


@pytest.mark.parametrize(("own", "kind"), [
    ({"addresses": ["shop:80"], "dns": "logical"}, "LOGICAL_DNS"),
    ({"addresses": ["shop:80"]}, "STRICT_DNS"), ({"url": "unix:///run/a.sock"}, "STATIC"),
])
def test_kind_of_cluster(own: dict[str, Any], kind: str) -> None:
    """How Envoy finds the hosts."""
    assert _cluster(_plan("candidate", **own), "candidate")["type"] == kind


def test_grpc_health_is_asked_in_grpc() -> None:
    """Of a system whose plan says so."""
    plan = _plan("candidate", addresses=TWO, protocol="http2",
                 health="/grpc.health.v1.Health/Check")
    assert "grpc_health_check" in _cluster(plan, "candidate")["health_checks"][0]


def test_curl_asks_one_address_after_the_other() -> None:
    """The rollback script asks whether anything of the baseline answers."""
    system = _plan("baseline", addresses=TWO).systems.baseline
    first, second = (
        f"curl -sf -m 1.0 --noproxy '*' --connect-to ::10.0.0.{number}:80 -o /dev/null "
        "http://127.0.0.1:1/health" for number in (1, 2))
    assert curling.health(system, "1.0") == f"{{ {first} || {second}; }}"
    alone = _plan("baseline", url="unix:///run/a.sock").systems.baseline
    assert "--unix-socket /run/a.sock" in curling.health(alone, "1.0")
