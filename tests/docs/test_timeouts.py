"""docs/timeouts.md says what is rendered."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.envoy import time_limits
from changeover.gateway.envoy.clusters import render_clusters
from changeover.gateway.envoy.config import render_routes, render_whole
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec
from changeover.plan.units import parse_duration

PAGE = Path(__file__).parents[2] / "docs" / "timeouts.md"
PLAN = Plan.model_validate({
    "migration": "bench",
    "systems": {
        "baseline": {"name": "old", "url": "http://127.0.0.1:1"},
        "candidate": {"name": "new", "url": "http://127.0.0.1:2", "concurrency": 7},
    },
    "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
})
_OF_TIME = re.compile("timeout|duration|keepalive|max_requests_per_connection")
_ELSEWHERE = {"retry_back_off", "outlier_detection"}


def _rows() -> list[tuple[str, str, str, float]]:
    """Return (where, setting, key in the plan, seconds) of every row; no limit is 0."""
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        setting = re.fullmatch(r"([a-z ]+) `(\w+)`", cells[-1])
        if len(cells) == 5 and setting:
            value = 0.0 if cells[2] == "none" else parse_duration(cells[2]).total_seconds()
            found.append((setting[1], setting[2], cells[3], value))
    return found


def _limits(node: Any) -> list[tuple[str, float]]:
    """Return every limit of time in a part of the configuration."""
    found: list[tuple[str, float]] = []
    if isinstance(node, list):
        return [limit for part in node for limit in _limits(part)]
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _ELSEWHERE:
                continue
            if _OF_TIME.search(key) and isinstance(value, str):
                found.append((key, float(value.removesuffix("s"))))
            found += _limits(value)
    return found


def _rendered() -> dict[tuple[str, str], set[float]]:
    """Return the values of every limit, by where it stands."""
    files = GatewayFiles(Path("/tmp/gateway"))  # noqa: S108  a name only: nothing is written
    users, hop = render_whole(PLAN, files)["static_resources"]["listeners"]
    parts: list[tuple[str, Any]] = [("listener", users), ("hop", hop)]
    for cluster in render_clusters(PLAN, files)["resources"]:
        is_hop = cluster["name"] == "candidate"
        parts.append(("hop cluster" if is_hop else "cluster", cluster))
    state = RoutingState("bench", mode=Mode.GRADUAL, weight=5000)
    for route in render_routes(PLAN, state)["resources"][0]["virtual_hosts"][0]["routes"]:
        is_stream = route["route"]["idle_timeout"] == time_limits.LONG_LIVED
        safe_split = route["name"].startswith("split") and route["name"].endswith(":safe")
        kind = "stream route" if is_stream else "candidate route" if safe_split else "route"
        parts.append((kind, route))
    found: dict[tuple[str, str], set[float]] = defaultdict(set)
    for where, part in parts:
        for setting, value in _limits(part):
            found[where, setting].add(value)
    for option in users["socket_options"]:
        if option["name"] == 18:
            found["socket", "TCP_USER_TIMEOUT"].add(option["int_value"] / 1000)
    return found


def test_every_row_says_what_is_rendered() -> None:
    """A default in the table is the configuration's; what has none is not set."""
    rendered = _rendered()
    wrong = []
    for where, setting, _, value in _rows():
        found = rendered.get((where, setting), set())
        is_left_to_envoy = setting == "stream_flush_timeout" and not found
        if found - {value} or (value and not found and not is_left_to_envoy):
            wrong.append((where, setting, value, found))
    assert not wrong


def test_every_limit_that_is_rendered_has_a_row() -> None:
    """Nobody meets a limit that is not listed, but on the way to the hop and in variants."""
    listed = {(where, setting) for where, setting, _, _ in _rows()}
    by_name = {setting for _, setting, _, _ in _rows()}
    missing = {(where, setting) for where, setting in _rendered() if (where, setting) not in listed}
    assert {setting for _, setting in missing} <= by_name
    assert not [entry for entry in missing if entry[0] in ("listener", "route")]


def test_every_key_of_the_table_is_one_of_the_plan() -> None:
    """The table names keys that plans may have, and all that are limits of time."""
    named = set(re.findall(r"`systems\.\w+\.(\w+)`", PAGE.read_text()))
    assert named == {"timeout", "attempt_timeout", "silence", "keep_alive"}
    assert named <= set(SystemSpec.model_fields)
