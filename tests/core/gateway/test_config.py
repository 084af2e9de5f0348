"""The configuration that is rendered for each routing state."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover import clock
from changeover.domain.routing import BUCKETS, Mode, RoutingState, System
from changeover.gateway.envoy import time_limits
from changeover.gateway.envoy.choice import BEHIND, CANDIDATE_FIRST, MEANT, meant
from changeover.gateway.envoy.clusters import render_clusters
from changeover.gateway.envoy.config import (
    parse_version,
    render_bootstrap,
    render_routes,
    started_with,
    version_of,
)
from changeover.gateway.envoy.hop import NOT_SENT
from changeover.gateway.envoy.withheld import withheld
from changeover.gateway.files import GatewayFiles
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.plan.routing import LimitsSpec
from changeover.plan.systems import SystemSpec
from changeover.store import plans
from tests.support.ready_store import ready_store

ROOT = Path(__file__).parents[3]
PLAN = Plan.model_validate({
    "migration": "bench",
    "systems": {
        "baseline": {"name": "old", "url": "http://127.0.0.1:1", "timeout": "3s"},
        "candidate": {"name": "new", "url": "http://127.0.0.1:2", "concurrency": 7,
                      "timeout": "2s", "attempt_timeout": "250ms"},
    },
    "routing": {"segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
    "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
})
FILES = GatewayFiles(Path("/tmp/gateway"))  # noqa: S108  a name only: nothing is written
states = st.builds(
    RoutingState, migration=st.just("bench"), mode=st.sampled_from(Mode),
    weight=st.integers(0, BUCKETS), segments=st.sampled_from([(), ("beta",)]),
    maintenance=st.booleans(), version=st.integers(0, 10**6), epoch=st.integers(0, 1000),
)


def _routes(state: RoutingState) -> list[dict[str, Any]]:
    resource = render_routes(PLAN, state)["resources"][0]
    routes: list[dict[str, Any]] = resource["virtual_hosts"][0]["routes"]
    return routes


def _groups(route: dict[str, Any]) -> list[list[dict[str, Any]]]:
    specifier = route["route"]["inline_cluster_specifier_plugin"]["extension"]["typed_config"]
    return [group["clusters"] for group in specifier["priority_groups"]]


@given(state=states)
def test_weights_are_never_zero_and_fill_the_buckets(state: RoutingState) -> None:
    """Envoy's choice is modulo the sum, so a split sums to the buckets and omits empty shares."""
    for route in _routes(state):
        if "route" not in route:
            continue
        first, safe = _groups(route)
        assert all(choice["weight"] >= 1 for choice in first)
        assert sum(choice["weight"] for choice in first) in (1, BUCKETS)
        assert {BEHIND.get(choice["cluster_name"], [choice["cluster_name"]])[0]
                for choice in safe} == {"baseline"}


@given(state=states, is_withheld=st.booleans())
def test_both_attempts_say_who_was_meant(state: RoutingState, is_withheld: bool) -> None:
    """The second attempt and back-pressure draw from the same shares, under names that say so."""
    rendered = render_routes(PLAN, state)
    if is_withheld:
        rendered = withheld(rendered, {None: "3s"})
    for route in rendered["resources"][0]["virtual_hosts"][0]["routes"]:
        if "route" not in route:
            continue
        target, weight, _ = route["name"].split(":")
        shares = {"candidate": {System.CANDIDATE: 1}, "baseline": {System.BASELINE: 1}}.get(
            target, {System.CANDIDATE: int(weight), System.BASELINE: BUCKETS - int(weight)})
        for group in _groups(route):
            found = {meant(choice["cluster_name"]): choice["weight"] for choice in group}
            assert found == {system: share for system, share in shares.items() if share}
        named = {choice["cluster_name"] for choice in _groups(route)[0]}
        assert not (is_withheld and any(name.startswith(CANDIDATE_FIRST) for name in named))
        second = {choice["cluster_name"] for choice in _groups(route)[1]}
        assert not any(name.startswith(CANDIDATE_FIRST) for name in second)


