"""The tap: which requests may be copied, and that users' routes stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.routing import BUCKETS, Mode, RoutingState
from changeover.gateway.envoy import tap
from changeover.gateway.envoy.config import render_bootstrap, render_routes
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan

Json = dict[str, Any]


def _plan(**shadow: Any) -> Plan:
    return Plan.model_validate({
        "migration": "bench",
        "systems": {"baseline": {"name": "old", "url": "http://127.0.0.1:1"},
                    "candidate": {"name": "new", "url": "http://127.0.0.1:2"}},
        "routing": {"segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
        "shadow": shadow or None,
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
    })


PLAN = _plan(methods=["GET", "HEAD"], replay_unsafe=["POST /ocr", "PUT /api/*", "GET /search"])
states = st.builds(
    RoutingState, migration=st.just("bench"), mode=st.sampled_from(Mode),
    weight=st.integers(0, BUCKETS), segments=st.sampled_from([(), ("beta",)]),
    maintenance=st.booleans(), shadow_sample=st.integers(0, BUCKETS),
)


def _routes(state: RoutingState, plan: Plan = PLAN) -> list[Json]:
    resource = render_routes(plan, state)["resources"][0]
    routes: list[Json] = resource["virtual_hosts"][0]["routes"]
    return routes


def _is_tapped(route: Json) -> bool:
    return "typed_per_filter_config" in route


def _method(route: Json) -> str | None:
    found = [h for h in route["match"]["headers"] if h["name"] == ":method"]
    exact: str | None = found[0]["string_match"].get("exact") if found else None
    return exact


@given(state=states)
def test_removing_the_twins_leaves_the_routes_without_a_tap(state: RoutingState) -> None:
    """The tap only adds routes: what is not sampled goes exactly where it went before."""
    plain = [route for route in _routes(state) if not _is_tapped(route)]
    assert plain == _routes(state, _plan())


@given(state=states)
def test_twin_treats_the_user_as_the_route_behind_it(state: RoutingState) -> None:
    """Name, target, timeout and retries of a tapped request are those of an untapped one."""
    routes = _routes(state)
    for place, twin in enumerate(routes):
        if not _is_tapped(twin):
            continue
        kind = "safe" if _method(twin) in ("GET", "HEAD", "OPTIONS") else "unsafe"
        behind = next(
            route for route in routes[place:]
            if not _is_tapped(route) and route["name"].endswith(f":{kind}")
        )
        assert (twin["name"], twin["route"]) == (behind["name"], behind["route"])


@given(state=states)
def test_twins_exist_only_where_the_baseline_may_answer(state: RoutingState) -> None:
    """Nothing is tapped without a sample, in other modes, or where only the candidate answers."""
    tapped = [route for route in _routes(state) if _is_tapped(route)]
    may_be = bool(state.shadow_sample) and not state.maintenance and state.mode in (
        Mode.SHADOW, Mode.PARALLEL, Mode.GRADUAL)
    assert bool(tapped) is may_be
    assert {route["name"].split(":")[0] for route in tapped} <= {"baseline", "split"}
    assert f"split:{BUCKETS}:safe" not in {route["name"] for route in tapped}


@given(state=states)
def test_twin_takes_the_sample_in_ten_thousandths(state: RoutingState) -> None:
    """The share is the state's own number; a sample of everything needs no chance."""
    for route in _routes(state):
        fraction = route["match"].get("runtime_fraction")
        if not _is_tapped(route) or state.shadow_sample == BUCKETS:
            assert fraction is None
        else:
            assert fraction["default_value"] == {
                "numerator": state.shadow_sample, "denominator": "TEN_THOUSAND"
            }


def test_listed_requests_and_no_others_have_twins() -> None:
    """Methods everywhere; unsafe ones on an exact path, or below one that ends in `*`."""
    tapped = [r for r in _routes(RoutingState("bench", mode=Mode.SHADOW, shadow_sample=1))
              if _is_tapped(r)]
    found = [(_method(r), r["match"].get("path"), r["match"].get("prefix")) for r in tapped]
    assert found == [
        ("GET", None, "/"), ("HEAD", None, "/"),
        ("POST", "/ocr", None), ("PUT", None, "/api/"), ("GET", "/search", None),
    ]


def test_event_streams_and_upgrades_come_before_or_beside_the_twins() -> None:
    """What never ends is never tapped: it would keep a stream of the tap for ever."""
    routes = _routes(RoutingState("bench", mode=Mode.SHADOW, shadow_sample=BUCKETS))
    first = next(place for place, route in enumerate(routes) if _is_tapped(route))
    streams = [place for place, route in enumerate(routes)
               if any(header["name"] == "accept" for header in route["match"]["headers"])]
    assert max(streams) < first
    assert all(tap.NOT_UPGRADED in r["match"]["headers"] for r in routes if _is_tapped(r))


@pytest.mark.parametrize("plan", [PLAN, _plan()], ids=["with shadow", "without"])
def test_filter_and_cluster_are_there_only_with_a_shadow_part(plan: Plan, tmp_path: Path) -> None:
    """A plan without shadow has nothing of the tap; with it, the filter is off by default."""
    static = render_bootstrap(plan, GatewayFiles(tmp_path))["static_resources"]
    manager = static["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    filters = {entry["name"]: entry for entry in manager["http_filters"]}
    assert list(filters)[-1] == "envoy.filters.http.router"
    assert (tap.FILTER in filters) is (plan.shadow is not None)
    clusters = [cluster["name"] for cluster in static["clusters"]]
    assert clusters == (["shadow"] if plan.shadow else [])
    if plan.shadow:
        found = filters[tap.FILTER]
        assert found["disabled"]
        assert found["typed_config"]["observability_mode"]
        assert found["typed_config"]["failure_mode_allow"]


def test_tap_socket_falls_back_to_a_short_path(tmp_path: Path) -> None:
    """A deep directory gets a socket that the system accepts; no two share one."""
    deep = [GatewayFiles(tmp_path / ("d" * 90) / name) for name in ("a", "b")]
    paths = {path for files in deep for path in (files.tap_socket, files.admin_socket)}
    assert len(paths) == 4
    assert all(len(str(path)) < 100 for path in paths)
