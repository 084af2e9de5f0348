"""Systems below a path, and systems that want a host of their own: what they see, from anybody."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.analysis.window import ErrorClass
from changeover.checks.suites.http import check_http
from changeover.checks.suites.load import check_load
from changeover.checks.suites.security import check_security
from changeover.checks.suites.target import CheckTarget
from changeover.domain.routing import BUCKETS, Mode, RoutingState, System
from changeover.gateway import reaching
from changeover.gateway.accesslog import classify
from changeover.gateway.probe import Speaks, speaks
from changeover.gateway.tailer import Tailer
from changeover.plan.model import Plan
from changeover.plan.suites import HttpCheck, LoadCheck, SecurityCheck
from changeover.procedures import curling
from changeover.procedures.rollback_script import write_rollback_script
from tests.integration.conftest import Bench
from tests.integration.gateway.reached import ask, plan_of, serving
from tests.integration.gateway.wire import WireSystem, exchange
from tests.integration.shadow.test_calls_http2 import _calls, _exchange
from tests.integration.validation.test_checks import result_of
from tests.support.http1_system import Http1System
from tests.support.http2_system import Http2System
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for

pytestmark = pytest.mark.integration
PATHS = [
    "/", "/?", "/?x=1", "/orders?x=1", "/orders/", "//", "//orders", "/orders//7", "/a%2Fb",
    "/caf%E9?q=%FF", "/a/../b", "/./a", "/..", "/a;b=c", "/v2", "/v2/orders", "/a?b?c=/v2/x",
    "/a%", "/a\\b", "/{a}|b",
]
PATIENCE = {"health_timeout": "20s", "attempt_timeout": "60s", "timeout": "60s"}


@dataclass
class Two:
    """Two systems behind a gateway: the candidate below /v2, both with a host of their own."""

    bench: Bench
    old: Http1System
    new: Http1System

    def sees(self, path: str, method: str = "GET") -> dict[str, Any]:
        """Return what the system that answers saw of a request with exactly this path."""
        connection = http.client.HTTPConnection(
            self.bench.plan.routing.listen, timeout=LONGEST_PAUSE)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in (("host", "shop.example"), ("content-length", "0")):
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, found
        return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Everyone at the candidate, whose hop is like that of a baseline with a path."""
    ports, old, new = (free_port(), free_port()), Http1System("old"), Http1System("new")
    plan = plan_of(
        {"url": f"http://127.0.0.1:{ports[0]}/a/v1", "host": "old.example:81", **PATIENCE},
        {"url": f"http://127.0.0.1:{ports[1]}/v2/", **PATIENCE})
    with (
        old.serving(ports[0]), new.serving(ports[1]),
        serving(plan, tmp_path_factory.mktemp("below")) as bench,
    ):
        yield Two(bench, old, new)


@pytest.mark.parametrize("path", PATHS)
def test_path_of_the_url_stands_before_what_users_sent(two: Two, path: str) -> None:
    """To the byte, and with the host that the plan says."""
    two.bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
    found = two.sees(path)
    assert (found["served_by"], found["path"], found["host"]) == (
        "new", "/v2" + path, "shop.example")
    two.bench.move(Mode.BASELINE_ONLY)
    found = two.sees(path)
    assert (found["served_by"], found["path"], found["host"]) == (
        "old", "/a/v1" + path, "old.example:81")


def test_systems_see_no_header_more(two: Two) -> None:
    """Neither the path nor the host as they were, and no name of the gateway's own."""
    two.bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
    by_candidate = two.sees("/orders")["headers"]
    two.bench.move(Mode.BASELINE_ONLY)
    assert set(by_candidate) == set(two.sees("/orders")["headers"]) == {
        "host", "content-length", "x-forwarded-for", "x-forwarded-proto", "x-request-id"}


def test_redirects_are_left_as_they_are(two: Two) -> None:
    """What a system says of itself, users get."""
    system = WireSystem()
    system.answer = b"HTTP/1.1 302 X\r\nlocation: /v2/login\r\ncontent-length: 0\r\n\r\n"
    with system.serving() as port:
        plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"},
                       {"url": f"http://127.0.0.1:{port}/v2"})
        with serving(plan, two.bench.gateway.files.root.parent / "redirects") as bench:
            assert ask(bench, "/orders").headers["location"] == "/v2/login"


