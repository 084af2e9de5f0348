"""Thousands of users of a website before a real gateway, and what Python says of each request.

Their keys are headers, cookies, parameters, claims of tokens and issued cookies. Both systems are
one more Envoy that answers with the system's name: it is faster than any of ours.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from changeover.domain.route_matching import Request, route_of
from changeover.domain.routing import BUCKETS, Mode, RoutingState, System, decide
from changeover.domain.segment_matching import segments_of, texts_of
from changeover.domain.user_keys import key_of
from changeover.flags.evaluate import Evaluator
from changeover.flags.explain import explain
from changeover.flags.snapshot import of_plan
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan import user_files, user_lists
from changeover.plan.model import Plan
from tests.support.pipelining import answers
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for

USERS, REQUESTS = 10_000, 20_000
PERCENTAGES = (1, 5, 10, 25, 50, 75, 90, 100)
KEYS = [{"header": "x-user-id"}, {"cookie": "session"}, {"query": "account"},
        {"bearer_claim": "sub"}]
ROUTES = [
    {"name": "login", "path": {"exact": "/login"}, "move": "never"},
    {"name": "acme", "path": {"prefix": "/orders"}, "method": ["GET", "POST"],
     "header": {"name": "x-tenant", "any_of": ["acme", "a.b|c"]}},
    {"name": "one-order", "path": {"template": "/orders/{id}/lines/{line}"}},
    {"name": "orders", "path": {"prefix": "/orders"}},
    {"name": "static", "path": {"prefix": "/static/"}, "move": "together"},
    {"name": "reports", "path": {"regex": r"/reports/(daily|\d{4})(\.csv)?"}},
    {"name": "shop", "host": ["shop.example", "*.shop.example"], "method": "DELETE"},
]
SEGMENTS = {
    "staff": {"header": "x-cohort", "any_of": ["staff", "a.b|c"]},
    "pilots": {"header": "x-user-id", "file": "pilots.txt"},
    "partners": {"cookie": "session", "file": "pilots.txt"},
    "pro": {"cookie": "plan", "prefix": "pro-"},
    "trial": {"query": "plan", "regex": "trial-[0-9]+"},
}
PILOTS = [f"user-{number}" for number in range(0, 3_000, 3)]
_ISSUED = re.compile(rb"set-cookie: chg_id=([0-9a-f]{16});")
_TYPE = "type.googleapis.com/envoy.extensions.filters."


@dataclass
class Asked:
    """A request as it goes over the wire."""

    path: bytes = b"/"
    method: str = "GET"
    host: str = "shop"
    headers: list[tuple[str, bytes]] = field(default_factory=list)

    def values(self, name: str) -> list[bytes]:
        """Return every value of a header."""
        return [value for known, value in self.headers if known == name]

    @property
    def wire(self) -> bytes:
        """The request's bytes."""
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), self.path),
                 b"host: " + self.host.encode(), b"content-length: 0"]
        lines += [name.encode() + b": " + value for name, value in self.headers]
        return b"\r\n".join([*lines, b"", b""])

    @property
    def request(self) -> Request:
        """What says which route it is of."""
        headers: dict[str, list[str]] = {}
        for name, value in self.headers:
            headers.setdefault(name, []).append(value.decode("utf-8", "surrogateescape"))
        return Request(self.path.decode(), self.method, self.host, headers)


@dataclass
class Ground:
    """A gateway that serves, its plan, and its present state."""

    plan: Plan
    gateway: Gateway
    state: RoutingState

    def move(self, mode: Mode, weight: int = 0, **more: Any) -> None:
        """Publish the next state."""
        self.state = RoutingState("many", mode=mode, weight=weight,
                                  version=self.state.version + 1, **more)
        self.gateway.publish(self.plan, self.state)

    def answers(self, asked: Sequence[Asked]) -> list[tuple[System, str]]:
        """Return who answered each request, and the key that was issued with it, if any."""
        port = int(self.plan.routing.listen.rsplit(":", 1)[1])
        found = []
        for head, body in answers(port, [one.wire for one in asked]):
            issued = _ISSUED.search(head)
            found.append((System(body.decode()), issued[1].decode() if issued else ""))
        return found

    def decided(self, asked: Asked, issued: str, evaluator: Evaluator) -> System:
        """Return the system that Python names; `decide` and `explain` must name the same."""
        routing = self.plan.routing
        key = key_of(routing.sources, asked.values, asked.path) or (issued.encode(),)
        inside = segments_of(routing.segments, asked.values, asked.path)
        route = route_of(self.plan.routes, asked.request)
        system = decide(self.state, key, inside, rule=routing.rule, route=route)
        context = {spec.attribute: texts_of(spec, asked.values, asked.path)
                   for spec in routing.segments.values()}
        explained = explain(evaluator, key, context, route=route)
        assert explained["system"] == system.value, (asked, explained)
        assert {*explained["segments"]} == inside, (asked, explained)
        return system


