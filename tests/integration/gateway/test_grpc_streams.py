"""Streams of gRPC on the candidate end after a rollback, as websockets do; other calls never."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from changeover.domain.routing import BUCKETS, Mode, RoutingState, bucket
from changeover.gateway.files import GatewayFiles
from changeover.gateway.long_connections import ended_in, open_now
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from tests.integration.conftest import Bench, make_plan
from tests.integration.gateway import test_long_connections as others
from tests.support.every_kind import serving
from tests.support.grpc_system import GrpcSystem, GrpcUser
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for

pytestmark = pytest.mark.integration
GRACE = others.GRACE
CODES = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
"""What clients see: a stream that was answered is reset, one that was not gets a status."""


@dataclass
class Stream:
    """Keeps one stream open, again whenever it ends, and notes which system has it.

    Args:
        user: The client whose connection it uses.
        name: The method.
        metadata: Of the call.
        is_answered: Whether it waits for an answer before it is counted as open.
    """

    user: GrpcUser
    name: str = "Both"
    metadata: Any = ()
    is_answered: bool = True
    system: str = ""
    ended: list[float] = field(default_factory=list)
    codes: list[grpc.StatusCode] = field(default_factory=list)
    failed: int = 0
    over: bool = False
    call: Any = None

    def run(self) -> None:
        """Live until `over`."""
        while not self.over:
            sent: queue.Queue[bytes | None] = queue.Queue()
            self.call = self.user.both(iter(sent.get, None), self.name, self.metadata)
            try:
                if self.is_answered or self.ended:
                    sent.put(b"hello")
                    self.system = next(self.call).decode().rpartition(" by ")[2]
                next(self.call)
            except grpc.RpcError as error:
                self.codes.append(error.code())
                self.failed += not self.system and self.is_answered
            self.system = ""
            self.ended.append(time.time())
            sent.put(None)


@contextlib.contextmanager
def living(*streams: Stream) -> Iterator[None]:
    """Keep some streams alive."""
    threads = [threading.Thread(target=each.run, daemon=True) for each in streams]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: all(each.system or not each.is_answered for each in streams))
        yield
    finally:
        for each in streams:
            each.over = True
            each.call.cancel()
        for thread in threads:
            thread.join(LONGEST_PAUSE)


def where(*streams: Stream) -> Counter[str]:
    """Return how many have a stream with each system."""
    return Counter(each.system for each in streams)


def plan_of(**changes: Any) -> Any:
    """Return a plan of two systems that speak HTTP/2, with one method that is a stream."""
    ports = [free_port() for _ in range(3)]
    systems = {name: {"name": name, "url": f"http://127.0.0.1:{port}", "protocol": "http2",
                      "timeout": "60s"}
               for name, port in zip(("baseline", "candidate"), ports, strict=False)}
    routing = {"listen": f"127.0.0.1:{ports[2]}",
               "segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}}
    return make_plan(systems=systems, routing=routing, rollback={
        "grace": f"{GRACE:g}s", "streams": ["/test.Shop/Both", "/test.Shop/Talk"]}, **changes)


@contextlib.contextmanager
def shop(plan: Any, directory: Path, *, every_kind: bool = False) -> Iterator[Bench]:
    """Start two systems and a gateway with everyone at the baseline."""
    gateway = Gateway(GatewayFiles(directory / "gateway"), patience=LONGEST_PAUSE)
    gateway.prepare(plan, RoutingState("bench", version=1))
    with contextlib.ExitStack() as stack:
        for name in ("baseline", "candidate"):
            address = plan.system(name).url.removeprefix("http://")
            port = int(address.rpartition(":")[2])
            stack.enter_context(
                serving(name, port, directory) if every_kind else GrpcSystem(name).serving(address))
        envoy = stack.enter_context(running(
            envoy_command(gateway.files, grace=plan.rollback.grace), directory / "envoy.log"))
        wait_for(gateway.admin.is_alive, what="envoy")
        with contextlib.closing(GrpcUser(plan.routing.listen, "first")) as user:
            wait_for(lambda: _is_answered(user), what="the gateway")
        yield Bench(plan, gateway, {"envoy": envoy}, RoutingState("bench", version=1))


def _is_answered(user: GrpcUser) -> bool:
    try:
        return bool(user.one())
    except grpc.RpcError:
        return False


def keep_calling(user: GrpcUser, done: asyncio.Event, found: list[str]) -> None:
    """Make calls with one answer until done; an error is noted as its status."""
    while not done.is_set():
        try:
            found.append(user.one()["served_by"])
        except grpc.RpcError as error:
            found.append(str(error.code()))


def test_every_kind_comes_back_within_the_grace_and_a_second(tmp_path: Path) -> None:
    """100 websockets, 100 event streams and 20 streams of gRPC, each once; meanwhile no new request
    and no new call fails.
    """
    plan = plan_of()
    with shop(plan, tmp_path, every_kind=True) as bench:
        asyncio.run(come_back(bench))
        # in the log all of them are told from failures of the candidate
        wait_for(lambda: ended_in(
            bench.gateway, bench.state.epoch, others.GRACE_SPEC) == 220)


async def come_back(bench: Bench) -> None:
    """Roll everyone back and look when each client is at the baseline."""
    await asyncio.to_thread(bench.move, Mode.CANDIDATE_ONLY, BUCKETS)
    with contextlib.ExitStack() as users:
        mine = [Stream(users.enter_context(contextlib.closing(
            GrpcUser(bench.plan.routing.listen, f"g{number}")))) for number in range(20)]
        caller = users.enter_context(contextlib.closing(GrpcUser(bench.plan.routing.listen, "c")))
        async with others.living(bench, 100, "x-user-id: u{}\r\n") as clients:
            users.enter_context(await asyncio.to_thread(opened, mine))
            assert (where(*mine), others.where(clients)) == ({"candidate": 20}, {"candidate": 200})
            assert open_now(bench.gateway) == 220
            done, called = asyncio.Event(), []
            asking = asyncio.create_task(others.ask(bench, done))
            calling = asyncio.create_task(asyncio.to_thread(keep_calling, caller, done, called))
            began = time.time()
            await asyncio.to_thread(bench.roll_back)
            await others.until(lambda: where(*mine) == {"baseline": 20}
                               and others.where(clients) == {"baseline": 200}, GRACE + 10)
            done.set()
            statuses = await asking
            await calling
        assert set(statuses) == {200} and len(statuses) > 50
        assert set(called) <= {"baseline", "candidate"} and called[-1] == "baseline"
        assert {len(each.ended) for each in [*mine, *clients]} == {1}
        assert not sum(each.failed for each in [*mine, *clients])
        assert {code for each in mine for code in each.codes} <= CODES
        last = max(each.ended[0] for each in [*mine, *clients]) - began
        assert last < GRACE + 1
        assert open_now(bench.gateway) == 0


def opened(streams: list[Stream]) -> Any:
    """Return streams that are alive, as something to enter."""
    entered = contextlib.ExitStack()
    entered.enter_context(living(*streams))
    return entered


def test_calls_that_are_no_streams_are_left_alone(tmp_path: Path) -> None:
    """One that takes longer than the grace ends by itself: repeated, it might run twice."""
    plan = plan_of()
    plan = plan.model_copy(update={"rollback": plan.rollback.model_copy(
        update={"streams": ["/test.Shop/Talk"]})})
    with (shop(plan, tmp_path) as bench,
          contextlib.closing(GrpcUser(plan.routing.listen, "u")) as user):
        bench.move(Mode.CANDIDATE_ONLY, BUCKETS)
        talking, other = Stream(user, "Talk"), Stream(user, "Both")
        silent = Stream(user, "Talk", is_answered=False)
        with living(talking, other, silent):
            bench.roll_back()
            assert user.one()["served_by"] == "baseline"
            wait_for(lambda: where(talking, silent) == {"baseline": 2})
            threading.Event().wait(GRACE)
            assert (other.system, other.ended) == ("candidate", [])
        # what had no answer yet is told to try again
        assert silent.codes[0] is grpc.StatusCode.UNAVAILABLE
        assert talking.codes[0] in CODES


@pytest.mark.parametrize("part", ["segment", "split", "route"])
def test_a_part_comes_back_alone(tmp_path: Path, part: str) -> None:
    """A segment that was moved or split, or a route: its streams end, and those of others stay."""
    routes = [{"name": "talks", "path": {"exact": "/test.Shop/Talk"}}]
    plan = plan_of(routes=routes if part == "route" else [])
    low = next(f"u{n}" for n in itertools.count() if bucket(f"u{n}") < 100)
    parts = {"segment": {"segments": ("beta",), "weight": 100},
             "split": {"weight": 5_000},
             "route": {"weight": 5_000, "routes": (("talks", BUCKETS),)}}
    after = {"segment": {"weight": 100, "kept": ("beta",)},
             "split": {"weight": 5_000, "kept": ("beta",)},
             "route": {"weight": 5_000, "kept_routes": ("talks",)}}
    with (shop(plan, tmp_path) as bench,
          contextlib.closing(GrpcUser(plan.routing.listen, low)) as user):
        bench.move(Mode.GRADUAL, **parts[part])
        name, metadata = ("Talk", ()) if part == "route" else ("Both", (("x-cohort", "beta"),))
        mine = [Stream(user, name, metadata) for _ in range(5)]
        rest = [Stream(user, "Both") for _ in range(5)]
        with living(*mine, *rest):
            assert where(*mine, *rest) == {"candidate": 10}
            bench.move(Mode.GRADUAL, **after[part])
            wait_for(lambda: where(*mine) == {"baseline": 5}, seconds=GRACE + 10)
            threading.Event().wait(GRACE)
            assert {len(each.ended) for each in mine} == {1}
            assert where(*rest) == {"candidate": 5}
            assert not any(each.ended for each in rest)