def test_whoever_asks_directly_asks_below_the_path(two: Two, tmp_path: Path) -> None:
    """Health, probes, checks of all kinds, load, copies, and curl for the rollback script."""
    plan = two.bench.plan
    for system, name, path, host in (
        (two.old, System.BASELINE, "/a/v1", "old.example:81"),
        (two.new, System.CANDIDATE, "/v2", f"127.0.0.1:{plan.systems.candidate.places[0].port}"),
    ):
        spec, target = plan.system(name), CheckTarget(plan, tmp_path)
        system.requests.clear()
        assert reaching.is_well(spec)
        assert speaks(spec) is Speaks.HTTP1
        assert subprocess.run(["sh", "-c", curling.health(spec, "20")], check=False).returncode == 0
        reaching.post(spec, "/lever", {}, timeout=20)
        reaching.get(spec, "/?x", timeout=20)
        assert check_http(
            HttpCheck(kind="http", path="/check", of=name), target).evidence["status"] == 200
        assert not check_security(
            SecurityCheck(kind="security", of=name, paths=["/check"], headers={"server": "."},
                          bad_input=["/check"]),
            target).reason.count("does not answer")
        assert check_load(LoadCheck.model_validate(
            {"kind": "load", "rates": [5], "each": "1s", "paths": ["/load"],
             "baseline": name is System.BASELINE}), target, lambda _: None).evidence
        (answer,) = _calls(spec, _exchange("/copy?x", method="POST", body=b"abc"))
        assert answer.status == 200
        seen = {each["path"].partition("?id")[0].partition("?aa")[0] for each in system.requests}
        own = {"/health", "/lever", "/?x", "/check", "/load", "/copy?x"}
        assert seen == {path + each for each in own}
        # a copy without a host, as of a recording, names what direct requests do
        assert {each["host"] for each in system.requests} == {host}


def test_openapi_calls_operations_below_the_path(two: Two, tmp_path: Path) -> None:
    """With the system's own host."""
    get = {"responses": {"200": {"description": "fine"}}}
    document = {"openapi": "3.0.3", "info": {"title": "a", "version": "1"},
                "paths": {"/items": {"get": get}}}
    (tmp_path / "api.json").write_text(json.dumps(document))
    plan = plan_of(
        {"url": f"http://127.0.0.1:{free_port()}"},
        {**two.bench.plan.systems.candidate.model_dump(mode="json", exclude_unset=True),
         "host": "new.example"})
    two.new.requests.clear()
    found = result_of(CheckTarget(plan, tmp_path), kind="openapi", document="api.json",
                      baseline_document="api.json", examples=2)
    assert found.evidence["operations"] == 1, found
    assert "/v2/items" in {each["path"].partition("?")[0] for each in two.new.requests}
    assert {each["path"][:3] for each in two.new.requests} == {"/v2"}
    assert {each["host"] for each in two.new.requests} == {"new.example"}


def test_copies_name_the_users_host_unless_the_plan_says_another(two: Two) -> None:
    """As the gateway does."""
    systems = two.bench.plan.systems
    for system, spec, host in ((two.old, systems.baseline, "old.example:81"),
                               (two.new, systems.candidate, "shop.example")):
        _calls(spec, _exchange("/copy", ("host", "shop.example")))
        assert system.requests[-1]["host"] == host


def test_rollbacks_lead_to_the_baselines_own_path(two: Two, tmp_path: Path) -> None:
    """By the store's way, by broken glass and by the script."""
    bench = two.bench
    bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
    assert two.sees("/orders")["path"] == "/v2/orders"
    bench.roll_back()
    assert two.sees("/orders")["path"] == "/a/v1/orders"
    script = write_rollback_script(bench.plan, bench.gateway.files, tmp_path / "rescue")
    ways: list[Callable[[], object]] = [
        lambda: subprocess.run([script, "why"], check=True, capture_output=True),
        lambda: bench.gateway.break_glass(reason="why", actor="test", now=clock.now())]
    for roll_back in ways:
        bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
        assert two.sees("/orders")["path"] == "/v2/orders"
        roll_back()
        wait_for(lambda: two.sees("/orders")["path"] == "/a/v1/orders", what="the baseline")
        journal = bench.gateway.journal()
        assert journal is not None
        bench.state = RoutingState(
            "bench", version=journal["version"] + 1, epoch=journal["epoch"])
        bench.gateway.reconcile(bench.plan, bench.state)


