"""The shadow service from the inside: what it sends, when it stops, what it counts and keeps."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.comparison.answers import Answer
from changeover.domain.audit import Author
from changeover.domain.comparisons import Compared
from changeover.domain.routing import Change, Mode
from changeover.gateway.admin import Served
from changeover.plan.comparing import ShadowSpec
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec
from changeover.shadow import service
from changeover.shadow.calls import Caller
from changeover.shadow.judging import Answers, Asked, Judge
from changeover.shadow.service import Shadow
from changeover.shadow.tap import Exchange
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import comparisons, divergences, plans, routing
from changeover.store.engine import Store
from tests.support.processes import LONGEST_PAUSE
from tests.support.ready_store import ready_store

pytestmark = [pytest.mark.integration, pytest.mark.anyio]

JSON = (("content-type", "application/json"),)
EXCHANGE = Exchange("GET", "/a", (), b"", 200, JSON, b'{"a":1}', clock.now(), 0.1)


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio."""
    return "asyncio"


class System:
    """A system that answers `{"a":2}` as soon as it may, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.asked.append(line.decode("utf-8", "replace").rsplit(" ", 1)[0])
            while (await reader.readline()).strip():
                pass
            await self.may_answer.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                         b'content-length: 7\r\n\r\n{"a":2}')
        writer.close()


@asynccontextmanager
async def system() -> AsyncIterator[System]:
    """Start a system."""
    found = System()
    server = await asyncio.start_server(found.take, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield found
    found.may_answer.set()
    server.close()


def plan_of(
    url: str, *, concurrency: int | None = None, timeout: str = "60s", **comparison: Any
) -> Plan:
    """Return a plan whose systems both listen at `url`."""
    of = {"name": "a", "url": url, **({"concurrency": concurrency} if concurrency else {})}
    return Plan.model_validate({
        "migration": "shop", "systems": {"baseline": of, "candidate": of},
        "shadow": {"noise": 0, "max_load": 1, "timeout": timeout, "replay_unsafe": ["POST /ocr"]},
        "comparison": {"headers": [], **comparison},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
    })


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in shadow mode, with everything sampled."""
    opened = ready_store(f"sqlite:///{tmp_path}/store.db")
    plans.register(opened, plan_of("http://127.0.0.1:1"), source="test", now=clock.now())
    move(opened, mode=Mode.SHADOW, shadow_sample=10_000)
    yield opened
    opened.close()


def move(store: Store, **change: Any) -> None:
    """Change the routing state, as a person does."""
    routing.change(
        store, "shop", Change(is_by_person=True, **change), Author("test", "test"),
        now=clock.now())


@asynccontextmanager
async def shadowing(plan: Plan, store: Store, home: Path, **options: Any) -> AsyncIterator[Shadow]:
    """Run the service until the block ends, and until it has ended itself."""
    (home / "run").mkdir(exist_ok=True)
    shadow = Shadow(Site(Home(home), plan, store), **options)
    shadow.tap.socket.parent.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    task = asyncio.create_task(shadow.run(stop))
    await until(lambda: shadow.state is not None)
    yield shadow
    stop.set()
    await task


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(2 * LONGEST_PAUSE):
        while not is_so():
            await asyncio.sleep(0.01)


def counts(store: Store) -> dict[str, int]:
    """Return what the store knows of what became of exchanges."""
    return comparisons.coverage(store, "shop")


async def test_what_waits_is_not_sent_after_a_rollback(store: Store, tmp_path: Path) -> None:
    """Copies under way end; those in the queue stay unsent, and are counted."""
    async with system() as candidate:
        plan = plan_of(candidate.url, concurrency=2)
        async with shadowing(plan, store, tmp_path) as shadow:
            for _ in range(20):
                shadow.offer(EXCHANGE)
            await until(lambda: len(candidate.asked) == 2)
            move(store, mode=Mode.EMERGENCY_ROLLBACK)
            await until(lambda: shadow.state is not None
                        and shadow.state.mode is Mode.EMERGENCY_ROLLBACK)
            candidate.may_answer.set()
            await until(lambda: counts(store).get("compared") == 2)
        assert len(candidate.asked) == 2
        assert counts(store)["dropped: not shadowing"] == 18


