"""Users over TLS: both versions of HTTP, a certificate that is replaced, and our own requests."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover.checks.suites.http import check_http
from changeover.checks.suites.load import offer
from changeover.checks.suites.security import check_security
from changeover.checks.suites.target import CheckTarget
from changeover.domain.routing import RoutingState
from changeover.errors import EnvironmentProblem
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.gateway.rewritten_files import RewrittenFiles
from changeover.plan.suites import HttpCheck, SecurityCheck
from tests.integration.conftest import Bench
from tests.integration.gateway.reached import plan_of, serving
from tests.support.certificates import Authority
from tests.support.grpc_system import GrpcSystem, GrpcUser
from tests.support.http1_system import Http1System
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for

pytestmark = pytest.mark.integration
HOST = "shop.example"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the gateway's certificate."""
    return Authority(tmp_path)


def _routing(authority: Authority) -> dict[str, Any]:
    certificate, key = authority.issue("first", HOST, file="gateway")
    return {"tls": {"certificate": str(certificate), "key": str(key)}}


@pytest.fixture
def bench(authority: Authority, tmp_path: Path) -> Iterator[Bench]:
    """A gateway with TLS, everyone at the candidate."""
    port = free_port()
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"},
                   {"url": f"http://127.0.0.1:{port}"}, routing=_routing(authority))
    with Http1System("candidate").serving(port), serving(plan, tmp_path) as found:
        yield found


def _user(authority: Authority, **options: Any) -> httpx.Client:
    return httpx.Client(
        verify=ssl.create_default_context(cafile=str(authority.ca)), timeout=LONGEST_PAUSE,
        trust_env=False, **options)


def _ask(client: httpx.Client, bench: Bench, path: str = "/") -> httpx.Response:
    return client.get(bench.url + path, headers={"host": HOST},
                      extensions={"sni_hostname": HOST})


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_users_come_in_the_version_that_they_offer(
    bench: Bench, authority: Authority, version: str
) -> None:
    """The system sees https, and the host that they asked for."""
    with _user(authority, http2=version == "HTTP/2") as client:
        answer = _ask(client, bench, "/a?b")
    assert answer.http_version == version
    got = answer.json()
    assert (got["host"], got["path"]) == (HOST, "/a?b")
    assert got["headers"]["x-forwarded-proto"] == "https"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_and_plain_text_are_refused(bench: Bench, authority: Authority) -> None:
    """TLS 1.1 is not spoken any more."""
    host, port = bench.plan.routing.listen.rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((host, int(port)), LONGEST_PAUSE) as plain, \
            pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname=HOST)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{bench.plan.routing.listen}/", timeout=LONGEST_PAUSE)


def _shown(bench: Bench, authority: Authority) -> str:
    host, port = bench.plan.routing.listen.rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(authority.ca))
    with socket.create_connection((host, int(port)), LONGEST_PAUSE) as plain, \
            context.wrap_socket(plain, server_hostname=HOST) as secured:
        subject: Any = (secured.getpeercert() or {})["subject"]
    return str(dict(part[0] for part in subject)["commonName"])


def test_certificate_is_replaced_while_it_serves(bench: Bench, authority: Authority) -> None:
    """New connections get the new one; an open connection goes on."""
    assert _shown(bench, authority) == "first"
    with _user(authority) as client:
        assert _ask(client, bench).is_success
        authority.issue("second", HOST, file="gateway")
        wait_for(lambda: _shown(bench, authority) == "second", what="the new certificate")
        assert _ask(client, bench).is_success


def test_certificate_is_written_in_place(bench: Bench, authority: Authority) -> None:
    """First the certificate, then its key, each in two halves: never is a part of them taken."""
    made = [Path(each) for each in authority.issue("written", HOST, file="beside")]
    rewritten = RewrittenFiles(bench.plan, bench.gateway.files)
    assert rewritten.look() == []
    assert rewritten.look() == ["users-certificate"]
    spec = bench.plan.routing.tls
    assert spec is not None
    before = _shown(bench, authority)
    for new, name in zip(made, (spec.certificate, spec.key), strict=True):
        content = new.read_bytes()
        for part in (content[:200], content):
            Path(name).write_bytes(part)
            assert rewritten.look() == []
            if part is content and new is made[1]:
                break
            with pytest.raises(OSError, match="goes on with what it has"):
                rewritten.look()
            assert _shown(bench, authority) == before
    assert rewritten.look() == ["users-certificate"]
    wait_for(lambda: _shown(bench, authority) == "written", what="the new certificate")
    assert rewritten.look() == []


def test_our_own_requests_believe_exactly_this_certificate(
    bench: Bench, authority: Authority, tmp_path: Path
) -> None:
    """Checks and load through the gateway work by its address, and nobody else is believed."""
    target = CheckTarget(bench.plan, tmp_path)
    asked = HttpCheck.model_validate({"kind": "http", "of": "gateway"})
    assert check_http(asked, target).reason.startswith("gateway answers GET /health with 200")
    served = asyncio.run(offer(target.way("gateway"), ["/"], rate=20, seconds=1))
    assert served.failed == 0
    secured = SecurityCheck.model_validate({
        "kind": "security", "of": "gateway", "certificate": "1d", "headers": {},
        "refused_methods": []})
    assert check_security(secured, target).reason.endswith("nothing found")
    with target.client("gateway", timeout=10) as client:
        other = Authority(tmp_path, "other").server("127.0.0.1", name="other-server")
        port = free_port()
        with Http1System("other").serving(port, tls=other), pytest.raises(httpx.ConnectError):
            client.get(f"https://127.0.0.1:{port}/")


def test_grpc_comes_over_tls(authority: Authority, tmp_path: Path) -> None:
    """From a client that verifies the gateway, to a system that speaks HTTP/2."""
    grpc = pytest.importorskip("grpc")
    port = free_port()
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}", "protocol": "http2"},
                   {"url": f"http://127.0.0.1:{port}", "protocol": "http2"},
                   routing=_routing(authority))
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    with GrpcSystem("candidate").serving(f"127.0.0.1:{port}"), serving(plan, tmp_path):
        channel = grpc.secure_channel(
            plan.routing.listen, credentials,
            options=(("grpc.ssl_target_name_override", HOST), ("grpc.enable_http_proxy", 0)))
        user = GrpcUser(plan.routing.listen)
        user.close()
        user.channel = channel
        assert user.one(b"hello")["message"] == "hello"
        user.close()


def test_files_that_cannot_be_used_are_said_before_anything_starts(tmp_path: Path) -> None:
    """The message says where in the plan."""
    plan = plan_of({"url": "http://127.0.0.1:1"}, {"url": "http://127.0.0.1:2"}, routing={
        "tls": {"certificate": "/no/such.crt", "key": "/no/such.key"}})
    with pytest.raises(EnvironmentProblem, match=r"routing\.tls"):
        Gateway(GatewayFiles(tmp_path / "gateway")).prepare(plan, RoutingState("bench"))
