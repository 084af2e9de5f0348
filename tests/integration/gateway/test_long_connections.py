"""Websockets and event streams on the candidate end after a rollback, and on the baseline never."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.routing import BUCKETS, Mode, RoutingState, bucket
from changeover.gateway.long_connections import ended_in, open_now, was_ended
from changeover.gateway.tailer import Tailer
from changeover.procedures.rollback_script import write_rollback_script
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.processes import kill, wait_for

pytestmark = pytest.mark.integration
GRACE = 4.0
GRACE_SPEC = timedelta(seconds=GRACE)
KINDS = {
    "websocket": "upgrade: websocket\r\nconnection: upgrade\r\n",
    "event stream": "accept: text/event-stream\r\n",
}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A serving gateway whose systems keep connections open, with everyone at the baseline."""
    yield from start_bench(make_plan(rollback={"grace": f"{GRACE:g}s"}), tmp_path)


@dataclass
class Client:
    """Opens one long connection, again whenever it ends, and notes which system has it."""

    bench: Bench
    kind: str
    headers: str
    system: str = ""
    ended: list[float] = field(default_factory=list)
    failed: int = 0

    async def run(self) -> None:
        """Live until cancelled."""
        host, port = self.bench.plan.routing.listen.split(":")
        while True:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET /live HTTP/1.1\r\nhost: a\r\n{self.headers}{KINDS[self.kind]}\r\n"
                         .encode())
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                self.failed += not head.startswith(("http/1.1 101", "http/1.1 200"))
                self.system = head.partition("x-system: ")[2].partition("\r\n")[0]
                while await reader.read(1000):
                    pass
            except asyncio.IncompleteReadError:
                self.failed += 1
            except ConnectionError:
                pass
            finally:
                writer.close()
            self.system = ""
            self.ended.append(time.time())


@contextlib.asynccontextmanager
async def living(bench: Bench, each: int, *headers: str) -> AsyncIterator[list[Client]]:
    """Keep so many clients of each kind alive for each of the headers."""
    clients = [Client(bench, kind, line.format(number)) for line in headers for kind in KINDS
               for number in range(each)]
    tasks = [asyncio.create_task(client.run()) for client in clients]
    try:
        await until(lambda: all(client.system for client in clients))
        yield clients
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(is_so: Callable[[], object], seconds: float = 60) -> float:
    """Wait until something is so; return the moment."""
    await asyncio.to_thread(lambda: wait_for(is_so, seconds=seconds))
    return time.time()


def where(clients: list[Client]) -> Counter[str]:
    """Return how many have a connection with each system."""
    return Counter(client.system for client in clients)


async def ask(bench: Bench, done: asyncio.Event) -> list[int]:
    """Send new requests one after the other until done; return their statuses."""
    statuses = []
    async with httpx.AsyncClient(base_url=bench.url, timeout=60) as client:
        while not done.is_set():
            found = await client.get("/", headers={"x-user-id": f"n{len(statuses)}"})
            statuses.append(found.status_code)
    return statuses


def test_two_hundred_come_back_within_the_grace_and_a_second(bench: Bench) -> None:
    """100 websockets and 100 event streams return, each once; no new request fails meanwhile."""
    async def run() -> None:
        await asyncio.to_thread(bench.move, Mode.CANDIDATE_ONLY, BUCKETS)
        async with living(bench, 100, "x-user-id: u{}\r\n") as clients:
            assert where(clients) == {"candidate": 200}
            assert open_now(bench.gateway) == 200
            done = asyncio.Event()
            asking = asyncio.create_task(ask(bench, done))
            began = time.time()
            await asyncio.to_thread(bench.roll_back)
            assert time.time() - began < 1.5
            async with living(bench, 1, "x-user-id: new\r\n") as new:
                assert where(new) == {"baseline": 2}  # at once
            await until(lambda: where(clients) == {"baseline": 200}, GRACE + 10)
            done.set()
            statuses = await asking
            assert set(statuses) == {200} and len(statuses) > 100
            assert {len(client.ended) for client in clients} == {1}
            assert not sum(client.failed for client in clients)
            first, last = (pick(client.ended[0] for client in clients) - began
                           for pick in (min, max))
            assert first > GRACE - 1
            assert last < GRACE + 1
            assert open_now(bench.gateway) == 0
        await until(lambda: ended_in(bench.gateway, bench.state.epoch, GRACE_SPEC) == 200, 5)

    asyncio.run(run())