@pytest.mark.parametrize("change", [
    {"mode": Mode.BASELINE_ONLY}, {"shadow_sample": 0},
    {"maintenance": True, "maintenance_reason": "cellar"},
], ids=["baseline_only", "no sample", "maintenance"])
async def test_nothing_is_taken_when_nothing_is_copied(
    store: Store, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Whatever the gateway still sends: the routing state says that nobody is copied."""
    move(store, **change)
    async with system() as candidate:
        candidate.may_answer.set()
        async with shadowing(plan_of(candidate.url), store, tmp_path) as shadow:
            assert not shadow.is_wanted()
            shadow.offer(EXCHANGE)
        assert candidate.asked == []
        assert counts(store) == {"dropped: not shadowing": 2}


async def test_only_listed_requests_are_sent(store: Store, tmp_path: Path) -> None:
    """An unlisted DELETE is never repeated, even when a gateway sends it here."""
    async with system() as candidate:
        candidate.may_answer.set()
        async with shadowing(plan_of(candidate.url), store, tmp_path) as shadow:
            for method, path in (("DELETE", "/a"), ("POST", "/ocrs"), ("POST", "/ocr?b=1")):
                shadow.offer(replace(EXCHANGE, method=method, path=path))
            await until(lambda: counts(store).get("compared") == 1)
        assert candidate.asked == ["POST /ocr?b=1"]
        assert counts(store)["dropped: not in methods or replay_unsafe"] == 2


async def test_who_got_a_part_only_is_compared_by_the_whole(store: Store, tmp_path: Path) -> None:
    """The user's 304 says nothing: the baseline is asked for the whole answer, as the candidate."""
    known = replace(EXCHANGE, status=304, response_body=b"",
                    request_headers=(("if-none-match", '"7"'),))
    async with system() as both:
        both.may_answer.set()
        async with shadowing(plan_of(both.url), store, tmp_path) as shadow:
            shadow.offer(known)
            await until(lambda: counts(store).get("compared") == 1)
        assert both.asked == ["GET /a"] * 2
        assert divergences.places(store, "shop") == []


async def test_without_the_whole_answer_nothing_is_compared(store: Store, tmp_path: Path) -> None:
    """A baseline that does not answer the second time does not blame the candidate."""
    known = replace(EXCHANGE, status=206, request_headers=(("range", "bytes=0-1"),))
    async with shadowing(plan_of("http://127.0.0.1:1"), store, tmp_path) as shadow:
        shadow.offer(known)
        await until(lambda: counts(store))
    assert counts(store) == {"dropped: no whole answer from the baseline": 1}


async def test_paths_and_ids_that_are_no_utf_8_are_stored(store: Store, tmp_path: Path) -> None:
    """They go out as they came, and are shown as far as they can be."""
    odd = replace(EXCHANGE, path="/caf\udce9", request_headers=(("x-request-id", "\udcff"),))
    async with system() as candidate:
        candidate.may_answer.set()
        async with shadowing(plan_of(candidate.url), store, tmp_path) as shadow:
            shadow.offer(odd)
            await until(lambda: counts(store).get("compared") == 1)
        (place,) = divergences.places(store, "shop")
        assert place.examples[0]["request"] == "GET /caf\ufffd"


@pytest.mark.parametrize(("method", "path", "copies"), [
    ("GET", "/any?x=1", True), ("HEAD", "/any", False), ("POST", "/api/v1", True),
    ("POST", "/api", False), ("POST", "/ocr", True), ("PUT", "/ocr", False),
])
def test_methods_and_paths_are_those_that_the_gateway_copies(
    method: str, path: str, copies: bool
) -> None:
    """A `*` stands at the end of a path and means everything below."""
    spec = ShadowSpec(methods=["GET"], replay_unsafe=["POST /ocr", "POST /api/*"])
    assert spec.copies(method, path) is copies


async def test_waiting_for_a_turn_is_no_timeout() -> None:
    """A system that takes one call at a time gets one at a time, each with the whole timeout."""
    async with system() as one:
        spec = SystemSpec(name="c", url=one.url, concurrency=1)
        caller = Caller(spec, timeout=2, concurrency=8)
        answers = await asyncio.gather(*(caller.call(EXCHANGE) for _ in range(3)))
        await caller.close()
        assert [answer.error for answer in answers] == ["timeout"] * 3
        assert len(one.asked) == 3


async def test_a_process_without_a_processor_does_not_blame_the_candidate(
    store: Store, tmp_path: Path
) -> None:
    """A call whose time ran out while nothing here could run is dropped and counted."""
    async with system() as candidate:
        plan = plan_of(candidate.url, timeout="2s")
        async with shadowing(plan, store, tmp_path) as shadow:
            shadow.offer(EXCHANGE)
            await until(lambda: candidate.asked)
            time.sleep(2.5)  # longer than the call may take
            await until(lambda: counts(store))
        assert counts(store) == {"dropped: service was late itself": 1}


async def test_rules_expire_while_the_service_runs(store: Store, tmp_path: Path) -> None:
    """From the day on that a rule names, what it hid is a divergence."""
    day = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)
    rule = {"path": "$.a", "ignore": True, "expires": "2026-11-25"}
    async with system() as candidate:
        candidate.may_answer.set()
        now = [day]
        plan = plan_of(candidate.url, rules=[rule])
        async with shadowing(plan, store, tmp_path, now=lambda: now[0]) as shadow:
            shadow.offer(EXCHANGE)
            await until(lambda: counts(store).get("compared") == 1)
            now[0] = day + timedelta(minutes=1)
            shadow.offer(EXCHANGE)
            await until(lambda: counts(store).get("compared") == 2)
        (place,) = divergences.places(store, "shop")
        assert (place.diverged, place.ignored) == (1, 1)


