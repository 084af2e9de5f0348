"""The second hop before a system: who has one, and what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from changeover.domain.routing import Mode, RoutingState, System
from changeover.gateway.envoy import hop, streams
from changeover.gateway.envoy.clusters import render_clusters
from changeover.gateway.envoy.config import render_bootstrap, render_routes
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.procedures import curling

FILES = GatewayFiles(Path("/gateway"))
STATE = RoutingState("shop", mode=Mode.GRADUAL, weight=5_000)


def _plan(baseline: dict[str, Any], candidate: dict[str, Any]) -> Plan:
    return Plan.model_validate({
        "migration": "shop", "systems": {
            "baseline": {"name": "old", "url": "http://127.0.0.1:1", **baseline},
            "candidate": {"name": "new", "url": "http://127.0.0.1:2", **candidate}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}]})


def _clusters(plan: Plan) -> dict[str, Any]:
    return {each["name"]: each for each in render_clusters(plan, FILES)["resources"]}


def _hosts_in(listener: dict[str, Any]) -> dict[str, Any]:
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    found: dict[str, Any] = manager["route_config"]["virtual_hosts"][0]
    return found


@pytest.mark.parametrize(("baseline", "candidate", "behind"), [
    ({}, {}, set()), ({"concurrency": 5}, {}, set()), ({"url": "http://127.0.0.1:1/"}, {}, set()),
    ({}, {"concurrency": 5}, {"candidate_behind"}),
    ({"url": "http://127.0.0.1:1/v1"}, {}, {"baseline_behind"}),
    ({"host": "old.example"}, {"url": "http://127.0.0.1:2/v2"},
     {"baseline_behind", "candidate_behind"}),
])
def test_only_who_needs_a_second_hop_has_one(
    baseline: dict[str, Any], candidate: dict[str, Any], behind: set[str]
) -> None:
    """Requests to all others go straight; the users' listener is ready for a plan that has one."""
    plan = _plan(baseline, candidate)
    assert {name for name in _clusters(plan) if name.endswith("_behind")} == behind
    served = [each["name"] for each in streams.render(plan, FILES, {})["resources"]]
    assert {name for name in served if name.endswith("_hop")} == {
        name.replace("_behind", "_hop") for name in behind}
    text = json.dumps([render_bootstrap(plan, FILES), render_routes(plan, STATE)])
    assert "header_to_metadata" in text
    assert f'["{hop.NOT_SENT}"]' in text


def test_what_the_systems_own_cluster_had_is_behind_the_hop() -> None:
    """Addresses with their health, below the path; the breaker of the baseline stays in front."""
    clusters = _clusters(_plan(
        {"url": "http://old.internal/v1", "addresses": ["10.0.0.1:80", "10.0.0.2:80"],
         "concurrency": 7, "health": "/up"}, {}))
    check = clusters["baseline_behind"]["health_checks"][0]["http_health_check"]
    assert (check["path"], check["host"]) == ("/v1/up", "old.internal")
    most = {name: clusters[name]["circuit_breakers"]["thresholds"][0]["max_requests"]
            for name in ("baseline", "baseline_behind")}
    assert most == {"baseline": 7, "baseline_behind": 100_000}
    assert "outlier_detection" not in clusters["baseline"]


def test_hop_adds_the_path_and_names_the_host() -> None:
    """Of each request, long connections among them; no system sees how they were before."""
    plan = _plan({}, {"url": "http://127.0.0.1:2/v2", "host": "new.example"})
    (own,) = hop.listeners(plan, FILES)
    long = streams.render(plan, FILES, {})["resources"][0]
    for listener in (own, long):
        action = _hosts_in(listener)["routes"][0]["route"]
        assert action["prefix_rewrite"] == "/v2/"
        assert action["host_rewrite_literal"] == "new.example"
        assert action["cluster"] == "candidate_behind"
    assert '"suppress_envoy_headers": true' in json.dumps(own)


def test_second_attempt_at_a_baseline_of_several_addresses_is_made_behind_the_hop() -> None:
    """Only there it is known which address was asked; unsafe ones only when nothing was sent."""
    plan = _plan({"url": "http://old.internal/v1", "addresses": ["10.0.0.1:80", "10.0.0.2:80"]}, {})
    (own,) = hop.listeners(plan, FILES)
    safe, other = _hosts_in(own)["routes"]
    assert safe["match"]["headers"][0]["name"] == ":method"
    assert "5xx" in safe["route"]["retry_policy"]["retry_on"]
    assert "5xx" not in other["route"]["retry_policy"]["retry_on"]
    for route in (safe, other):
        assert "retry_host_predicate" in route["route"]["retry_policy"]
        assert route["route"]["prefix_rewrite"] == "/v1/"


def test_curl_asks_below_the_path_and_names_the_host() -> None:
    """The rollback script's health check and its levers."""
    plan = _plan({"url": "http://127.0.0.1:1/v1", "host": "old.example"},
                 {"url": "https://10.0.0.8:8443/v2", "tls": {"server_name": "new.internal"}})
    assert curling.health(plan.systems.baseline, "1.0") == (
        "curl -sf -m 1.0 --noproxy '*' -H 'host: old.example' -o /dev/null "
        "http://127.0.0.1:1/v1/health")
    candidate = plan.system(System.CANDIDATE)
    assert curling.address(candidate, "/x") == "https://new.internal:8443/v2/x"
    assert "host: 10.0.0.8:8443" in curling.arguments(candidate)
    socket = _plan({"url": "unix:///run/a.sock", "host": "old.example"}, {}).systems.baseline
    assert curling.arguments(socket)[2:] == [
        "--unix-socket", "/run/a.sock", "-H", "host: old.example"]
