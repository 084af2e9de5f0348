"""A gateway between two systems that are reached in some other way than plain HTTP/1.1."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from tests.integration.conftest import Bench
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for


def plan_of(
    baseline: dict[str, Any], candidate: dict[str, Any], **parts: Any
) -> Plan:
    """Return a plan of two systems that are described as a plan describes them."""
    routing = {"listen": f"127.0.0.1:{free_port()}", **parts.pop("routing", {})}
    return Plan.model_validate({
        "migration": "bench", "routing": routing,
        "systems": {"baseline": {"name": "old", **baseline},
                    "candidate": {"name": "new", **candidate}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}], **parts})


@contextlib.contextmanager
def serving(plan: Plan, folder: Path) -> Iterator[Bench]:
    """Start Envoy with everyone at the candidate; the systems run already."""
    gateway = Gateway(GatewayFiles(folder / "gateway"), patience=LONGEST_PAUSE)
    state = RoutingState("bench", version=1)
    gateway.prepare(plan, state)
    with running(envoy_command(gateway.files), folder / "envoy.log") as envoy:
        wait_for(gateway.admin.is_alive, what="envoy")
        bench = Bench(plan, gateway, {"envoy": envoy}, state)
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        yield bench


def ask(bench: Bench, path: str = "/", **options: Any) -> httpx.Response:
    """Ask through the gateway."""
    return httpx.get(bench.url + path, timeout=LONGEST_PAUSE, **options)


def served_by(bench: Bench) -> str:
    """Return who answers; empty without a good answer."""
    answer = ask(bench)
    return str(answer.json()["served_by"]) if answer.is_success else ""