@given(state=states)
def test_back_pressure_leaves_the_gateways_own_answers_alone(state: RoutingState) -> None:
    """413 stays the first answer of each list, and a rollback can be written at any time."""
    limits = LimitsSpec.model_validate({"body": "1MB"})
    plan = PLAN.model_copy(update={"routing": PLAN.routing.model_copy(update={"limits": limits})})
    rendered = render_routes(plan, state)
    without = withheld(rendered, time_limits.beginnings(plan))
    said = '"status": 413'
    assert json.dumps(without).count(said) == json.dumps(rendered).count(said) > 0


@given(state=states)
def test_candidate_stands_first_in_every_split(state: RoutingState) -> None:
    """Low buckets are the candidate's."""
    for route in _routes(state):
        if route["name"].startswith("split"):
            assert _groups(route)[0][0]["cluster_name"].startswith("candidate_or_baseline")


@given(state=states)
def test_routes_end_with_one_that_takes_everything(state: RoutingState) -> None:
    """No request is left without an answer."""
    assert not _routes(state)[-1]["match"].get("headers")


@given(state=states)
def test_unsafe_methods_are_retried_only_when_nothing_was_sent(state: RoutingState) -> None:
    """A request that may have run is not sent again."""
    for route in _routes(state):
        if route["name"].endswith("unsafe"):
            policy = route["route"]["retry_policy"]
            asked = set(policy["retry_on"].split(",")) - {"retriable-headers"}
            assert asked == {"connect-failure", "refused-stream", "reset-before-request"}
            named = [header["name"] for header in policy.get("retriable_headers", [])]
            assert set(named) <= {NOT_SENT}
            assert policy["per_try_timeout"] in ("3s", "0s")


@given(state=states)
def test_maintenance_replaces_all_routes(state: RoutingState) -> None:
    """During maintenance nobody reaches a system."""
    names = {route["name"] for route in _routes(state)}
    assert (names == {"maintenance:0:all"}) is state.maintenance


@given(state=states)
def test_version_returns_from_its_text(state: RoutingState) -> None:
    """What Envoy reports is the state's place in the order."""
    assert parse_version(version_of(state)) == state.order


@given(state=states)
def test_rendering_is_plain_json(state: RoutingState) -> None:
    """Everything that is rendered can be written."""
    assert json.loads(json.dumps(render_routes(PLAN, state)))["version_info"] == version_of(state)


@pytest.mark.parametrize("weight", [0, BUCKETS], ids=["0 %", "100 %"])
def test_other_cluster_is_left_out_at_the_ends(weight: int) -> None:
    """At 0 % the candidate is named nowhere; at 100 % the baseline only behind it."""
    routes = _routes(RoutingState("bench", mode=Mode.GRADUAL, weight=weight))
    named = {choice["cluster_name"] for route in routes if route["name"].startswith("split")
             for choice in _groups(route)[0]}
    assert {meant(name) for name in named} == ({System.CANDIDATE} if weight else set())


def test_every_cluster_of_the_candidate_may_retry_all_requests() -> None:
    """Envoy's default of three concurrent retries fails users when the candidate dies.

    What was meant for the baseline goes there twice, which a slow baseline must be spared.
    """
    for cluster in render_clusters(PLAN, FILES)["resources"]:
        budget = cluster["circuit_breakers"]["thresholds"][0]["retry_budget"]
        percent, least = (20, 10) if cluster["name"] == "baseline" else (100, 100)
        assert budget == {"budget_percent": {"value": percent}, "min_retry_concurrency": least}


def test_concurrency_limits_the_candidate_only() -> None:
    """The plan's limit is the circuit breaker; without one there is practically none."""
    most = {
        cluster["name"]: cluster["circuit_breakers"]["thresholds"][0]["max_requests"]
        for cluster in render_clusters(PLAN, FILES)["resources"]
    }
    assert {name: limit for name, limit in most.items() if limit != 100_000} == {
        "candidate_behind": 7}
    assert {"baseline", "candidate", "candidate_or_baseline", "baseline_instead"} <= set(most)


def test_what_stands_in_for_the_candidate_has_no_hosts_of_its_own() -> None:
    """Connections, limits, ejections and statistics of the baseline stay those of one cluster."""
    clusters = {found["name"]: found for found in render_clusters(PLAN, FILES)["resources"]}
    assert set(MEANT) <= set(clusters)
    for name, behind in BEHIND.items():
        assert "load_assignment" not in clusters[name]
        assert clusters[name]["cluster_type"]["typed_config"]["clusters"] == behind


