"""Systems over TLS: own authorities, client certificates, and files that are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover.checks.suites.http import check_http
from changeover.checks.suites.security import check_security
from changeover.checks.suites.target import CheckTarget
from changeover.domain.routing import RoutingState
from changeover.errors import EnvironmentProblem
from changeover.gateway import reaching
from changeover.gateway.files import GatewayFiles
from changeover.gateway.probe import Speaks, speaks
from changeover.gateway.publish import Gateway
from changeover.plan.suites import HttpCheck, SecurityCheck
from changeover.plan.systems import SystemSpec
from tests.integration.gateway.reached import ask, plan_of, served_by, serving
from tests.integration.shadow.test_calls_http2 import _calls, _exchange
from tests.support.certificates import Authority
from tests.support.http1_system import Http1System
from tests.support.http2_system import Http2System
from tests.support.processes import free_port, wait_for

pytestmark = pytest.mark.integration
Made = tuple[Http1System, dict[str, Any], Authority, Authority]


@pytest.fixture(params=["http1", "http2"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """A system that demands a certificate, what a plan says of it, and both authorities."""
    ours, clients = Authority(tmp_path, "ours"), Authority(tmp_path, "clients")
    port = free_port()
    certificate, key = clients.issue("gateway-1", file="client")
    context = ours.server(
        "shop.internal", clients=clients, protocols=["h2"] if request.param == "http2" else None)
    found: Any = Http1System("candidate") if request.param == "http1" else Http2System("candidate")
    with found.serving(port, tls=context):
        yield found, {
            "url": f"https://127.0.0.1:{port}", "protocol": request.param,
            "tls": {"ca": str(ours.ca), "certificate": str(certificate), "key": str(key),
                    "server_name": "shop.internal"}}, ours, clients


def test_gateway_checks_probes_and_copies_reach_it(system: Made, tmp_path: Path) -> None:
    """All of them show the certificate, and verify the system's."""
    found, spec, *_ = system
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"}, spec)
    with serving(plan, tmp_path) as bench:
        assert served_by(bench) == "candidate"
        assert set(found.peers) == {"gateway-1"}
    candidate = plan.systems.candidate
    assert reaching.is_well(candidate)
    expected = Speaks.HTTP1 if candidate.protocol == "http1" else Speaks.HTTP2
    assert speaks(candidate) is expected
    target = CheckTarget(plan, tmp_path)
    assert check_http(HttpCheck(kind="http", path="/a"), target).reason.startswith("candidate ans")
    secured = check_security(
        SecurityCheck.model_validate({"kind": "security", "certificate": "1d", "headers": {},
                                       "refused_methods": []}), target)
    assert secured.reason.endswith("nothing found")
    (answer,) = _calls(candidate, _exchange("/copy"))
    assert answer.status == 200
    assert found.requests[-1]["path"] == "/copy"


@pytest.mark.parametrize("change", [
    {"ca": None}, {"server_name": "other.internal"}, {"certificate": None, "key": None},
    {"server_name": None},
], ids=["machine's authorities", "another name", "no certificate", "the address as name"])
def test_nobody_is_asked_who_is_not_trusted(
    system: Made, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Neither gateway nor probes nor copies send anything."""
    found, spec, *_ = system
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"},
                   {**spec, "tls": {**spec["tls"], **change}})
    assert not reaching.is_well(plan.systems.candidate)
    (answer,) = _calls(plan.systems.candidate, _exchange("/"))
    assert answer.status == 0
    with serving(plan, tmp_path) as bench:
        assert ask(bench).status_code == 503
    assert not found.requests


def test_files_are_read_again_when_they_are_replaced(system: Made, tmp_path: Path) -> None:
    """A new certificate is shown, and a new authority believed, without a restart."""
    found, spec, ours, clients = system
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}", "keep_alive": "100ms"},
                   {**spec, "keep_alive": "100ms"})
    with serving(plan, tmp_path) as bench:
        assert served_by(bench) == "candidate"
        with reaching.new_client(plan.systems.candidate, timeout=10) as client:
            address = reaching.address(plan.systems.candidate)
            assert client.get(address + "/").is_success
            clients.issue("gateway-2", file="client")

            def shows_the_new_one() -> bool:
                ask(bench)
                client.get(address + "/")
                return "gateway-2" in found.peers

            wait_for(shows_the_new_one, what="the new certificate")
            other = Authority(tmp_path, "other")
            other.ca.replace(ours.ca)
            wait_for(lambda: ask(bench).status_code == 503, what="the new authority")
            with pytest.raises(httpx.HTTPError):
                client.get(address + "/")


@pytest.mark.parametrize("broken", ["missing", "unfit", "no certificate"])
def test_what_cannot_be_used_is_said_before_anything_starts(
    tmp_path: Path, broken: str
) -> None:
    """One message names the files."""
    ours = Authority(tmp_path, "ours")
    certificate, key = ours.issue("one")
    if broken == "missing":
        key.unlink()
    elif broken == "unfit":
        key = ours.issue("two")[1]
    else:
        certificate.write_text("no certificate")
    plan = plan_of({"url": "http://127.0.0.1:1"}, {
        "url": "https://127.0.0.1:2", "tls": {"certificate": str(certificate), "key": str(key)}})
    with pytest.raises(EnvironmentProblem, match="cannot be used for TLS") as refused:
        Gateway(GatewayFiles(tmp_path / "gateway")).prepare(plan, RoutingState("bench"))
    assert "systems.candidate.tls" in str(refused.value)


def test_address_is_verified_as_an_address(tmp_path: Path) -> None:
    """A certificate may be of an IP address."""
    ours, port, found = Authority(tmp_path), free_port(), Http1System("candidate")
    spec = {"url": f"https://127.0.0.1:{port}", "tls": {"ca": str(ours.ca)}}
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"}, spec)
    with found.serving(port, tls=ours.server("127.0.0.1")), serving(plan, tmp_path) as bench:
        assert served_by(bench) == "candidate"
        assert reaching.is_well(SystemSpec.model_validate({"name": "n", **spec}))
