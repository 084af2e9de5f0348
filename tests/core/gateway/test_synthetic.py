"""Routes of synthetic load: like users' routes, never tapped, told by name in the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.envoy.config import Json, render_routes
from changeover.gateway.envoy.synthetic import MARK_HEADER, SYNTHETIC, TOLD_HEADER, marked
from changeover.gateway.files import GatewayFiles
from changeover.gateway.routes_on_disk import RoutesOnDisk, load_mark
from changeover.gateway.tailer import Tailer
from tests.core.gateway.test_accesslog import _line
from tests.core.plan.test_hooks import plan_with
from tests.integration.conftest import make_plan

SHADOWED = make_plan(shadow={"sample": "100%", "methods": ["GET"]})
STATES = [
    RoutingState("bench", mode=Mode.BASELINE_ONLY), RoutingState("bench", mode=Mode.CANDIDATE_ONLY),
    RoutingState("bench", mode=Mode.SHADOW, shadow_sample=5_000),
    RoutingState("bench", mode=Mode.GRADUAL, weight=2_500, segments=("beta",),
                 shadow_sample=10_000),
]


def routes(response: Json) -> list[Json]:
    (resource,) = response["resources"]
    found: list[Json] = resource["virtual_hosts"][0]["routes"]
    return found


@pytest.mark.parametrize("state", STATES, ids=lambda state: str(state.mode))
def test_marked_requests_go_where_users_would_and_are_never_copied(state: RoutingState) -> None:
    """The users' own routes stay as they are, behind those for the mark."""
    plain = routes(render_routes(SHADOWED, state))
    found = routes(marked(render_routes(SHADOWED, state), "secret"))
    copies = [route for route in found if route["name"].endswith(SYNTHETIC)]
    assert found == [*copies, *plain]
    untapped = [route for route in plain if "typed_per_filter_config" not in route]
    assert [copy["route"] for copy in copies] == [route["route"] for route in untapped]
    for copy, route in zip(copies, untapped, strict=True):
        wanted = {"name": MARK_HEADER, "string_match": {"exact": "secret"}}
        assert copy["match"]["headers"] == [wanted, *route["match"].get("headers", [])]
        assert copy["name"] == f"{route['name']}{SYNTHETIC}"
        assert "typed_per_filter_config" not in copy
        (told,) = copy["request_headers_to_add"]
        assert told["header"] == {"key": TOLD_HEADER, "value": "load"}


def test_no_system_sees_the_mark_and_maintenance_answers_it_too() -> None:
    """It would be known to whoever reads a system's log."""
    state = RoutingState("bench", maintenance=True)
    response = marked(render_routes(SHADOWED, state), "secret")
    assert MARK_HEADER in response["resources"][0]["request_headers_to_remove"]
    assert routes(response) == routes(render_routes(SHADOWED, state))


@pytest.mark.parametrize(("hooks", "is_marked"), [
    ("{}", False), ("{during: [{load: steady}]}", False),
    ("{during: [{load: steady, of: gateway, measured: true}]}", False),
    ("{during: [{load: steady, of: gateway}]}", True),
])
def test_only_a_plan_whose_load_needs_them_has_such_routes(
    tmp_path: Path, hooks: str, is_marked: bool
) -> None:
    """Everybody else's routes are as before."""
    disk, plan = RoutesOnDisk(GatewayFiles(tmp_path)), plan_with(hooks)
    state = RoutingState("shop")
    found = disk.routes_of(plan, state)
    assert (found != render_routes(plan, state)) is is_marked
    assert disk.files.mark.exists() is is_marked


def test_the_mark_is_made_once_and_is_for_the_owner_only(tmp_path: Path) -> None:
    """The gateway and the load read the same one."""
    files = GatewayFiles(tmp_path / "gateway")
    made = load_mark(files)
    assert len(made) == 32
    assert load_mark(files) == made
    assert files.mark.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in files.root.iterdir()] == ["load.mark"]


def test_what_the_log_tells_as_synthetic_is_read_by_nobody(tmp_path: Path) -> None:
    """Metrics, buckets and sample ratios all begin with these entries."""
    log = tmp_path / "access.log"
    lines = [_line(r="split:2500:safe"), _line(r="split:2500:safe:synthetic"),
             _line(r="baseline:0:safe:kept:synthetic"), _line(r="baseline:0:safe:kept")]
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    tailer = Tailer(log, {})
    assert [entry.route for entry in tailer.read()] == ["split:2500:safe", "baseline:0:safe:kept"]
    assert tailer.unreadable == 0
    assert tailer.position[1] == log.stat().st_size
    assert json.loads(lines[1])["r"].endswith(SYNTHETIC)