async def test_what_waits_when_it_ends_is_counted(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every exchange that was offered has an outcome, also those under way for too long."""
    monkeypatch.setattr(service, "STOP_SECONDS", 0.1)
    async with system() as candidate:
        async with shadowing(plan_of(candidate.url), store, tmp_path) as shadow:
            for _ in range(20):
                shadow.offer(EXCHANGE)
            await until(lambda: len(candidate.asked) == shadow.spec.concurrency)
        assert counts(store) == {"dropped: stopped": 20}


async def test_what_is_under_way_when_it_ends_is_compared(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service waits for it, for a moment."""
    monkeypatch.setattr(service, "STOP_SECONDS", LONGEST_PAUSE)
    async with system() as candidate:
        async with shadowing(plan_of(candidate.url), store, tmp_path) as shadow:
            shadow.offer(EXCHANGE)
            await until(lambda: len(candidate.asked) == 1)
            asyncio.get_running_loop().call_later(0.2, candidate.may_answer.set)
        assert counts(store) == {"compared": 1}


async def test_one_odd_comparison_does_not_keep_others_from_the_store(
    store: Store, tmp_path: Path
) -> None:
    """What cannot be stored is dropped, counted and told; the service goes on saving."""
    good, odd = of(1), replace(of(2), similarity=None)  # type: ignore[arg-type]
    async with shadowing(plan_of("http://127.0.0.1:1"), store, tmp_path) as shadow:
        shadow._unsaved = [good, good, odd, good]
        await until(lambda: counts(store).get("compared") == 3)
        shadow._unsaved = [good]
        await until(lambda: counts(store).get("compared") == 4)
    assert counts(store)["dropped: not storable"] == 1


async def test_whatever_fails_is_tried_again(store: Store, tmp_path: Path) -> None:
    """A fault that nobody thought of does not end saving, following or beating for good."""
    shadow = Shadow(Site(Home(tmp_path), plan_of("http://127.0.0.1:1"), store))
    tried = []

    async def fail() -> None:
        tried.append(1)
        raise KeyError("odd")

    task = asyncio.create_task(shadow._every(0, fail))
    await until(lambda: len(tried) > 1)
    task.cancel()


async def test_keys_that_no_encoding_knows_are_stored(store: Store, tmp_path: Path) -> None:
    """Half a surrogate pair and a long number in one answer: both are what they are."""
    body = rb'{"\ud800":1,"n":1234567890123456789012}'
    async with shadowing(plan_of("http://127.0.0.1:1"), store, tmp_path) as shadow:
        shadow._unsaved = [of(1, body)]
        await until(lambda: counts(store).get("compared") == 1)
    assert "dropped: not storable" not in counts(store)


def of(number: int, body: bytes = b'{"a":2}') -> Compared:
    """Return a comparison that differs."""
    headers = {"content-type": "application/json"}
    return Judge.of(None, None, today=clock.now().date()).judge(
        Asked(clock.now(), "GET /a", str(number)), saves_answers=False,
        answers=Answers(Answer(200, headers, b'{"a":1}'), Answer(200, headers, body)))


async def test_no_copies_while_the_gateway_serves_other_routes(
    store: Store, tmp_path: Path
) -> None:
    """As where a node's agent is away: a user's answer may then be the candidate's."""
    gateway = _Gateway()
    async with system() as other, shadowing(plan_of(other.url), store, tmp_path) as shadow:
        other.may_answer.set()
        await until(lambda: shadow.state is not None)
        shadow._admin = gateway  # type: ignore[assignment]
        await until(lambda: not shadow.is_wanted())
        shadow.offer(EXCHANGE)
        assert shadow.state is not None
        gateway.version = shadow.state.order
        await until(shadow.is_wanted)
        shadow.offer(EXCHANGE)
        await until(lambda: counts(store).get("compared") == 1)
        assert len(other.asked) == 1
    assert counts(store)["dropped: gateway serves other routes"] > 0


class _Gateway:
    """An Envoy that serves what it is told."""

    version: tuple[int, int] | None = (0, 0)

    def served(self) -> Served:
        return Served(self.version, 0)

    def counters(self, pattern: str) -> dict[str, int]:
        return {}


async def test_counts_without_a_comparison_wait_when_they_cannot_be_stored(
    store: Store, tmp_path: Path
) -> None:
    """They are not lost with the attempt."""
    async with shadowing(plan_of("http://127.0.0.1:1"), store, tmp_path) as shadow:
        writes, shadow._writes = shadow._writes, _Broken()
        await shadow._write([], Counter({"seen": 2}))
        shadow._writes = writes
        assert shadow.counts["seen"] == 2


class _Broken:
    """A writer that fails as nobody foresaw."""

    def do(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")
