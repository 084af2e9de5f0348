"""What the systems see of the balancers in front, and of strangers who claim to be one."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import httpx
import pytest

from changeover.domain.routing import Mode
from changeover.gateway.envoy.forwarded import PRIVATE
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.load import Log
from tests.integration.gateway.odd import odd_site, raw
from tests.integration.gateway.test_tap import ALL, warm_tap
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for

pytestmark = pytest.mark.integration
SAID = {
    "x-forwarded-proto": "https", "x-forwarded-host": "shop.example", "x-forwarded-port": "443",
    "forwarded": "for=203.0.113.9;proto=https",
}
NAMES = ("x-forwarded-for", "x-real-ip", *SAID)


@pytest.fixture(scope="module", params=[(None, None), (0, None), (0, 3), (1, None), (1, 3),
                                        (2, None)],
                ids=lambda pair: f"hops={pair[0]},limit={pair[1]}")
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bench, int | None]]:
    """A gateway on loopback for each number of trusted hops, and for none said."""
    hops, concurrency = request.param
    shadow = {"shadow": {"sample": 100, "methods": ["GET"]}}
    listen = f"127.0.0.1:{free_port()}"
    routing = {"listen": listen} if hops is None else {"listen": listen, "trusted_hops": hops}
    plan = make_plan(routing=routing, **shadow)
    candidate = plan.systems.candidate.model_copy(update={"concurrency": concurrency})
    systems = plan.systems.model_copy(update={"candidate": candidate})
    directory = tmp_path_factory.mktemp("hops")
    for bench in start_bench(plan.model_copy(update={"systems": systems}), directory):
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        yield bench, hops


def _seen(bench: Bench, **headers: str) -> dict[str, str]:
    """Return what the system saw of the forwarded headers."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    found = httpx.get(bench.url, headers=sent, timeout=LONGEST_PAUSE).json()["headers"]
    return {name: found[name] for name in NAMES if name in found}


def _expected(hops: int | None, addresses: str, peer: str) -> dict[str, str]:
    if hops == 0:
        return {"x-forwarded-for": peer, "x-forwarded-proto": "http"}
    return {"x-forwarded-for": f"{addresses},{peer}", **SAID}


@pytest.mark.parametrize("addresses", ["203.0.113.9", "203.0.113.9, 198.51.100.7", "10.0.0.7"])
def test_systems_see_what_trusted_balancers_said(
    site: tuple[Bench, int | None], addresses: str
) -> None:
    """With a balancer everything stays, and its address is added; without one nothing is believed.

    A gateway on loopback that is told nothing believes its machine's balancer.
    """
    bench, hops = site
    peer = _seen(bench)["x-forwarded-for"]
    headers = {name.replace("-", "_"): value for name, value in SAID.items()}
    seen = _seen(bench, x_forwarded_for=addresses, x_real_ip=addresses, **headers)
    real = {} if hops == 0 else {"x-real-ip": addresses}
    assert seen == {**_expected(hops, addresses, peer), **real}


def test_user_without_a_balancer_is_told_as_such(site: tuple[Bench, int | None]) -> None:
    """Nothing that nobody said is made up but the two that a proxy adds: the peer, one address."""
    bench, _ = site
    seen = _seen(bench)
    assert ipaddress.ip_address(seen.pop("x-forwarded-for"))
    assert seen == {"x-forwarded-proto": "http"}


@pytest.mark.parametrize("addresses", ["203.0.113.9", "10.0.0.7"])
def test_no_hop_lets_clients_order_retries(
    site: tuple[Bench, int | None], addresses: str, request: pytest.FixtureRequest
) -> None:
    """Envoy's control headers from outside have no effect, however private a user seems."""
    bench, _ = site
    key = request.node.name
    bench.fault("slow")
    headers = {"x-forwarded-for": addresses, "x-envoy-upstream-rq-timeout-ms": "100",
               "x-envoy-upstream-rq-per-try-timeout-ms": "100", "x-user-id": key}
    assert httpx.get(bench.url, headers=headers, timeout=LONGEST_PAUSE).status_code == 200
    assert Log(bench).entry(key).attempts == 1
    bench.fault("none")


def test_secure_scheme_in_the_target_needs_a_balancer(site: tuple[Bench, int | None]) -> None:
    """A request for https that nobody believed carried over TLS is refused."""
    bench, hops = site
    with raw(bench, "GET https://shop.example/x HTTP/1.1\r\nhost: shop.example\r\n\r\n") as user:
        status = int(user.recv(12)[9:])
    assert status == (403 if hops == 0 else 200)


def test_copy_carries_what_the_system_got(site: tuple[Bench, int | None]) -> None:
    """What is compared was asked with the same forwarded headers."""
    bench, _ = site
    bench.move(Mode.SHADOW, shadow_sample=ALL)
    headers = {"x-forwarded-for": "203.0.113.9", **SAID}
    with warm_tap(bench) as found:
        seen = httpx.get(f"{bench.url}/copied", headers=headers, timeout=LONGEST_PAUSE).json()
        wait_for(lambda: found, what="the copy")
    copied = {name: found[0].header(name) for name in NAMES if found[0].header(name)}
    bench.move(Mode.CANDIDATE_ONLY, 10_000)
    assert copied == {name: seen["headers"][name] for name in NAMES if name in seen["headers"]}


def _own_address() -> str:
    """Return an address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return str(probe.getsockname()[0])


def test_gateway_for_everyone_believes_private_peers_only(
    tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where the plan says nothing, the balancer next to it is believed, and no stranger."""
    listen = f"0.0.0.0:{free_port()}"
    with odd_site(tmp_path_factory.mktemp("all"), {"listen": listen}) as bench:
        for host in ("127.0.0.1", _own_address()):
            is_private = any(ipaddress.ip_address(host) in ipaddress.ip_network(network)
                             for network in PRIVATE)
            answer = httpx.get(f"http://{host}:{listen.partition(':')[2]}/", timeout=LONGEST_PAUSE,
                               headers={"x-forwarded-for": "203.0.113.9", **SAID})
            seen = dict(line.split(": ", 1) for line in answer.text.splitlines())
            assert seen["x-forwarded-proto"] == ("https" if is_private else "http")
            assert ("x-forwarded-host" in seen) is is_private
        bench.move(Mode.BASELINE_ONLY)  # both doors have one set of routes
        answers = [httpx.get(f"http://{host}:{listen.partition(':')[2]}/", timeout=LONGEST_PAUSE)
                   for host in ("127.0.0.1", _own_address())]
        assert [answer.json()["served_by"] for answer in answers] == ["baseline"] * 2
