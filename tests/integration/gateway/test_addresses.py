"""Systems with several addresses, and on Unix sockets."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover.checks.suites.http import check_http
from changeover.checks.suites.load import check_load
from changeover.checks.suites.target import CheckTarget
from changeover.domain.routing import Mode, System
from changeover.gateway import reaching
from changeover.gateway.probe import Speaks, speaks
from changeover.gateway.tailer import Tailer
from changeover.plan.suites import HttpCheck, LoadCheck
from changeover.procedures import curling
from tests.integration.conftest import Bench
from tests.integration.gateway.reached import ask, plan_of, serving
from tests.integration.shadow.test_calls_http2 import _calls, _exchange
from tests.support.http1_system import Http1System
from tests.support.http2_system import Http2System
from tests.support.processes import free_port, wait_for

pytestmark = pytest.mark.integration

PATIENCE = {"health_timeout": "20s", "attempt_timeout": "60s", "timeout": "60s"}
"""A busy machine pauses any server for seconds."""


class Pair:
    """A candidate of two addresses that can end one after the other, and a baseline of two."""

    def __init__(self, folder: Path, **candidate: Any) -> None:
        self.ports = {name: free_port() for name in ("old-1", "old-2", "new-1", "new-2")}
        self._running: dict[str, ExitStack] = {}
        for name in self.ports:
            self.begin(name)
        addresses = {side: [f"127.0.0.1:{self.ports[f'{side}-{number}']}" for number in (1, 2)]
                     for side in ("old", "new")}
        self.plan = plan_of(
            {"url": "http://old.internal", "addresses": addresses["old"], **PATIENCE},
            {"url": "http://new.internal", "addresses": addresses["new"], **PATIENCE,
             **candidate})

    def begin(self, name: str) -> None:
        stack = ExitStack()
        stack.enter_context(Http1System(name).serving(self.ports[name]))
        self._running[name] = stack

    def end(self, *names: str) -> None:
        for name in names or [*self._running]:
            self._running.pop(name).close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Four servers."""
    found = Pair(tmp_path)
    yield found
    found.end()


def _served(bench: Bench, number: int = 40) -> Counter[str]:
    """Return who answered so many users; each gets a good answer."""
    found = []
    for user in range(number):
        answer = ask(bench, headers={"x-user-id": f"u{user}"})
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["served_by"])
    return Counter(found)


def test_requests_are_shared_and_users_see_no_dead_address(pair: Pair, tmp_path: Path) -> None:
    """One of two ends: the other takes all of its users, and none goes to the other system."""
    with serving(pair.plan, tmp_path) as bench:
        assert set(_served(bench)) == {"new-1", "new-2"}
        pair.end("new-1")
        # no request fails from the first moment on, whoever answers it
        wait_for(lambda: set(_served(bench)) == {"new-2"}, what="one address")
        assert set(_served(bench)) == {"new-2"}
        pair.begin("new-1")
        wait_for(lambda: set(_served(bench)) == {"new-1", "new-2"}, what="both addresses")
        pair.end("new-1", "new-2")
        assert set(_served(bench)) <= {"old-1", "old-2"}
        bench.move(Mode.BASELINE_ONLY)
        pair.end("old-1")
        assert set(_served(bench)) == {"old-2"}
        entries = Tailer(bench.gateway.files.access_log, {}).read()
        assert {entry.served_by for entry in entries} == {System.BASELINE, System.CANDIDATE}


def test_weights_say_how_much_each_address_gets(tmp_path: Path) -> None:
    """Three to one."""
    ports = free_port(), free_port()
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"}, {
        "url": "http://new.internal", **PATIENCE,
        "addresses": [{"address": f"127.0.0.1:{ports[0]}", "weight": 3}, f"127.0.0.1:{ports[1]}"]})
    with (
        Http1System("a").serving(ports[0]), Http1System("b").serving(ports[1]),
        serving(plan, tmp_path) as bench,
    ):
        found = _served(bench, 200)
        assert 120 < found["a"] < 180, found