def test_timeouts_are_the_plans() -> None:
    """The longer of both systems bounds the beginning, a safe attempt is the candidate's."""
    routes = _routes(RoutingState("bench", mode=Mode.CANDIDATE_ONLY, weight=BUCKETS))
    by_name = {route["name"]: route["route"] for route in routes}  # the last of a name has limits
    assert by_name["candidate:10000:unsafe"]["retry_policy"]["per_try_timeout"] == "3s"
    assert by_name["candidate:10000:safe"]["retry_policy"]["per_try_timeout"] == "0.25s"
    assert {action["timeout"] for action in by_name.values()} == {"0s"}
    assert {action["idle_timeout"] for action in by_name.values()} == {"300s"}


@pytest.mark.parametrize(("given", "beginning", "attempt"), [
    pytest.param({"timeout": "2s", "attempt_timeout": "9s"}, "2s", "2s", id="attempt-longer"),
    pytest.param({"timeout": 0, "attempt_timeout": "9s"}, "0s", "9s", id="for-ever"),
    pytest.param({"timeout": "2s", "attempt_timeout": 0}, "2s", "2s", id="no-attempt"),
    pytest.param({"timeout": 0, "attempt_timeout": 0}, "0s", "0s", id="no-limit-at-all"),
])
def test_no_limit_is_longer_than_any(given: dict[str, Any], beginning: str, attempt: str) -> None:
    """`0` is for ever, and an attempt is never longer than what a system has."""
    systems = PLAN.systems.model_copy(update={
        "baseline": PLAN.systems.baseline.model_copy(update={"timeout": timedelta(seconds=1)}),
        "candidate": SystemSpec.model_validate(
            {"name": "new", "url": "http://127.0.0.1:2", **given}),
    })
    plan = PLAN.model_copy(update={"systems": systems})
    assert (time_limits.beginning(plan), time_limits.attempt(plan)) == (beginning, attempt)


def test_sockets_have_options_where_the_system_knows_them() -> None:
    """Only Linux ends users who take nothing, and only when silence is limited."""
    spec = PLAN.systems.baseline
    endless = {name: spec.model_copy(update={"silence": timedelta(0)})
               for name in ("baseline", "candidate")}
    silent = PLAN.model_copy(update={"systems": PLAN.systems.model_copy(update=endless)})
    assert time_limits.sockets(PLAN, "darwin") == []
    assert {option["name"] for option in time_limits.sockets(silent, "linux")} == {25}
    assert {option["name"]: option["int_value"]
            for option in time_limits.sockets(PLAN, "linux")}[18] == 240_000


def test_admin_socket_falls_back_to_a_short_path(tmp_path: Path) -> None:
    """A deep directory still gets a socket that the system accepts, its own one."""
    deep = [GatewayFiles(tmp_path / ("d" * 90) / name).admin_socket for name in ("a", "b")]
    assert all(len(str(path)) < 100 for path in deep)
    assert deep[0] != deep[1]


def test_salt_is_written_at_the_edge_only_when_the_plan_has_one(tmp_path: Path) -> None:
    """Clients' copies of our headers are always removed."""
    salted = PLAN.model_copy(update={"routing": PLAN.routing.model_copy(update={"salt": "s"})})
    texts = [json.dumps(render_bootstrap(p, GatewayFiles(tmp_path))) for p in (PLAN, salted)]
    assert ["s%REQ(X-USER-ID)%" in text for text in texts] == [False, True]
    assert all('{"remove": "x-changeover-key"}' in text for text in texts)


@pytest.mark.parametrize("name", sorted(each.name for each in (ROOT / "plans").glob("*.yaml")))
def test_the_stored_plan_is_what_the_gateway_was_started_with(name: str, tmp_path: Path) -> None:
    """`up` starts Envoy by the plan's file, and flows ask by the store's whether it still is."""
    plan = load_plan(ROOT / "plans" / name)
    with contextlib.closing(ready_store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        plans.register(store, plan, source=name, now=clock.now())
        stored = plans.load(store, plan.migration)
    bootstrap = render_bootstrap(plan, FILES)
    assert started_with(bootstrap) == started_with(render_bootstrap(stored, FILES))
    other = plan.model_copy(update={
        "routing": plan.routing.model_copy(update={"listen": "127.0.0.1:9"})})
    assert started_with(bootstrap) != started_with(render_bootstrap(other, FILES))
