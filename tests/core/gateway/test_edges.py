"""The PROXY protocol and limits are in the configuration of plans that name them only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.envoy.config import render_bootstrap, render_routes
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan

FILES = GatewayFiles(Path("/gateway"))


def _plan(**routing: Any) -> Plan:
    return Plan.model_validate({
        "migration": "shop", "routing": routing,
        "systems": {"baseline": {"name": "old", "url": "http://127.0.0.1:1"},
                    "candidate": {"name": "new", "url": "http://127.0.0.1:2"}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}]})


def _listener(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = render_bootstrap(plan, FILES)["static_resources"]["listeners"][0]
    return found


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "0.0.0.0:80"])
def test_balancer_that_knows_no_headers_is_no_trusted_hop(listen: str) -> None:
    """Unless the plan says so: what headers say then, users said."""
    assert "listener_filters" not in _listener(_plan(listen=listen))
    for hops, expected in ((None, 0), (1, 1)):
        listener = _listener(_plan(listen=listen, proxy_protocol=True, trusted_hops=hops))
        (chain,) = listener["filter_chains"]
        assert chain["filters"][0]["typed_config"]["xff_num_trusted_hops"] == expected
        assert len(listener["listener_filters"]) == 1


def test_limits_are_there_for_plans_that_have_them() -> None:
    """The length is tested before everything else, in every state."""
    state = RoutingState("shop", mode=Mode.GRADUAL, weight=5_000)
    assert "content-length" not in json.dumps(render_routes(_plan(), state))
    plan = _plan(limits={"headers": "64kB", "body": "1MB"})
    (host,) = render_routes(plan, state)["resources"][0]["virtual_hosts"]
    first = host["routes"][0]
    assert first["direct_response"]["status"] == 413
    assert first["match"]["headers"][0]["range_match"]["start"] == 1_000_001
    manager = _listener(plan)["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["max_request_headers_kb"] == 64
