"""Load and OpenAPI checks reach systems as the gateway reaches them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover.checks.suites import hop
from changeover.checks.suites.load import Served, offer
from changeover.checks.suites.target import CheckTarget
from changeover.plan.load_requests import Asked
from changeover.plan.model import Plan
from tests.integration.gateway.reached import plan_of
from tests.integration.validation.test_checks import result_of
from tests.support.certificates import Authority
from tests.support.grpc_system import GrpcSystem
from tests.support.http1_system import Http1System
from tests.support.http2_system import Http2System
from tests.support.processes import free_port

pytestmark = pytest.mark.integration
KINDS = {"http1": Http1System, "http2": Http2System}
WAYS = [(protocol, way) for protocol in KINDS for way in ("address", "addresses", "socket", "tls")]


class Reached:
    """A candidate that is reached in one of many ways, and a plan that says so."""

    def __init__(self, stack: ExitStack, folder: Path, protocol: str, way: str) -> None:
        self.systems = [KINDS[protocol](name) for name in ("new", "new-2")[:1 + (way != "socket")]]
        spec: dict[str, Any] = {"url": "http://new.internal/v2", "host": "shop.example",
                                "protocol": protocol}
        if way == "socket":
            spec["url"] = f"unix://{folder / 'shop.sock'}:/v2"
            stack.enter_context(self.systems[0].serving(path=str(folder / "shop.sock")))
        else:
            context = _context(folder, protocol, spec) if way == "tls" else None
            ports = [free_port() for _ in self.systems]
            for system, port in zip(self.systems, ports, strict=True):
                stack.enter_context(system.serving(port, tls=context))
            spec["addresses"] = [{"address": f"127.0.0.1:{ports[0]}", "weight": 3},
                                 f"127.0.0.1:{ports[1]}"]
            if way == "address":
                spec = {**spec, "url": f"http://127.0.0.1:{ports[0]}/v2", "addresses": None}
        self.plan: Plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"}, spec)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What all addresses got."""
        return [each for system in self.systems for each in system.requests]


def _context(folder: Path, protocol: str, spec: dict[str, Any]) -> Any:
    """Return a server's TLS that demands a certificate; write how it is reached into a spec."""
    ours, clients = Authority(folder, "ours"), Authority(folder, "clients")
    certificate, key = clients.issue("checks", file="client")
    spec["url"] = "https://new.internal/v2"
    spec["tls"] = {"ca": str(ours.ca), "certificate": str(certificate), "key": str(key),
                   "server_name": "shop.internal"}
    return ours.server("shop.internal", clients=clients,
                       protocols=["h2"] if protocol == "http2" else None)


@pytest.fixture
def reached(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reached]:
    """The candidate of one way."""
    with ExitStack() as stack:
        yield Reached(stack, tmp_path, *request.param)


def _loaded(plan: Plan, paths: list[str], rate: float = 40) -> Served:
    way = CheckTarget(plan, Path()).way("candidate")
    return asyncio.run(offer(way, [Asked(path) for path in paths], rate=rate, seconds=1))


@pytest.mark.parametrize("reached", WAYS, indirect=True, ids="-".join)
def test_load_reaches_the_candidate(reached: Reached) -> None:
    """Each request arrives once, with path and host, at the addresses by their weights."""
    served = _loaded(reached.plan, ["/load?x=1"])
    assert (served.sent, served.failed) == (40, 0)
    assert {(each["path"], each["host"]) for each in reached.requests} == {
        ("/v2/load?x=1", "shop.example")}
    got = [len(system.requests) for system in reached.systems]
    assert sum(got) == 40
    if reached.plan.systems.candidate.addresses is not None:
        assert got == [30, 10]


@pytest.mark.parametrize("reached", [("http1", "addresses"), ("http2", "addresses")],
                         indirect=True, ids="-".join)
def test_load_goes_to_the_address_that_is_left(reached: Reached) -> None:
    """As users do; with none left each request has failed."""
    spec = reached.plan.systems.candidate
    assert spec.addresses is not None
    gone = f"127.0.0.1:{free_port()}"
    candidate = spec.model_dump(mode="json", exclude_unset=True)
    baseline = {"url": f"http://127.0.0.1:{free_port()}"}
    one_left = plan_of(baseline, {**candidate, "addresses": [gone, spec.addresses[1].address]})
    assert _loaded(one_left, ["/"]).failed == 0
    assert [len(system.requests) for system in reached.systems] == [0, 40]
    none = _loaded(plan_of(baseline, {**candidate, "addresses": [gone]}), ["/"])
    assert (none.sent, none.failed) == (40, 40)


def test_load_asks_grpc_for_its_health(tmp_path: Path) -> None:
    """The only method of gRPC that a path alone describes."""
    port, system = free_port(), GrpcSystem("new")
    path = "/grpc.health.v1.Health/Check"
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"},
                   {"url": f"http://127.0.0.1:{port}", "protocol": "http2", "health": path})
    with system.serving(f"127.0.0.1:{port}"):
        assert _loaded(plan, [path]).failed == 0
        system.is_serving = False
        assert _loaded(plan, [path]).failed == 40


@pytest.mark.parametrize("reached", [("http2", "tls"), ("http1", "addresses")],
                         indirect=True, ids="-".join)
def test_openapi_calls_the_candidate(reached: Reached, tmp_path: Path) -> None:
    """Below its path, with its host, and a failure names its address."""
    fine = {"responses": {"200": {"description": "fine"}}}
    document = {"openapi": "3.0.3", "info": {"title": "a", "version": "1"},
                "paths": {"/items": {"get": fine}, "/status/500": {"get": fine}}}
    (tmp_path / "api.json").write_text(json.dumps(document))
    found = result_of(CheckTarget(reached.plan, tmp_path), kind="openapi", document="api.json",
                      baseline_document="api.json", examples=2)
    assert found.evidence["operations"] == 2, found
    assert [each for each in found.evidence["problems"] if each.startswith("GET /status/500")]
    assert "127.0.0.1" not in found.evidence["output"]
    assert "/v2/items" in {each["path"] for each in reached.requests}
    assert {each["host"] for each in reached.requests} == {"shop.example"}
    assert not [each for each in reached.requests if hop.KEY_HEADER in each["headers"]]


@pytest.mark.parametrize("reached", [("http2", "socket")], indirect=True, ids="-".join)
def test_hop_of_a_check_serves_nobody_else(reached: Reached) -> None:
    """Whoever has not its key cannot borrow our certificate; bytes arrive, and failures."""
    with hop.serving(reached.plan.systems.candidate) as way, httpx.Client() as client:
        assert client.get(way.url + "/a").status_code == 403
        assert client.get(way.url + "/a", headers={hop.KEY_HEADER: "x"}).status_code == 403
        assert not reached.requests
        found = client.post(way.url + "/a%2Fb?", headers={hop.KEY_HEADER: way.key}, content=b"abc")
        assert (found.json()["path"], found.json()["size"]) == ("/v2/a%2Fb", 3)
        broken = client.get(way.url[:-3] + "/reset", headers={hop.KEY_HEADER: way.key})
        assert broken.status_code == 502