def test_ended_ones_are_no_evidence(bench: Bench) -> None:
    """What the gateway ended is no failure of the candidate; what the candidate ends is one."""
    async def run() -> None:
        await asyncio.to_thread(bench.move, Mode.CANDIDATE_ONLY, BUCKETS)
        async with living(bench, 5, "x-user-id: u{}\r\n") as clients:
            await asyncio.to_thread(bench.roll_back)
            await until(lambda: where(clients) == {"baseline": 10}, GRACE + 10)

    asyncio.run(run())
    log, gateway = bench.gateway.files.access_log, bench.gateway
    wait_for(lambda: ended_in(gateway, bench.state.epoch, GRACE_SPEC) == 10)
    told = [entry for entry in Tailer(log, {}).read() if entry.long_connection]
    kept = [entry for entry in Tailer(
        log, {}, leaves_out=lambda each: was_ended(each, gateway.hops(), GRACE_SPEC)).read()
        if entry.long_connection]
    assert len(told) == 10
    assert kept == []
    much_later = dataclasses.replace(told[0], end=told[0].end + 60)
    assert not was_ended(much_later, gateway.hops(), GRACE_SPEC)


@pytest.mark.parametrize("state", [{"weight": 5_000}, {"weight": 100, "segments": ("beta",)}],
                         ids=["by the split", "by the segment"])
def test_segment_comes_back_alone(bench: Bench, state: dict[str, Any]) -> None:
    """The segment's connections end; those of all others stay, at both systems."""
    low, high = (next(f"u{n}" for n in itertools.count() if is_it(bucket(f"u{n}")))
                 for is_it in (lambda b: b < 100, lambda b: b > 9_000))

    async def run() -> None:
        await asyncio.to_thread(lambda: bench.move(Mode.GRADUAL, **state))
        async with (
            living(bench, 5, f"x-user-id: {low}\r\nx-cohort: beta\r\n") as cohort,
            living(bench, 5, f"x-user-id: {low}\r\n", f"x-user-id: {high}\r\n") as others,
        ):
            assert where(cohort) == {"candidate": 10}
            assert where(others) == {"candidate": 10, "baseline": 10}
            assert open_now(bench.gateway, "beta") == 10
            await asyncio.to_thread(
                lambda: bench.move(Mode.GRADUAL, state["weight"], kept=("beta",)))
            await until(lambda: where(cohort) == {"baseline": 10}, GRACE + 10)
            await asyncio.sleep(1)
            assert {len(client.ended) for client in cohort} == {1}
            assert not any(client.ended for client in others)
            assert open_now(bench.gateway) == 10

    asyncio.run(run())


@pytest.mark.parametrize("way", ["break glass", "rollback.sh"])
def test_end_without_store_and_prefect(bench: Bench, tmp_path: Path, way: str) -> None:
    """Files and a shell suffice, once or twice; and the store's own state changes nothing more."""
    script = write_rollback_script(bench.plan, bench.gateway.files, tmp_path / "rescue")

    def go_back() -> None:
        if way == "break glass":
            bench.gateway.break_glass(reason="test", actor="test", now=clock.now())
        else:
            subprocess.run(["sh", str(script), "test"], check=True, timeout=60)

    async def run() -> None:
        await asyncio.to_thread(lambda: bench.move(Mode.GRADUAL, 10_000, segments=("beta",)))
        async with living(bench, 5, "x-user-id: u{}\r\n", "x-cohort: beta\r\n") as clients:
            assert where(clients) == {"candidate": 20}
            await asyncio.to_thread(go_back)
            await asyncio.to_thread(go_back)
            known = {name: hop.generation for name, hop in bench.gateway.hops().items()}
            assert set(known.values()) == {"1_3"}
            await until(lambda: where(clients) == {"baseline": 20}, GRACE + 10)
            state = RoutingState("bench", Mode.EMERGENCY_ROLLBACK, version=3, epoch=1)
            await asyncio.to_thread(bench.gateway.reconcile, bench.plan, state)
            assert known == {name: hop.generation for name, hop in bench.gateway.hops().items()}
            await asyncio.sleep(1)
            assert {len(client.ended) for client in clients} == {1}

    asyncio.run(run())


def test_publisher_that_is_killed_before_the_end_is_found_out(bench: Bench) -> None:
    """Routes in place and connections not told to end: whoever publishes again ends them once."""
    bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
    before = bench.gateway.files.listeners.read_bytes()
    bench.roll_back()
    after = bench.gateway.files.listeners.read_bytes()
    assert not bench.gateway.has_streams_to_end(bench.plan, bench.state)
    bench.gateway.files.listeners.write_bytes(before)
    assert bench.gateway.has_streams_to_end(bench.plan, bench.state)
    bench.gateway.publish(bench.plan, bench.state)
    assert not bench.gateway.has_streams_to_end(bench.plan, bench.state)
    now, then = (json.loads(text)["resources"] for text in (
        bench.gateway.files.listeners.read_bytes(), after))
    assert now == then


def test_dead_candidate_costs_no_new_connection(bench: Bench) -> None:
    """The hop says that it sent nothing, and the baseline answers in the candidate's place."""
    bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
    kill(bench.processes["candidate"])

    async def run() -> None:
        async with living(bench, 20, "x-user-id: u{}\r\n") as clients:
            assert where(clients) == {"baseline": 40}
            assert not sum(client.failed for client in clients)

    asyncio.run(run())
