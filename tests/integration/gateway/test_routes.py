"""Named parts of the traffic: each request is of the route that Python says, and goes there."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changeover import clock
from changeover.domain.route_matching import Request, route_of
from changeover.domain.routing import BUCKETS, Mode, RoutingState, System, decide
from changeover.gateway.accesslog import meant_for
from changeover.gateway.envoy import parts
from changeover.gateway.envoy.choice import part_of
from changeover.plan.model import Plan
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.load import Log
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration
ROUTES = [
    {"name": "login", "path": {"exact": "/login"}, "move": "never"},
    {"name": "acme", "path": {"prefix": "/orders"}, "method": ["GET", "POST"],
     "header": {"name": "x-tenant", "any_of": ["acme", "a.b|c"]}},
    {"name": "one-order", "path": {"template": "/orders/{id}/lines/{line}"}},
    {"name": "orders", "path": {"prefix": "/orders"}},
    {"name": "static", "path": {"prefix": "/static/"}, "move": "together"},
    {"name": "reports", "path": {"regex": r"/reports/(daily|\d{4})(\.csv)?"}},
    {"name": "shop", "host": ["shop.example", "*.shop.example"], "method": "DELETE"},
    {"name": "unread", "path": {"exact": "/a%2Fb"}},
]
NAMES = [str(each["name"]) for each in ROUTES]
few = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def the_plan(**changes: object) -> Plan:
    return make_plan(routes=ROUTES, **changes)


@dataclass
class Asked:
    """One request of a test."""

    path: str
    method: str = "GET"
    host: str = "shop"
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def request(self) -> Request:
        values: dict[str, list[str]] = {}
        for name, value in self.headers:
            values.setdefault(name, []).append(value)
        return Request(self.path, self.method, self.host, values)

    @property
    def key(self) -> str | None:
        return next((value for name, value in self.headers if name == "x-user-id"), None)

    @property
    def segments(self) -> frozenset[str]:
        return frozenset({"beta"} if ("x-cohort", "beta") in self.headers else ())


class Client:
    """Sends any requests over one connection."""

    def __init__(self, bench: Bench) -> None:
        host, port = bench.plan.routing.listen.rsplit(":", 1)
        self._connection = http.client.HTTPConnection(host, int(port), timeout=LONGEST_PAUSE)

    def served(self, asked: Asked) -> System:
        """Return the system that answered."""
        self._connection.putrequest(asked.method, asked.path, skip_host=True)
        self._connection.putheader("host", asked.host)
        for name, value in asked.headers:
            self._connection.putheader(name, value)
        if asked.method == "POST":
            self._connection.putheader("content-length", "0")
        self._connection.endheaders()
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, (asked, body)
        return System(json.loads(body)["served_by"])


@pytest.fixture(scope="module", params=["in order", "by beginning"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """A gateway for each way to find a part; each test publishes what it needs."""
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "by beginning":
            patched.setattr(parts, "FEWEST", 1)
            patched.setattr(parts, "MOST_COPIES", 100)
        plan = the_plan()
        is_tree = "matcher_tree" in parts.virtual_host(plan, RoutingState("bench"))["matcher"]
        assert is_tree is (request.param == "by beginning")
        yield from start_bench(plan, tmp_path_factory.mktemp("routes"))


pieces = st.sampled_from([
    "orders", "order", "orders-old", "Orders", "login", "static", "reports", "daily", "2024",
    "20245", "daily.csv", "lines", "7", "a%2Fb", "x", "", ".", "%C3%A9", "a;b=c", "{id}"])
paths = st.lists(pieces, min_size=1, max_size=5).map(lambda found: "/" + "/".join(found))
queries = st.sampled_from(["", "?", "?a=1", "?x=/orders", "?/reports/daily", "?a?b", "?login"])
plain = st.sampled_from(
    ["/login", "/orders", "/orders/7/lines/1", "/reports/2024.csv", "/static/", "/a%2Fb", "/"])
hosts = st.sampled_from(["shop", "shop.example", "SHOP.example:8100", "www.Shop.example",
                         "a.b.shop.example:1", "xshop.example", "shop.example.org"])
tenants = st.lists(st.sampled_from(
    ["acme", "a.b|c", "acme, other", "other,acme", "x, acme, y", "acmex", "axb|c", "", "ACME"]),
    max_size=2)


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """Return any request."""
    headers = [("x-tenant", value) for value in draw(tenants)]
    if draw(st.integers(0, 4)):
        headers.append(("x-user-id", f"user-{draw(st.integers(0, 10_000))}"))
    if draw(st.integers(0, 4)) == 0:
        headers.append(("x-cohort", "beta"))
    return Asked(draw(plain | paths) + draw(queries), draw(st.sampled_from(
        ["GET", "POST", "DELETE"])), draw(hosts), headers)


weights = st.sampled_from([0, 1, 5_000, 9_999, BUCKETS])
shares = st.dictionaries(st.sampled_from(NAMES), weights.filter(bool), max_size=4)
some = st.lists(st.sampled_from(NAMES), max_size=2, unique=True)


@given(asked=st.lists(requests(), min_size=50, max_size=50), weight=weights, shares=shares,
       kept=some, mode=st.sampled_from([Mode.GRADUAL, Mode.CANDIDATE_ONLY, Mode.SHADOW]),
       segments=st.sampled_from([{}, {"segments": ("beta",)}, {"kept": ("beta",)}]))
@few
def test_any_request_goes_where_its_route_says(
    gateway: Bench, asked: list[Asked], weight: int, shares: dict[str, int], kept: list[str],
    mode: Mode, segments: dict[str, tuple[str, ...]],
) -> None:
    """Over the wire each request gets the system that `decide` names for the route it is of."""
    gateway.move(mode, weight, routes=tuple(sorted(shares.items())), kept_routes=tuple(kept),
                 **segments)
    client = Client(gateway)
    for one in asked:
        route = route_of(gateway.plan.routes, one.request)
        wanted = decide(gateway.state, one.key, one.segments, route=route)
        assert client.served(one) is wanted, (one, route)


@given(asked=st.lists(requests(), min_size=10, max_size=10))
@settings(few, max_examples=5)
def test_log_says_which_route_a_request_is_of(gateway: Bench, asked: list[Asked]) -> None:
    """From a line alone follow the route and the system that was meant."""
    gateway.move(Mode.GRADUAL, 3_000, routes=(("orders", 5_000),), kept_routes=("reports",))
    log, client = Log(gateway), Client(gateway)
    for number, one in enumerate(asked):
        key = f"logged-{number}-{one.path}"
        kept = [pair for pair in one.headers if pair[0] != "x-user-id"]
        client.served(one := Asked(one.path, one.method, one.host, [*kept, ("x-user-id", key)]))
        route, entry = route_of(gateway.plan.routes, one.request), log.entry(key)
        assert part_of(entry.route) == (route.name if route else None)
        assert meant_for(entry) is decide(gateway.state, key, one.segments, route=route)


def test_half_of_orders_moves_while_nobody_logs_in_elsewhere(gateway: Bench) -> None:
    """One path at a time: /orders is at 50 %, /login and the rest stay at 0."""
    gateway.move(Mode.GRADUAL, 0, routes=(("orders", 5_000),))
    client = Client(gateway)

    def of_candidate(path: str) -> int:
        users = [Asked(path, headers=[("x-user-id", f"u{number}")]) for number in range(200)]
        return sum(client.served(user) is System.CANDIDATE for user in users)

    assert 70 < of_candidate("/orders/7") < 130
    assert of_candidate("/login") == of_candidate("/") == of_candidate("/orders-old") == 0


def test_all_of_a_route_moves_also_without_keys(gateway: Bench) -> None:
    """A path that has moved as a whole asks nobody for a key."""
    gateway.move(Mode.GRADUAL, 0, routes=(("orders", BUCKETS),))
    client = Client(gateway)
    assert {client.served(Asked("/orders")) for _ in range(20)} == {System.CANDIDATE}
    assert client.served(Asked("/")) is System.BASELINE


def test_route_has_time_limits_of_its_own(tmp_path: Path) -> None:
    """A path that must be quick is answered by the baseline after its own limit, not the system's:
    of a minute."""
    routes = [{"name": "quick", "path": {"exact": "/quick"}, "attempt_timeout": "200ms"}]
    for bench in start_bench(make_plan(routes=routes), tmp_path):
        bench.move(Mode.GRADUAL, 0, routes=(("quick", BUCKETS),))
        assert Client(bench).served(Asked("/quick")) is System.CANDIDATE
        bench.fault("hang")
        began = time.monotonic()
        assert Client(bench).served(Asked("/quick")) is System.BASELINE
        assert time.monotonic() - began < 30


def _serves(bench: Bench, order: tuple[int, int]) -> bool:
    return bench.gateway.served() == order


def test_back_pressure_and_broken_glass_are_for_routes_too(tmp_path: Path) -> None:
    """Neither sends anything of a named part to the candidate."""
    for bench in start_bench(the_plan(), tmp_path):
        bench.move(Mode.GRADUAL, 5_000, routes=(("orders", BUCKETS),))
        client = Client(bench)
        assert client.served(Asked("/orders")) is System.CANDIDATE
        assert bench.gateway.withhold(
            bench.plan, bench.state, {"withheld": True}, timeout=LONGEST_PAUSE)
        assert client.served(Asked("/orders")) is System.BASELINE
        bench.gateway.break_glass(reason="test", actor="test", now=clock.now())
        wait_for(partial(_serves, bench, (1, bench.state.version + 1)))
        assert client.served(Asked("/orders")) is System.BASELINE
