"""Rewritten routes: the candidate sees what Python says, and the baseline what users sent."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changeover.checks.suites.http import check_http
from changeover.checks.suites.target import CheckTarget
from changeover.domain.rewriting import routes_for, seen
from changeover.domain.route_matching import Request, route_of
from changeover.domain.routing import BUCKETS, Mode, System, decide
from changeover.domain.verdict import Verdict
from changeover.gateway.envoy.choice import part_of
from changeover.gateway.process import envoy_command
from changeover.gateway.tailer import Tailer
from changeover.plan.comparing import ComparisonSpec
from changeover.plan.model import Plan
from changeover.plan.suites import HttpCheck
from tests.integration.conftest import Bench
from tests.integration.gateway.reached import plan_of, serving
from tests.integration.gateway.wire import WireSystem, exchange
from tests.support.http1_system import Http1System
from tests.support.processes import LONGEST_PAUSE, free_port, kill, running, wait_for

pytestmark = pytest.mark.integration
PATIENCE = {"health_timeout": "20s", "attempt_timeout": "60s", "timeout": "60s"}
ROUTES: list[dict[str, Any]] = [
    {"name": "plain", "path": {"prefix": "/orders/plain"}},
    {"name": "acme", "path": {"prefix": "/orders"}, "method": "POST",
     "header": {"name": "x-tenant", "any_of": ["acme"]},
     "rewrite": {"path": "/acme/orders", "host": "acme.example:81"}},
    {"name": "line", "path": {"template": "/orders/{id}/lines/{line}"},
     "rewrite": {"path": "/lines/{line}/of/{id}"}},
    {"name": "orders", "path": {"prefix": "/orders"},
     "rewrite": {"path": "/api/v2/orders", "host": "new.example.org"}},
    {"name": "login", "path": {"exact": "/login"}, "rewrite": {"path": "/session/new"}},
    {"name": "shop", "path": {"prefix": "/shop"}, "rewrite": {"path": "/"}, "move": "together"},
    {"name": "static", "path": {"prefix": "/static/"}, "rewrite": {"path": "/assets/"}},
    {"name": "reports", "path": {"regex": r"/reports/(daily|\d{4})(\.csv)?(/.*)?"},
     "rewrite": {"path": r"/r\\/\1\3"}},
    {"name": "hosted", "host": "*.shop.example", "rewrite": {"host": "hosted.example"}},
]
few = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture],
               deadline=None)


@dataclass
class Asked:
    """One request of a test."""

    path: str
    method: str = "GET"
    host: str = "shop"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def request(self) -> Request:
        return Request(self.path, self.method, self.host,
                       {name: [value] for name, value in self.headers})

    @property
    def key(self) -> str | None:
        return next((value for name, value in self.headers if name == "x-user-id"), None)


class Client:
    """Sends any requests over one connection."""

    def __init__(self, bench: Bench) -> None:
        self._connection = http.client.HTTPConnection(
            bench.plan.routing.listen, timeout=LONGEST_PAUSE)

    def sees(self, asked: Asked) -> dict[str, Any]:
        """Return what the system that answers saw."""
        self._connection.putrequest(
            asked.method, asked.path, skip_host=True, skip_accept_encoding=True)
        for name, value in (("host", asked.host), ("content-length", "0"), *asked.headers):
            self._connection.putheader(name, value)
        self._connection.endheaders()
        response = self._connection.getresponse()
        found: dict[str, Any] = json.loads(response.read())
        assert response.status == 200, (asked, found)
        return found


def _plan(ports: tuple[int, int], path: str = "", **candidate: Any) -> Plan:
    return plan_of({"url": f"http://127.0.0.1:{ports[0]}", **PATIENCE},
                   {"url": f"http://127.0.0.1:{ports[1]}{path}", **PATIENCE, **candidate},
                   routes=ROUTES)


@pytest.fixture(scope="module", params=["", "/v2"], ids=["as it is", "below a path"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """A gateway between two systems that say what they saw; the candidate may be below a path."""
    ports = free_port(), free_port()
    with (
        Http1System("baseline").serving(ports[0]), Http1System("candidate").serving(ports[1]),
        serving(_plan(ports, request.param), tmp_path_factory.mktemp("rewriting")) as bench,
    ):
        yield bench


pieces = st.sampled_from([
    "orders", "plain", "orders-old", "login", "static", "reports", "daily", "2024", "daily.csv",
    "lines", "7", "a%2Fb", "caf%E9", "%ff", "", ".", "..", "a;b=c", "{id}", "shop", "x\\1"])
paths = st.lists(pieces, min_size=1, max_size=5).map(lambda found: "/" + "/".join(found))
queries = st.sampled_from(["", "?", "?a=1", "?x=/orders", "?/reports/daily", "?a?b=%ff"])
plain = st.sampled_from([
    "/login", "/orders", "/orders/", "/orders/7/lines/1", "/reports/2024.csv/a/b", "/reports/daily",
    "/static/", "/static/a", "/shop", "/shop/", "/shop//a", "/", "//"])
hosts = st.sampled_from(["shop", "www.shop.example", "WWW.Shop.example:8100"])


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """Return any request."""
    headers = [("x-tenant", "acme")] if draw(st.booleans()) else []
    if draw(st.integers(0, 4)):
        headers.append(("x-user-id", f"user-{draw(st.integers(0, 10_000))}"))
    return Asked(draw(plain | paths) + draw(queries), draw(st.sampled_from(["GET", "POST"])),
                 draw(hosts), tuple(headers))


@given(asked=st.lists(requests(), min_size=50, max_size=50), weight=st.sampled_from([0, 5_000]),
       mode=st.sampled_from([Mode.GRADUAL, Mode.CANDIDATE_ONLY]))
@few
def test_any_request_is_seen_as_python_says(
    gateway: Bench, asked: list[Asked], weight: int, mode: Mode
) -> None:
    """By the candidate with another path or host; by the baseline as it was sent."""
    gateway.move(mode, weight, routes=(("orders", 5_000), ("line", BUCKETS), ("acme", 9_000)))
    client, plan = Client(gateway), gateway.plan
    for one in asked:
        system = decide(gateway.state, one.key, frozenset(),
                        route=route_of(plan.routes, one.request))
        wanted = seen(plan.system(system), one.request, routes_for(plan, system))
        found = client.sees(one)
        assert (found["served_by"], found["path"], found["host"]) == (
            system, wanted.path, wanted.host), one
        if system is System.BASELINE:
            assert (found["path"], found["host"]) == (one.path, one.host)


def test_log_and_headers_say_nothing_of_the_rewrite(gateway: Bench) -> None:
    """The route of a request is the one that it was sent to; the candidate gets no other header."""
    gateway.move(Mode.CANDIDATE_ONLY, BUCKETS)
    log, client = Tailer(gateway.gateway.files.access_log, {}), Client(gateway)
    log.read()
    found = client.sees(Asked("/orders/7?x", headers=(("x-user-id", "u"),)))
    assert set(found["headers"]) == {
        "host", "content-length", "x-user-id", "x-forwarded-for", "x-forwarded-proto",
        "x-request-id"}
    entries = []
    wait_for(lambda: entries.extend(log.read()) or entries, what="a line of the log")
    assert part_of(entries[-1].route) == "orders"


def test_route_that_goes_back_is_seen_as_it_was_sent(gateway: Bench) -> None:
    """Alone, with everyone, and while the candidate gets nothing for a moment."""
    asked = Asked("/orders/7?x", headers=(("x-user-id", "u"),))

    def sees() -> tuple[str, str]:
        found = Client(gateway).sees(asked)
        return found["served_by"], found["path"].removeprefix("/v2")

    at_candidate, at_baseline = ("candidate", "/api/v2/orders/7?x"), ("baseline", "/orders/7?x")
    gateway.move(Mode.CANDIDATE_ONLY, BUCKETS)
    assert sees() == at_candidate
    gateway.move(Mode.CANDIDATE_ONLY, BUCKETS, kept_routes=("orders",))
    assert sees() == at_baseline
    gateway.move(Mode.CANDIDATE_ONLY, BUCKETS)
    assert sees() == at_candidate
    for is_withheld in (True, False):
        assert gateway.gateway.withhold(
            gateway.plan, gateway.state, {"withheld": is_withheld}, timeout=LONGEST_PAUSE)
        assert sees() == (at_baseline if is_withheld else at_candidate)
    gateway.roll_back()
    assert sees() == at_baseline


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_second_attempt_at_the_baseline_is_what_users_sent(tmp_path: Path, method: str) -> None:
    """A candidate that is gone, and for safe requests one that answers 5xx, costs nobody
    anything."""
    ports, baseline, candidate = (
        (free_port(), free_port()), Http1System("baseline"), Http1System("candidate"))
    with baseline.serving(ports[0]), serving(_plan(ports, "/v2"), tmp_path) as bench:
        client = Client(bench)
        for _ in range(10):
            found = client.sees(Asked("/orders/7?x", method))
            assert (found["served_by"], found["path"], found["host"]) == (
                "baseline", "/orders/7?x", "shop")
        candidate.status = 503
        with candidate.serving(ports[1]):
            if method == "GET":
                wait_for(lambda: client.sees(Asked("/orders/7?x")) and candidate.requests,
                         what="a request at the candidate")
                assert {each["path"] for each in candidate.requests} == {"/v2/api/v2/orders/7?x"}
                assert {each["path"] for each in baseline.requests} == {"/orders/7?x"}


@pytest.mark.parametrize("path", [
    "/orders/7?x", "/orders/plain", "/orders/7/lines/1", "/login?a", "/shop/a%2Fb", "/other"])
@pytest.mark.parametrize("host", ["shop", "www.shop.example"])
def test_check_beside_the_baseline_asks_for_what_users_get(
    gateway: Bench, tmp_path: Path, path: str, host: str
) -> None:
    """The candidate sees path and host as through the gateway, the baseline as they were sent."""
    gateway.move(Mode.CANDIDATE_ONLY, BUCKETS)
    sees = Client(gateway).sees(Asked(path, host=host))
    plan = gateway.plan.model_copy(update={"comparison": ComparisonSpec(ignore=["$"])})
    asked = HttpCheck.model_validate({
        "kind": "http", "path": path, "headers": {"host": host}, "like_baseline": True,
        "values": {"$.path": sees["path"], "$.host": sees["host"], "$.served_by": "candidate"}})
    assert check_http(asked, CheckTarget(plan, tmp_path)).verdict is Verdict.PASS
    alone = asked.model_copy(update={"like_baseline": False, "values": {"$.host": host}})
    assert check_http(alone, CheckTarget(plan, tmp_path)).verdict is Verdict.PASS


def test_limit_of_the_candidate_and_rewrite_share_the_hop(tmp_path: Path) -> None:
    """What is above the limit goes to the baseline as users sent it."""
    ports, baseline = (free_port(), free_port()), Http1System("baseline")
    with (
        baseline.serving(ports[0]), Http1System("candidate").serving(ports[1]),
        serving(_plan(ports, concurrency=1), tmp_path) as bench,
    ):
        with (
            httpx.Client(timeout=LONGEST_PAUSE, base_url=bench.url) as client,
            ThreadPoolExecutor(8) as users,
        ):
            answers = list(users.map(lambda each: client.get(f"/orders/{each}"), range(200)))
        assert {answer.status_code for answer in answers} == {200}
        for number, answer in enumerate(answers):
            found = answer.json()
            path = "/orders" if found["served_by"] == "baseline" else "/api/v2/orders"
            assert found["path"] == f"{path}/{number}"


@pytest.mark.parametrize(("asked", "answer"), [
    (b"upgrade: websocket\r\nconnection: upgrade\r\n",
     b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
    (b"accept: text/event-stream\r\n",
     b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: 1\n\n"),
], ids=["websocket", "event stream"])
def test_long_connections_are_rewritten_too(tmp_path: Path, asked: bytes, answer: bytes) -> None:
    """They have a hop of their own."""
    system = WireSystem()
    system.answer = answer
    with system.serving() as port:
        plan = _plan((free_port(), port))
        with serving(plan, tmp_path) as bench:
            bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
            gateway = int(plan.routing.listen.rpartition(":")[2])
            exchange(gateway, b"GET /orders/live?x HTTP/1.1\r\nhost: a\r\n" + asked + b"\r\n")
            (got,) = system.received
            assert got.startswith(
                b"GET /api/v2/orders/live?x HTTP/1.1\r\nhost: new.example.org\r\n")


def test_gateway_that_starts_again_rewrites_from_the_first_request_on(tmp_path: Path) -> None:
    """All of it is in files that Envoy reads by itself."""
    ports = free_port(), free_port()
    with (
        Http1System("baseline").serving(ports[0]), Http1System("candidate").serving(ports[1]),
        serving(_plan(ports), tmp_path) as bench,
    ):
        kill(bench.processes["envoy"])
        with running(envoy_command(bench.gateway.files), tmp_path / "again.log"):
            wait_for(bench.gateway.admin.is_alive, what="envoy")
            assert Client(bench).sees(Asked("/login?a"))["path"] == "/session/new?a"
