"""The tap with a real Envoy: what arrives, how much, and that users never notice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from changeover.routing import Mode
from changeover.shadow.tap import Exchange, TapServer
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration
ALL = 10_000


@pytest.fixture
def tapped(tmp_path: Path) -> Iterator[Bench]:
    """A gateway whose plan copies GETs and one kind of POST."""
    shadow = {"sample": 100, "methods": ["GET"], "replay_unsafe": ["POST /ocr", "POST /api/*"]}
    yield from start_bench(make_plan(shadow=shadow), tmp_path)


@contextmanager
def tap(bench: Bench, most: int = 1_048_576) -> Iterator[tuple[list[Exchange], TapServer]]:
    """Take exchanges in a thread of their own until the block ends."""
    found: list[Exchange] = []
    server = TapServer(bench.gateway.files.tap_socket, found.append, most_body_bytes=most)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield found, server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


@contextmanager
def warm_tap(bench: Bench) -> Iterator[list[Exchange]]:
    """A tap that Envoy is connected to: it tries an address that failed only after a while."""
    with tap(bench) as (found, _):
        def arrives() -> bool:
            httpx.get(bench.url + "/warm")
            return bool(found)

        wait_for(arrives, what="the first tapped request")
        wait_for(lambda: not _grows(found), what="the last of them")
        found.clear()
        yield found


def _grows(found: list[Exchange]) -> bool:
    before = len(found)
    threading.Event().wait(0.1)
    return len(found) != before


def test_exchange_arrives_as_the_user_had_it(tapped: Bench) -> None:
    """Method, path with query, headers, both bodies, status."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with warm_tap(tapped) as found:
        seen = httpx.get(tapped.url + "/a?b=c", headers={"x-user-id": "ana"})
        httpx.post(tapped.url + "/ocr", content=b"x" * 100_000)
        wait_for(lambda: len(found) == 2, what="both exchanges")
    get, post = sorted(found, key=lambda exchange: exchange.method)
    assert (get.method, get.path, get.status) == ("GET", "/a?b=c", 200)
    assert get.header("x-user-id") == "ana"
    assert get.header("host") == tapped.plan.routing.listen
    assert get.header("x-request-id")
    assert get.response_body == seen.content
    assert dict(get.response_headers)["content-type"] == "application/json"
    assert 0 < get.duration < 5
    assert (post.path, post.request_body) == ("/ocr", b"x" * 100_000)


def test_only_what_the_plan_lists_is_tapped(tapped: Bench) -> None:
    """Unsafe methods elsewhere, other safe methods and event streams are not."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with warm_tap(tapped) as found:
        httpx.post(tapped.url + "/other", content=b"x")
        httpx.put(tapped.url + "/ocr", content=b"x")
        httpx.options(tapped.url + "/")
        httpx.get(tapped.url + "/events", headers={"accept": "text/event-stream"})
        httpx.post(tapped.url + "/api/deep/er", content=b"x")
        httpx.get(tapped.url + "/last")
        wait_for(lambda: len(found) >= 2, what="the listed ones")
        wait_for(lambda: not _grows(found))
    assert sorted(exchange.path for exchange in found) == ["/api/deep/er", "/last"]


def test_sample_changes_with_the_routes(tapped: Bench) -> None:
    """A fifth arrives when the state says a fifth, nothing when it says nothing."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with warm_tap(tapped) as found, httpx.Client(base_url=tapped.url) as users:
        tapped.move(Mode.SHADOW, shadow_sample=2000)
        for _ in range(600):
            users.get("/")
        wait_for(lambda: not _grows(found))
        assert 70 <= len(found) <= 170  # 120 expected, five standard deviations either way
        tapped.move(Mode.SHADOW, shadow_sample=0)
        found.clear()
        for _ in range(50):
            users.get("/")
        wait_for(lambda: not _grows(found))
        assert found == []


def test_nothing_is_tapped_where_the_candidate_serves_everyone(tapped: Bench) -> None:
    """There is no baseline's answer to compare with."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with warm_tap(tapped) as found:
        tapped.move(Mode.CANDIDATE_ONLY, 10_000, shadow_sample=ALL)
        for _ in range(20):
            assert httpx.get(tapped.url + "/").json()["served_by"] == "candidate"
        wait_for(lambda: not _grows(found))
        assert found == []


def test_users_get_their_answers_without_a_tap(tapped: Bench) -> None:
    """Nobody listens: every request is answered by the baseline all the same."""
    tapped.move(Mode.SHADOW, shadow_sample=ALL)
    with httpx.Client(base_url=tapped.url) as users:
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