def test_gateway_that_runs_on_follows_a_plan_that_got_a_path(two: Two, tmp_path: Path) -> None:
    """Envoy outlives `changeover up`, and gateways on other machines follow the plan by
    themselves: nobody is sent to a hop that is not there, and its failures are told.
    """
    systems = two.bench.plan.systems
    ports = [each.places[0].port for each in (systems.baseline, systems.candidate)]
    before = plan_of({"url": f"http://127.0.0.1:{ports[0]}", **PATIENCE},
                     {"url": f"http://127.0.0.1:{ports[1]}", **PATIENCE})
    own = before.systems.model_copy(update={
        "baseline": before.systems.baseline.model_copy(
            update={"url": f"http://127.0.0.1:{ports[0]}/v1"})})
    after = before.model_copy(update={"systems": own})
    with serving(before, tmp_path) as bench:
        bench.move(Mode.BASELINE_ONLY)
        asking = Two(bench, two.old, two.new)
        assert asking.sees("/x")["path"] == "/x"
        script = write_rollback_script(before, bench.gateway.files, tmp_path / "rescue")
        bench.gateway.prepare(after, bench.state)
        wait_for(lambda: asking.sees("/x")["path"] == "/v1/x", what="the path")
        subprocess.run([script, "of the plan before"], check=True, capture_output=True)
        assert asking.sees("/x")["path"] == "/v1/x"
        gone = own.model_copy(update={"baseline": own.baseline.model_copy(
            update={"url": f"http://127.0.0.1:{free_port()}/v1"})})
        bench.gateway.prepare(before.model_copy(update={"systems": gone}), bench.state)
        wait_for(lambda: httpx.post(bench.url, timeout=LONGEST_PAUSE).status_code == 503,
                 what="a baseline that is gone")
        answer = httpx.post(bench.url, timeout=LONGEST_PAUSE)
        assert not [name for name in answer.headers if name.startswith("x-changeover")]
        wait_for(lambda: last_error(bench) is ErrorClass.CONNECT, what="the failure in the log")


def last_error(bench: Bench) -> ErrorClass | None:
    """Return why the last request in the log failed; None when it did not."""
    outcomes = [classify(entry) for entry in Tailer(bench.gateway.files.access_log, {}).read()]
    return outcomes[-1].error if outcomes and outcomes[-1] is not None else None


@pytest.fixture
def long(tmp_path: Path) -> Iterator[tuple[WireSystem, Plan, Path]]:
    """A system of raw bytes below a path, as both systems of a plan."""
    system = WireSystem()
    with system.serving() as port:
        url = {"host": "own.example", **PATIENCE}
        yield system, plan_of({"url": f"http://127.0.0.1:{port}/v1", **url},
                              {"url": f"http://127.0.0.1:{port}/v2", **url}), tmp_path


@pytest.mark.parametrize(("asked", "answer"), [
    (b"upgrade: websocket\r\nconnection: upgrade\r\n",
     b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
    (b"accept: text/event-stream\r\n",
     b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: 1\n\n"),
], ids=["websocket", "event stream"])
def test_long_connections_are_asked_for_below_the_path(
    long: tuple[WireSystem, Plan, Path], asked: bytes, answer: bytes
) -> None:
    """Through the hop that ends them, and at the baseline."""
    system, plan, folder = long
    system.answer = answer
    with serving(plan, folder) as bench:
        port = int(plan.routing.listen.rpartition(":")[2])
        for mode, path in ((Mode.CANDIDATE_ONLY, b"/v2"), (Mode.BASELINE_ONLY, b"/v1")):
            bench.move(mode, BUCKETS)
            system.received.clear()
            got = exchange(port, b"GET /live?x HTTP/1.1\r\nhost: a\r\n" + asked + b"\r\n")
            assert got.startswith(answer[:12])
            (seen,) = system.received
            assert seen.startswith(b"GET " + path + b"/live?x HTTP/1.1\r\nhost: own.example\r\n")


def test_system_of_http2_is_asked_below_its_path(tmp_path: Path) -> None:
    """`:path` and `:authority`."""
    port, new = free_port(), Http2System("new")
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"}, {
        "url": f"http://127.0.0.1:{port}/v2", "host": "new.example", "protocol": "http2",
        **PATIENCE})
    with new.serving(port), serving(plan, tmp_path) as bench:
        assert ask(bench, "/orders?x").status_code == 200
        _calls(plan.systems.candidate, _exchange("/orders?x", ("host", "shop.example")))
        assert reaching.get(plan.systems.candidate, "/orders?x", timeout=20).status_code == 200
        assert {(each["path"], each["host"]) for each in new.requests[-3:]} == {
            ("/v2/orders?x", "new.example")}


