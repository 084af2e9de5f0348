"""`changeover plan estimate`: what is said of parts of the traffic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from changeover.cli.main import cli
from changeover.errors import InvalidInput

PLAN = """
migration: shop
systems:
  baseline: {name: old, url: "http://127.0.0.1:1001"}
  candidate: {name: new, url: "http://127.0.0.1:1002"}
routing: {listen: "127.0.0.1:1000", key: {header: x-user-id}}
routes: [{name: orders, path: {prefix: /orders}}]
gates: {slo: [{metric: error_rate, ratio_to_baseline: 2, route: orders}]}
phases:
  - {phase: gradual, stages: [{percent: 50, soak: 1h, routes: [orders]}], gates: [slo]}
"""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    """A plan that moves one route, with a check of its requests."""
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return str(path)


def estimated(*arguments: str) -> Any:
    """Run the command and return what it says as JSON."""
    done = CliRunner().invoke(
        cli, ["plan", "estimate", *arguments, "--rate", "200", "--output", "json"],
        standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout)


def test_a_check_of_a_route_is_foreseen_by_its_share_of_the_requests(plan: str) -> None:
    """Fewer requests show harm later, or not within the soak."""
    many, few = (estimated(plan, "--route", f"orders={share}")[0] for share in ("50%", "0.5%"))
    assert many["check"] == "error_rate in route orders at most 2 × baseline"
    assert many["found"] > few["found"]


def test_a_route_of_which_nothing_was_said_is_asked_for_by_name(plan: str) -> None:
    """The message has the option and the route."""
    with pytest.raises(InvalidInput, match="error_rate in route orders") as error:
        estimated(plan)
    assert (error.value.where, error.value.allowed) == (
        "--route", "orders=SHARE, as orders=5%")