@contextlib.contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Start both systems and the gateway."""
    ports = {name: free_port() for name in map(str, System)}
    plan = _planned(ports, folder)
    gateway = Gateway(GatewayFiles(folder / "gateway"), patience=LONGEST_PAUSE)
    state = RoutingState("many", version=1)
    gateway.prepare(plan, state)
    (folder / "systems.json").write_text(json.dumps(_systems(ports)))
    command = [envoy_command(gateway.files)[0], "-c", str(folder / "systems.json"),
               "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"]
    with (running(command, folder / "systems.log"),
          running(envoy_command(gateway.files), folder / "gateway.log")):
        url = f"http://{plan.routing.listen}/"
        wait_for(lambda: httpx.get(url).text == System.BASELINE, what="the gateway")
        yield Ground(plan, gateway, state)


def grow(on: Ground, users: int) -> dict[int, int]:
    """Let users come at growing shares, and return how many of them were moved at each.

    A third brings a cookie of its own, a third a header, and a third nothing, until the gateway
    gives them a cookie.

    Raises:
        AssertionError: One changed side back, or is not where `decide` says.
    """
    issued: dict[int, str] = {}
    moved, counts = set[int](), {}
    for percent in PERCENTAGES:
        on.move(Mode.GRADUAL, percent * 100)
        evaluator = Evaluator(of_plan(on.plan, on.state))
        asked = [_of_user(number, issued.get(number)) for number in range(users)]
        now = set[int]()
        for number, (system, cookie) in enumerate(on.answers(asked)):
            if cookie:
                assert number % 3 == 2, "who has a key gets none"
                assert number not in issued, "who was given a key keeps it"
                issued[number] = cookie
            assert system is on.decided(asked[number], cookie, evaluator), asked[number]
            if system is System.CANDIDATE:
                now.add(number)
        assert moved <= now, f"{len(moved - now)} users changed side back at {percent} %"
        moved, counts[percent] = now, len(now)
    return counts


def agree(on: Ground, requests: int, seed: int = 7) -> Counter[str]:
    """Send any requests in many states, and return how many went where.

    Raises:
        AssertionError: One went elsewhere than `decide` and `explain` say.
    """
    chance, counts = random.Random(seed), Counter[str]()
    states: list[tuple[Mode, int, dict[str, Any]]] = [
        (Mode.GRADUAL, 3_000, {"routes": (("acme", BUCKETS), ("orders", 5_000))}),
        (Mode.GRADUAL, 0, {"segments": ("staff", "pilots", "partners")}),
        (Mode.GRADUAL, 7_000, {"kept": ("pro", "pilots"), "segments": ("trial",),
                               "routes": (("one-order", 1_000), ("reports", 9_999))}),
        (Mode.GRADUAL, BUCKETS, {"kept_routes": ("static",)}),
        (Mode.CANDIDATE_ONLY, BUCKETS, {"kept_routes": ("orders",)}),
        (Mode.RETURNING, 2_000, {"segments": ("pilots", "staff"), "segment_weight": 4_000,
                                 "routes": (("shop", 6_000),)}),
        (Mode.BASELINE_ONLY, 0, {}),
        (Mode.GRADUAL, 1, {"segments": ("pro",), "routes": (("shop", BUCKETS),)})]
    for mode, weight, more in states:
        on.move(mode, weight, **more)
        evaluator = Evaluator(of_plan(on.plan, on.state))
        asked = [any_request(chance) for _ in range(requests // len(states))]
        for one, (system, issued) in zip(asked, on.answers(asked), strict=True):
            assert system is on.decided(one, issued, evaluator), (on.state, one)
            counts[system] += 1
    return counts


def any_request(chance: random.Random) -> Asked:
    """Return a request of any kind: its key anywhere, in several places, doubled, or nowhere."""
    some = chance.choice
    asked = Asked(method=some(["GET", "GET", "POST", "DELETE"]), host=some(_HOSTS))
    query = [some(_QUERIES) for _ in range(chance.randrange(3))]
    asked.path = some(_PATHS) + (b"?" + b"&".join(query) if query else b"")
    user = b"user-%d" % chance.randrange(6_000)
    if chance.random() < 0.5:
        keys = [user, user, b" " + user, b"caf\xc3\xa9", b"\xe9", b""]
        asked.headers += [("x-user-id", some(keys)) for _ in range(some([1, 1, 1, 2]))]
    if chance.random() < 0.5:
        pairs = [some(_COOKIES), b"session=" + user, some(_COOKIES)][:chance.randrange(1, 4)]
        asked.headers.append(("cookie", b"; ".join(pairs)))
    if chance.random() < 0.2:
        asked.headers.append(("authorization", b"Bearer e30.%s.c2ln" % some(_CLAIMS)))
    if chance.random() < 0.3:
        asked.headers += [("x-cohort", some([b"staff", b"a.b|c", b"axb|c", b"Staff"]))]
    if chance.random() < 0.3:
        asked.headers += [("x-tenant", some([b"acme", b"other,acme", b"acmex", b"x, acme, y"]))]
    return asked


_HOSTS = ["shop", "shop", "shop.example", "www.Shop.example", "a.b.shop.example:1", "xshop.example"]
_PATHS = [b"/", b"/login", b"/orders", b"/orders/7", b"/orders/7/lines/1", b"/orders-old",
          b"/static/", b"/static/a.css", b"/reports/daily", b"/reports/2024.csv", b"/reports/20245",
          b"/Orders", b"/a%2Fb"]
_QUERIES = [b"account=7", b"account=user-3", b"acc%6Funt=enc", b"account=a%20b", b"account=%e9",
            b"b=2", b"account=", b"plan=trial-12", b"plan=trial-x", b"plan=tri%61l-3"]
_COOKIES = [b"session=", b"session=user-6", b'session="q"', b" session = x y ", b"other=1",
            b"plan=pro-1", b"plan=free", b"session=a=b", b"=session"]
_CLAIMS = [base64.urlsafe_b64encode(text).rstrip(b"=") for text in (
    b'{"sub":"u-1"}', b'{"sub": 42}', b'{"sub":4.2}', b'{"x":{"sub":"in"},"sub":"out"}', b"{",
    b'{"sub":null}', b'{"sub":"one","sub":"two"}')]


def _of_user(number: int, issued: str | None) -> Asked:
    if number % 3 == 0:
        return Asked(headers=[("cookie", b"theme=dark; session=visitor-%d" % number)])
    if number % 3 == 1:
        return Asked(headers=[("x-user-id", b"account-%d" % number)])
    cookies = f"theme=dark; chg_id={issued}" if issued else "theme=dark"
    return Asked(headers=[("cookie", cookies.encode())])


def _planned(ports: dict[str, int], folder: Path) -> Plan:
    (folder / "pilots.txt").write_text("\n".join(PILOTS))
    systems = {name: {"name": name, "url": f"http://127.0.0.1:{port}"}
               for name, port in ports.items()}
    document, lists, _ = user_files.with_lists({
        "migration": "many", "systems": systems, "routes": ROUTES,
        "routing": {"listen": f"127.0.0.1:{free_port()}", "key": KEYS, "segments": SEGMENTS,
                    "issue": {"cookie": "chg_id"}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}]}, folder)
    return Plan.model_validate(document, context=user_lists.as_context(lists))


def _systems(ports: dict[str, int]) -> dict[str, Any]:
    """Return the configuration of an Envoy that answers with the name of a port's system."""
    listeners = []
    for name, port in ports.items():
        route = {"match": {"prefix": "/"}, "direct_response": {
            "status": 200, "body": {"inline_string": name}}}
        manager = {
            "@type": _TYPE + "network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "route_config": {"virtual_hosts": [
                {"name": name, "domains": ["*"], "routes": [route]}]},
            "http_filters": [{"name": "router", "typed_config": {
                "@type": _TYPE + "http.router.v3.Router"}}]}
        listeners.append({
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]})
    return {"static_resources": {"listeners": listeners}}