def test_websockets_reach_systems_of_http2_below_a_path(tmp_path: Path) -> None:
    """Both systems, and the baseline again after the rollback script."""
    ports, old, new = (free_port(), free_port()), Http2System("old"), Http2System("new")
    http2 = {"protocol": "http2", **PATIENCE}
    plan = plan_of({"url": f"http://127.0.0.1:{ports[0]}/v1", **http2},
                   {"url": f"http://127.0.0.1:{ports[1]}/v2", **http2})
    with old.serving(ports[0]), new.serving(ports[1]), serving(plan, tmp_path) as bench:

        def path_of_websocket(system: Http2System) -> str:
            system.requests.clear()
            host, port = plan.routing.listen.split(":")
            with socket.create_connection((host, int(port)), timeout=LONGEST_PAUSE) as user:
                user.sendall(b"GET /live HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n"
                             b"connection: upgrade\r\n\r\n")
                answer = user.makefile("rb")
                assert answer.readline().startswith(b"HTTP/1.1 101 ")
                while answer.readline() != b"\r\n":
                    pass
                user.sendall(b"hello")
                assert answer.read(5) == b"hello"
            return str(system.requests[-1]["path"])

        assert path_of_websocket(new) == "/v2/live"
        bench.move(Mode.BASELINE_ONLY)
        assert path_of_websocket(old) == "/v1/live"
        script = write_rollback_script(plan, bench.gateway.files, tmp_path / "rescue")
        bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
        assert path_of_websocket(new) == "/v2/live"
        subprocess.run([script, "why"], check=True, capture_output=True)
        assert path_of_websocket(old) == "/v1/live"


def test_dead_candidate_costs_no_request_and_the_baseline_gets_its_own_path(two: Two) -> None:
    """The second attempt is what users sent, as the baseline is to see it."""
    dead = plan_of(
        two.bench.plan.systems.baseline.model_dump(mode="json", exclude_unset=True),
        {"url": f"http://127.0.0.1:{free_port()}/v2", "host": "new.example", **PATIENCE})
    with serving(dead, two.bench.gateway.files.root.parent / "dead") as bench:
        asking = Two(bench, two.old, two.new)
        for method in ("GET", "POST") * 10:
            found = asking.sees("/orders?x", method)
            assert (found["path"], found["host"]) == ("/a/v1/orders?x", "old.example:81")


@pytest.mark.parametrize(("is_there", "error"), [
    (True, ErrorClass.RESET), (False, ErrorClass.CONNECT)], ids=["breaks off", "is not there"])
def test_failure_behind_the_hop_is_told_as_what_it_is(
    tmp_path: Path, is_there: bool, error: ErrorClass
) -> None:
    """A baseline that breaks off, or that nobody reaches, is no answer of 5xx; what may have run
    is not sent again, and users see no mark of the gateway's.
    """
    system = WireSystem()
    system.closes = True
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(system.serving()) if is_there else free_port()
        plan = plan_of({"url": f"http://127.0.0.1:{port}/v1", **PATIENCE},
                       {"url": f"http://127.0.0.1:{free_port()}"})
        bench = stack.enter_context(serving(plan, tmp_path))
        bench.move(Mode.BASELINE_ONLY)
        answer = httpx.post(bench.url, timeout=LONGEST_PAUSE)
        assert answer.status_code == 503
        assert not [name for name in answer.headers if name.startswith("x-changeover")]
        assert len(system.received) == is_there
        log, errors = Tailer(bench.gateway.files.access_log, {}), []

        def is_told() -> bool:
            outcomes = [classify(entry) for entry in log.read()]
            errors.extend(each.error for each in outcomes if each is not None)
            return bool(errors)

        wait_for(is_told, what="a line of the log")
        assert errors == [error]


def test_second_attempt_asks_another_address_of_the_baseline(tmp_path: Path) -> None:
    """One of two addresses answers 5xx, or is gone: no user notices."""
    ports, bad, good = (free_port(), free_port()), Http1System("bad"), Http1System("good")
    plan = plan_of(
        {"url": "http://old.internal/v1", **PATIENCE,
         "addresses": [f"127.0.0.1:{port}" for port in ports]},
        {"url": f"http://127.0.0.1:{free_port()}"})
    with good.serving(ports[1]), serving(plan, tmp_path) as bench:
        bench.move(Mode.BASELINE_ONLY)

        def served() -> set[str]:
            answers = [ask(bench, f"/{number}") for number in range(10)]
            assert {answer.status_code for answer in answers} == {200}
            return {str(answer.json()["served_by"]) for answer in answers}

        with bad.serving(ports[0]):
            wait_for(lambda: served() == {"good", "bad"}, what="both addresses")
            bad.status, bad.health = 500, 200
            before = len(bad.requests)
            assert served() == {"good"}
            asked = {each["path"] for each in bad.requests[before:]} - {"/v1/health"}
            assert asked  # and each of them once more, of the other one
            bad.status = 200
            wait_for(lambda: served() == {"good", "bad"}, what="both addresses")
        for number in range(10):
            answer = httpx.post(f"{bench.url}/{number}", timeout=LONGEST_PAUSE)
            assert (answer.json()["served_by"], answer.json()["path"]) == ("good", f"/v1/{number}")
