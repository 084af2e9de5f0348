"""What the configuration has for gRPC, where a system speaks HTTP/2, and how the log is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from changeover.analysis.window import ErrorClass
from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.accesslog import classify, parse_line, refusal, statuses_of
from changeover.gateway.envoy import tap
from changeover.gateway.envoy.clusters import render_clusters
from changeover.gateway.envoy.config import render_bootstrap, render_routes
from changeover.gateway.files import GatewayFiles
from changeover.plan.comparing import ShadowSpec
from changeover.plan.model import Plan
from changeover.plan.procedures import RollbackSpec
from changeover.plan.statuses import GRPC_STATUSES

FILES = GatewayFiles(Path("/gateway"))
STATE = RoutingState("shop", mode=Mode.GRADUAL, weight=5_000)
LINE = {
    "t": "1700000000.25", "us": 60, "ms": 0, "s": 200, "f": "-", "r": "candidate:10000:unsafe",
    "u": "candidate_or_baseline", "c": "candidate", "h": "127.0.0.1:1", "n": 1, "k": "u",
    "m": "POST", "i": None, "b": 11, "d": "via_upstream",
}


def _plan(**candidate: Any) -> Plan:
    return Plan.model_validate({
        "migration": "shop",
        "systems": {"baseline": {"name": "old", "url": "http://127.0.0.1:1"},
                    "candidate": {"name": "new", "url": "http://127.0.0.1:2", **candidate}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}]})


def _options(plan: Plan, cluster: str) -> dict[str, Any]:
    found = {each["name"]: each for each in render_clusters(plan, FILES)["resources"]}[cluster]
    (options,) = found["typed_extension_protocol_options"].values()
    config: dict[str, Any] = options["explicit_http_config"]
    return config


def test_each_system_has_its_own_protocol() -> None:
    """HTTP/2 for the one that asks for it, HTTP/1.1 as ever for the other."""
    plan = _plan(protocol="http2")
    assert "http2_protocol_options" in _options(plan, "candidate")
    assert _options(plan, "baseline") == _options(_plan(), "baseline")


def test_second_hop_speaks_what_the_candidate_speaks() -> None:
    """Else streams both ways would be one message of HTTP/1.1 between two of HTTP/2."""
    plan = _plan(protocol="http2", concurrency=3)
    assert "http2_protocol_options" in _options(plan, "candidate")
    assert "http2_protocol_options" in _options(plan, "candidate_behind")


def test_tls_offers_http2() -> None:
    """A server that speaks both would else choose HTTP/1.1."""
    plan = _plan(protocol="http2", url="https://shop.example")
    clusters = {each["name"]: each for each in render_clusters(plan, FILES)["resources"]}
    context = clusters["candidate"]["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["alpn_protocols"] == ["h2"]


def test_calls_have_routes_and_a_field_in_the_log_only_where_they_are_possible() -> None:
    """A plan without HTTP/2 has the configuration that it always had."""
    for plan, is_there in ((_plan(), False), (_plan(protocol="http2"), True)):
        routes = json.dumps(render_routes(plan, STATE))
        assert ("application/grpc" in routes) is is_there
        assert ("GRPC_STATUS_NUMBER" in json.dumps(render_bootstrap(plan, FILES))) is is_there


@pytest.mark.parametrize(("number", "error", "statuses"), [
    (0, None, ("200", "OK")), (14, ErrorClass.STATUS_5XX, ("503", "UNAVAILABLE")),
    (4, ErrorClass.STATUS_5XX, ("504", "DEADLINE_EXCEEDED")), (5, None, ("404", "NOT_FOUND")),
    (99, ErrorClass.STATUS_5XX, ("500", "UNKNOWN")), (None, None, ("200",)), ("-", None, ("200",)),
], ids=str)
def test_status_of_a_call_is_read(
    number: object, error: ErrorClass | None, statuses: tuple[str, ...]
) -> None:
    """As HTTP's where it stands for one, and with its own name; a request that is none has none."""
    entry = parse_line(json.dumps({**LINE, "gs": number}).encode(), {})
    assert entry is not None
    outcome = classify(entry)
    assert outcome is not None and outcome.error is error
    assert outcome.is_user_error is (error is not None)
    assert statuses_of(entry) == statuses