def test_whoever_asks_directly_asks_an_address_that_answers(pair: Pair, tmp_path: Path) -> None:
    """Health, checks and copies, with the url's host."""
    candidate = pair.plan.systems.candidate
    pair.end("new-1")
    assert reaching.is_well(candidate)
    assert speaks(candidate) is Speaks.HTTP1
    found = reaching.get(candidate, "/a?b", timeout=10).json()
    assert (found["served_by"], found["host"], found["path"]) == ("new-2", "new.internal", "/a?b")
    (answer,) = _calls(candidate, _exchange("/copy"))
    assert answer.status == 200 and b'"host": "new.internal"' in answer.body
    assert check_http(HttpCheck(kind="http", path="/"), CheckTarget(pair.plan, tmp_path))
    with reaching.new_client(candidate, timeout=10) as client:
        address = reaching.address(candidate)
        assert client.get(address).json()["served_by"] == "new-2"
        # the address that took the last connection is asked first
        pair.begin("new-1")
        assert client.get(address).json()["served_by"] == "new-2"
        pair.end("new-1")
    pair.end("new-2")
    assert not reaching.is_well(candidate)
    pair.begin("new-1")
    pair.begin("new-2")


def test_lever_of_the_script_is_pulled_at_one_address(tmp_path: Path) -> None:
    """The first that takes a connection; one that failed may have done it, so nobody else is asked.
    """
    ports = free_port(), free_port()
    system = plan_of({"url": f"http://127.0.0.1:{free_port()}"}, {
        "url": "http://new.internal/v2", "addresses": [f"127.0.0.1:{port}" for port in ports]},
    ).systems.candidate

    def pull() -> int:
        command = curling.post(system, "/stop", '{"why": "it\'s over"}', 20)
        return subprocess.run(command, check=False, cwd=tmp_path).returncode

    assert pull() == 7  # no connection, as curl says it
    first, second = Http1System("first"), Http1System("second")
    with second.serving(ports[1]):
        assert pull() == 0
        (got,) = second.requests
        assert (got["path"], got["host"], got["method"]) == ("/v2/stop", "new.internal", "POST")
        first.status = 503
        with first.serving(ports[0]):
            assert pull() == 22  # an answer that says no, as curl says it
        assert (len(first.requests), len(second.requests)) == (1, 1)


@pytest.mark.parametrize("dns", ["strict", "logical"])
def test_name_may_stand_for_the_addresses(tmp_path: Path, dns: str) -> None:
    """Both ways of asking for it work."""
    port = free_port()
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"}, {
        "url": "http://new.internal", "addresses": [f"localhost:{port}"], "dns": dns})
    with Http1System("new").serving(port), serving(plan, tmp_path) as bench:
        assert set(_served(bench, 5)) == {"new"}


@pytest.mark.parametrize(("protocol", "concurrency", "below"), [
    ("http1", None, ""), ("http1", 50, "/v2"), ("http2", None, "/v2"), ("http2", 50, "")])
def test_system_on_a_unix_socket_is_reached_by_all(
    tmp_path: Path, protocol: str, concurrency: int | None, below: str
) -> None:
    """Gateway, probes, checks, load and copies."""
    path = tmp_path / "shop.sock"
    kind = Http1System if protocol == "http1" else Http2System
    found: Any = kind("new")
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"}, {
        "url": f"unix://{path}{below and f':{below}'}", "protocol": protocol,
        "concurrency": concurrency})
    candidate = plan.systems.candidate
    assert not reaching.is_well(candidate)
    with found.serving(path=str(path)), serving(plan, tmp_path) as bench:
        assert set(_served(bench, 5)) == {"new"}
        assert reaching.is_well(candidate)
        assert speaks(candidate) in (Speaks.HTTP1, Speaks.HTTP2)
        (answer,) = _calls(candidate, _exchange("/copy"))
        assert answer.status == 200
        assert found.requests[-1]["path"] == f"{below}/copy"
        target = CheckTarget(plan, tmp_path)
        asked = LoadCheck.model_validate(
            {"kind": "load", "rates": [20], "each": "1s", "baseline": False})
        assert check_load(asked, target, lambda _: None).evidence
        assert len(found.requests) > 20
        assert {each["path"][:len(below)] for each in found.requests} == {below}
        assert subprocess.run(
            ["sh", "-c", curling.health(candidate, "20")], check=False).returncode == 0
    with pytest.raises(httpx.ConnectError):
        reaching.get(candidate, "/", timeout=5)
