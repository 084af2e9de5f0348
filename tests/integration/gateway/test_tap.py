"""The tap with a real Envoy: what arrives, how much, and that users never notice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from changeover.domain.routing import Mode
from changeover.shadow.tap import Exchange, TapServer
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.reached import plan_of, serving
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for

pytestmark = pytest.mark.integration
ALL = 10_000


@pytest.fixture
def tapped(tmp_path: Path) -> Iterator[Bench]:
    """A gateway whose plan copies GETs and one kind of POST."""
    shadow = {"sample": 100, "methods": ["GET"], "replay_unsafe": ["POST /ocr", "POST /api/*"]}
    yield from start_bench(make_plan(shadow=shadow), tmp_path)


@contextmanager
def tap(bench: Bench, most: int = 1_048_576) -> Iterator[tuple[list[Exchange], TapServer]]:
    """Take exchanges in a thread of their own until the block ends, those of `/warm` unnoted."""
    found: list[Exchange] = []

    def take(exchange: Exchange) -> None:
        if exchange.path != "/warm":
            found.append(exchange)

    server = TapServer(bench.gateway.files.tap_socket, take, most_body_bytes=most)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(LONGEST_PAUSE)
    try:
        yield found, server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(LONGEST_PAUSE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LONGEST_PAUSE)


@contextmanager
def warm_tap(bench: Bench) -> Iterator[list[Exchange]]:
    """A tap that Envoy is connected to: it tries an address that failed only after a while."""
    with tap(bench) as (found, server):
        def arrives() -> bool:
            httpx.get(bench.url + "/warm")
            return server.seen > server.incomplete

        wait_for(arrives, what="the first tapped request")
        yield found


def tapped_paths(bench: Bench, found: list[Exchange]) -> list[str]:
    """Return the paths of what was tapped before a last request, once that one has arrived."""
    def arrives() -> bool:
        httpx.get(bench.url + "/last")
        return any(exchange.path == "/last" for exchange in found)

    wait_for(arrives, what="the last request")
    paths = [exchange.path for exchange in found]
    return paths[:paths.index("/last")]


def test_exchange_arrives_as_the_user_had_it(tapped: Bench) -> None:
    """Method, path with query, headers, both bodies, status."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with warm_tap(tapped) as found:
        with httpx.Client(base_url=tapped.url, timeout=LONGEST_PAUSE) as users:
            seen = users.get("/a?b=c", headers={"x-user-id": "ana"})
            users.post("/ocr", content=b"x" * 100_000)
        wait_for(lambda: len(found) == 2, what="both exchanges")
    get, post = sorted(found, key=lambda exchange: exchange.method)
    assert (get.method, get.path, get.status) == ("GET", "/a?b=c", 200)
    assert get.header("x-user-id") == "ana"
    assert get.header("host") == tapped.plan.routing.listen
    assert get.header("x-request-id")
    assert get.response_body == seen.content
    assert dict(get.response_headers)["content-type"] == "application/json"
    assert 0 < get.duration < 600
    assert (post.path, post.request_body) == ("/ocr", b"x" * 100_000)


def test_calls_of_grpc_arrive_with_their_trailers(tmp_path: Path) -> None:
    """Where a call says how it ended, behind its messages or without any."""
    pytest.importorskip("grpc")
    from tests.support.grpc_system import SERVICE, GrpcSystem, GrpcUser

    ports = free_port(), free_port()
    plan = plan_of(*({"url": f"http://127.0.0.1:{port}", "protocol": "http2"} for port in ports),
                   shadow={"replay_unsafe": [f"POST /{SERVICE}/*"]})
    with (
        GrpcSystem("old").serving(f"127.0.0.1:{ports[0]}"), serving(plan, tmp_path) as bench,
        warm_tap_after(bench) as found,
    ):
        user = GrpcUser(plan.routing.listen)
        user.one(b"a")
        with pytest.raises(Exception, match="as asked"):
            user.call("Fail", b"NOT_FOUND")
        user.close()
        wait_for(lambda: len(found) == 2, what="both calls")
    by_path = {each.path.rpartition("/")[2]: dict(each.response_headers) for each in found}
    assert (by_path["One"]["grpc-status"], by_path["One"]["x-served-by"]) == ("0", "old")
    assert (by_path["Fail"]["grpc-status"], by_path["Fail"]["grpc-message"]) == ("5", "as asked")
    assert all(each.response_body for each in found if each.path.endswith("One"))


@contextmanager
def warm_tap_after(bench: Bench) -> Iterator[list[Exchange]]:
    """Copy everything, to a tap that Envoy is connected to."""
    bench.move(Mode.SHADOW, shadow_sample=ALL)
    with warm_tap(bench) as found:
        yield found


def test_only_what_the_plan_lists_is_tapped(tapped: Bench) -> None:
    """Unsafe methods elsewhere, other safe methods and event streams are not."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with warm_tap(tapped) as found:
        with httpx.Client(base_url=tapped.url, timeout=LONGEST_PAUSE) as users:
            users.post("/other", content=b"x")
            users.put("/ocr", content=b"x")
            users.options("/")
            users.get("/events", headers={"accept": "text/event-stream"})
            users.post("/api/deep/er", content=b"x")
            users.get("/listed")
        assert tapped_paths(tapped, found) == ["/api/deep/er", "/listed"]


def test_sample_changes_with_the_routes(tapped: Bench) -> None:
    """A fifth arrives when the state says a fifth, nothing when it says nothing."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with (
        warm_tap(tapped) as found,
        httpx.Client(base_url=tapped.url, timeout=LONGEST_PAUSE) as users,
    ):
        for sample, path, requests in ((2000, "/fifth", 600), (0, "/nothing", 50)):
            tapped.move(Mode.SHADOW, shadow_sample=sample)
            for _ in range(requests):
                users.get(path)
        tapped.move(Mode.SHADOW, shadow_sample=ALL)
        paths = tapped_paths(tapped, found)
        # 120 expected, five standard deviations either way
        assert 70 <= paths.count("/fifth") == len(paths) <= 170


def test_nothing_is_tapped_where_the_candidate_serves_everyone(tapped: Bench) -> None:
    """There is no baseline's answer to compare with."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with (
        warm_tap(tapped) as found,
        httpx.Client(base_url=tapped.url, timeout=LONGEST_PAUSE) as users,
    ):
        tapped.move(Mode.CANDIDATE_ONLY, 10_000, shadow_sample=ALL)
        for _ in range(20):
            assert users.get("/").json()["served_by"] == "candidate"
        tapped.move(Mode.SHADOW, shadow_sample=ALL)
        assert tapped_paths(tapped, found) == []


def test_users_get_their_answers_without_a_tap(tapped: Bench) -> None:
    """Nobody listens: every request is answered by the baseline all the same."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with httpx.Client(base_url=tapped.url, timeout=LONGEST_PAUSE) as users:
        answers = [users.get("/").json()["served_by"] for _ in range(200)]
    assert set(answers) == {"baseline"}


def test_bodies_beyond_the_limit_are_cut_and_said_so(tapped: Bench) -> None:
    """Memory stays bounded, and a cut answer is not compared as if it were whole."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with tap(tapped, most=1000) as (found, server):
        def arrives() -> bool:
            httpx.post(tapped.url + "/ocr", content=b"x" * 50_000)
            return bool(found)

        wait_for(arrives, what="the exchange")
        assert found[0].is_cut
        assert len(found[0].request_body) + len(found[0].response_body) == 1000
        assert server.incomplete == 0
