"""Copies name the path and the host that the candidate would see of the users' requests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from changeover.domain.routing import Mode
from changeover.plan.model import Plan
from changeover.shadow import replay
from changeover.shadow.recorded import load
from changeover.store import divergences
from tests.integration.gateway.reached import ask, plan_of, serving
from tests.integration.shadow.test_service import service_of
from tests.support.http1_system import Http1System
from tests.support.processes import free_port, wait_for

pytestmark = pytest.mark.integration
ROUTES: list[dict[str, Any]] = [
    {"name": "acme", "path": {"prefix": "/orders"}, "header": {"name": "x-a", "any_of": ["acme"]},
     "rewrite": {"path": "/acme"}},
    {"name": "orders", "path": {"prefix": "/orders"},
     "rewrite": {"path": "/api/v2/orders", "host": "new.example.org"}}]


def _systems(ports: tuple[int, int]) -> dict[str, Any]:
    return {"baseline": {"name": "old", "url": f"http://127.0.0.1:{ports[0]}/v1"},
            "candidate": {"name": "new", "url": f"http://127.0.0.1:{ports[1]}/v2"}}


def test_copy_is_what_the_candidate_would_see(tmp_path: Path) -> None:
    """Also of a route that is told by headers; the baseline is asked again as users asked it, and
    what differs is known by the users' path.
    """
    ports, old, new = (free_port(), free_port()), Http1System("old"), Http1System("new")
    with (
        service_of("tests.support.shadow", tmp_path, systems=_systems(ports), routes=ROUTES) as (
            _, plan, home, store),
        old.serving(ports[0]), new.serving(ports[1]), serving(plan, home.root) as bench,
    ):
        bench.move(Mode.SHADOW, shadow_sample=10_000)

        def copies() -> set[tuple[str, str]]:
            ask(bench, "/orders/7?x", headers={"host": "shop"})
            ask(bench, "/orders/7", headers={"host": "shop", "x-a": "acme"})
            ask(bench, "/other", headers={"host": "shop"})
            return {(each["path"], each["host"]) for each in new.requests
                    if "x-changeover-shadow" in each["headers"]}

        wanted = {("/v2/api/v2/orders/7?x", "new.example.org"), ("/v2/acme/7", "shop"),
                  ("/v2/other", "shop")}
        wait_for(lambda: copies() == wanted, what="copies of all three")
        # asked by users and again for the comparison, always as users asked
        assert {(each["path"], each["host"]) for each in old.requests} == {
            ("/v1/orders/7?x", "shop"), ("/v1/orders/7", "shop"), ("/v1/other", "shop")}
        places = wait_for(lambda: [place for place in divergences.places(store, "bench")
                                   if place.field == "$.path"], what="a difference")
        assert all(example["request"].split("?")[0] in {
            "GET /orders/7", "GET /other"} for example in places[0].examples)


def test_recorded_requests_are_replayed_as_each_system_sees_them(tmp_path: Path) -> None:
    """Before any user moves; the recorded host says which route it is, and is sent to nobody."""
    ports, old, new = (free_port(), free_port()), Http1System("old"), Http1System("new")
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in (
        {"path": "/orders/7?x"}, {"path": "/orders/8", "headers": {"Host": "b2b.shop.example"}})))
    recorded, _ = load(file, with_unsafe=False)
    systems = _systems(ports)
    of_host = {"name": "b2b", "path": {"prefix": "/orders"}, "host": "b2b.shop.example",
               "rewrite": {"path": "/b2b"}}
    plan: Plan = plan_of(systems["baseline"], systems["candidate"], routes=[of_host, *ROUTES],
                         shadow={"methods": ["GET"]})
    with old.serving(ports[0]), new.serving(ports[1]):
        asyncio.run(replay.run(plan, recorded, concurrency=2, on_done=lambda: None))
    own = [f"127.0.0.1:{port}" for port in ports]
    assert {(each["path"], each["host"]) for each in old.requests} == {
        ("/v1/orders/7?x", own[0]), ("/v1/orders/8", own[0])}
    assert {(each["path"], each["host"]) for each in new.requests} == {
        ("/v2/api/v2/orders/7?x", "new.example.org"), ("/v2/b2b/8", own[1])}