def test_answer_of_the_gateway_itself_is_told_by_its_flags() -> None:
    """Nobody listens: Envoy answers a call with status 200 and 14 behind it."""
    entry = parse_line(json.dumps(
        {**LINE, "gs": 14, "f": "UF", "h": "127.0.0.1:1", "d": "upstream_reset"}).encode(), {})
    assert entry is not None and refusal(entry) is None
    outcome = classify(entry)
    assert outcome is not None and outcome.error is ErrorClass.CONNECT


def test_http_error_is_no_call() -> None:
    """A proxy's 502 in front of a server of gRPC stays what it is."""
    entry = parse_line(json.dumps({**LINE, "s": 502, "gs": 14}).encode(), {})
    assert entry is not None
    assert (entry.status, entry.grpc) == (502, None)


def test_every_status_of_grpc_is_known() -> None:
    """There are seventeen, numbered from 0."""
    assert sorted(GRPC_STATUSES) == list(range(17))


def test_subsets_of_a_request_are_no_status() -> None:
    """Both may stand in one line, each under a name of its own."""
    subsets = {"segment:beta": "segment:beta", "segment:old": None}
    entry = parse_line(json.dumps({**LINE, "g": subsets, "gs": "14"}).encode(), {})
    assert entry is not None
    assert (entry.grpc, entry.subsets) == ("UNAVAILABLE", frozenset({"segment:beta"}))
    assert parse_line(json.dumps({**LINE, "g": subsets}).encode(), {}) is not None


def test_copied_calls_have_the_limits_of_all_calls() -> None:
    """Whether a call is copied is a matter of chance: its deadline must not be."""
    plan = _plan(protocol="http2")
    shadow = ShadowSpec.model_validate({"sample": "50%", "replay_unsafe": ["POST /shop.Cart/Add"]})
    plan = plan.model_copy(update={"shadow": shadow})
    state = RoutingState("shop", mode=Mode.GRADUAL, weight=5_000, shadow_sample=5_000)
    found = render_routes(plan, state)["resources"][0]["virtual_hosts"][0]["routes"]
    copied = [each for each in found if tap.FILTER in each.get("typed_per_filter_config", {})
              and {"name": ":method", "string_match": {"exact": "POST"}}
              in each["match"]["headers"]]
    limits = ["max_stream_duration" in each["route"] for each in copied]
    assert limits == [True, False] * (len(limits) // 2) and limits


def test_only_calls_that_the_plan_names_as_streams_take_the_hop() -> None:
    """Others take the shorter way; without any the configuration is what it was."""
    plan = _plan(protocol="http2")
    named = plan.model_copy(update={"rollback": RollbackSpec.model_validate(
        {"streams": ["/shop.Feed/Watch", "/shop.Chat/*"]})})
    assert "_calls_" not in json.dumps([render_clusters(plan, FILES), render_routes(plan, STATE)])
    clusters = {each["name"]: each for each in render_clusters(named, FILES)["resources"]}
    assert "http2_protocol_options" in _options(named, "candidate_calls_-")
    assert clusters["candidate_calls_-"]["load_assignment"]["endpoints"] == (
        clusters["candidate_streams_-"]["load_assignment"]["endpoints"])
    found = render_routes(named, STATE)["resources"][0]["virtual_hosts"][0]["routes"]
    named_ones = [each["route"] for each in found
                  if r"/shop\\.Feed/Watch|/shop\\.Chat/[^/?]+" in json.dumps(each["match"])]
    assert all("max_stream_duration" in route for route in named_ones)
    # of users whom the split decides about, and of all others
    hops = ["candidate_or_baseline_calls_-" in json.dumps(route) for route in named_ones]
    assert hops == [True, False]
