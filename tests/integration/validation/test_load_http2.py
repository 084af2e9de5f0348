"""Load in HTTP/2: many streams on one connection, each of which fails or is answered alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from changeover.checks.suites.load import Served, offer
from changeover.checks.suites.way import Http1Way, Http2Way, Way
from changeover.plan.load_requests import Asked, LoadRequest
from changeover.plan.systems import SystemSpec
from tests.support.http1_system import Http1System
from tests.support.http2_system import Http2System
from tests.support.processes import free_port

pytestmark = pytest.mark.integration
System = tuple[Http2System, SystemSpec]


@pytest.fixture
def system() -> Iterator[System]:
    """A system that speaks HTTP/2, and how it is reached."""
    port, found = free_port(), Http2System("new")
    with found.serving(port):
        yield found, SystemSpec.model_validate({
            "name": "new", "url": f"http://127.0.0.1:{port}", "protocol": "http2"})


def loaded(way: Way, *requests: Asked) -> Served:
    """Offer 40 requests within a second."""
    return asyncio.run(offer(way, requests, rate=40, seconds=1))


def test_many_requests_are_under_way_on_one_connection(system: System) -> None:
    """The system answers none of forty before it has all of them."""
    found, spec = system
    found.held = 40
    served = loaded(Http2Way(spec), Asked("/held"))
    assert (served.sent, served.failed) == (40, 0)
    assert (len(found.requests), len(found.peers)) == (40, 1)


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_requests_have_method_headers_and_body(protocol: str) -> None:
    """As the plan says, in both protocols; also bodies beyond a window of HTTP/2."""
    port = free_port()
    found: Any = {"http1": Http1System, "http2": Http2System}[protocol]("new")
    spec = SystemSpec.model_validate({
        "name": "new", "url": f"http://127.0.0.1:{port}", "protocol": protocol})
    way = Http2Way(spec) if protocol == "http2" else Http1Way.of(spec)
    asked = [LoadRequest(method="POST", path="/orders?x=1", body={"a": "ö"}).asked,
             LoadRequest(method="PUT", path="/b", headers={"x-kind": "big"},
                         body="x" * 200_000).asked,
             LoadRequest(method="DELETE", path="/orders/1").asked]
    with found.serving(port):
        served = loaded(way, *asked)
    assert (served.sent, served.failed) == (40, 0)
    got = {(each["method"], each["path"], each["size"]) for each in found.requests}
    assert got == {("POST", "/orders?x=1", 11), ("PUT", "/b", 200_000), ("DELETE", "/orders/1", 0)}
    headers = {each["method"]: each["headers"] for each in found.requests}
    assert headers["POST"]["content-type"] == "application/json"
    assert headers["PUT"]["x-kind"] == "big"


def test_streams_that_are_refused_are_sent_again(system: System) -> None:
    """Whatever the method: the system did not process them. Always refused, they are named."""
    found, spec = system
    found.refuses = 3
    served = loaded(Http2Way(spec), Asked("/refused", "POST", body=b"x"))
    assert (served.failed, served.sent_again, len(found.requests)) == (0, 3, 40)
    found.refuses = 1_000
    served = loaded(Http2Way(spec), Asked("/refused", "POST", body=b"x"))
    assert served.failures == {"not processed: REFUSED_STREAM": 40}
    assert (served.answered, len(found.requests)) == (0, 40)


def test_connection_that_ends_in_good_order_loses_nothing(system: System) -> None:
    """What it has is answered after GOAWAY; what came later goes over another one, once."""
    found, spec = system
    found.held = 100

    async def run() -> tuple[list[int], int]:
        async with Http2Way(spec).session(15) as session:
            await session.ask(Asked("/first"))
            statuses = await asyncio.gather(*(
                session.ask(Asked(path, "POST")) for path in ("/held", "/ending", "/late")))
            return statuses, session.sent_again

    assert asyncio.run(run()) == ([200, 200, 200], 1)
    assert [each["path"] for each in found.requests] == ["/first", "/held", "/ending", "/late"]
    assert len(found.peers) == 2


@pytest.mark.parametrize(("path", "why"), [
    ("/reset", "RST_STREAM NO_ERROR"), ("/status/503", "status 503")])
def test_one_stream_fails_alone_and_is_named(system: System, path: str, why: str) -> None:
    """The others on the same connection are answered."""
    found, spec = system
    served = loaded(Http2Way(spec), Asked(path), Asked("/fine"))
    assert (served.failures, served.failed) == ({why: 20}, 20)
    assert len(found.peers) == 1
    assert served.as_data()["failures"] == {why: 20}


def test_what_may_have_been_done_is_not_sent_again(system: System) -> None:
    """A connection that breaks after a POST: at most once at the system, and counted as failed."""
    found, spec = system
    served = loaded(Http2Way(spec), Asked("/drop", "POST", body=b"x"))
    assert served.failures == {"the connection ended": 40}
    assert len(found.requests) <= 40 and served.sent_again == 0
