"""Checks of every kind reach systems however the plan says that these are reached."""

from __future__ import annotations

import pytest

from changeover.plan.load import parse_plan
from tests.core.plan.test_load import GOOD, problems

HTTP2 = GOOD.replace("name: new,", "name: new, protocol: http2,")


@pytest.mark.parametrize("check", [
    "{kind: load, rates: [1]}", "{kind: soak}", "{kind: openapi}", "{kind: http, path: /}"])
def test_check_of_a_system_that_speaks_http2_is_possible(check: str) -> None:
    """What the gateway reaches, checks reach."""
    plan = parse_plan(f"{HTTP2}suites:\n  own: [{check}]\n", "own.yaml")
    assert plan.systems.candidate.protocol == "http2"


def test_streams_need_http2() -> None:
    """In HTTP/1.1 there are none of gRPC."""
    (found,) = problems(f"{GOOD}rollback: {{streams: [/shop.Feed/Watch]}}\n")
    assert "rollback.streams" in found and "set `protocol: http2`" in found
