"""gRPC between real clients and real servers, through a real Envoy."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import xxhash

from changeover.analysis.window import ErrorClass
from changeover.domain.routing import BUCKETS, Mode, RoutingState
from changeover.gateway import reaching
from changeover.gateway.accesslog import Entry, classify
from changeover.gateway.files import GatewayFiles
from changeover.gateway.probe import Speaks, speaks
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.gateway.tailer import Tailer
from tests.integration.conftest import Bench, make_plan
from tests.support.grpc_system import GrpcSystem, GrpcUser
from tests.support.processes import LONGEST_PAUSE, free_port, running, upstream, wait_for

pytestmark = pytest.mark.integration
HEALTH = "/grpc.health.v1.Health/Check"


@dataclass(kw_only=True)
class Shop(Bench):
    """A gateway between two gRPC systems."""

    old: GrpcSystem
    new: GrpcSystem

    @contextlib.contextmanager
    def user(self, key: str = "u") -> Iterator[GrpcUser]:
        """A client that goes through the gateway."""
        user = GrpcUser(self.plan.routing.listen, key)
        try:
            yield user
        finally:
            user.close()

    def entries(self, number: int) -> list[Entry]:
        """Return the log's lines when there are as many."""
        found: list[Entry] = []
        tailer = Tailer(self.gateway.files.access_log, {})

        def are_there() -> bool:
            found.extend(tailer.read())
            return len(found) >= number

        wait_for(are_there, what=f"{number} lines of the log")
        return found


@pytest.fixture(params=[None, 100], ids=["no limit", "limited"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """Everyone at the candidate, with and without the second hop of a limit, and one of bodies."""
    ports = [free_port() for _ in range(3)]
    limits = {"limits": {"body": "1kB"}} if request.param else {}
    plan = make_plan(systems={
        "baseline": {"name": "old", "url": f"http://127.0.0.1:{ports[0]}", "protocol": "http2",
                     "health": HEALTH},
        "candidate": {"name": "new", "url": f"http://127.0.0.1:{ports[1]}", "protocol": "http2",
                      "health": HEALTH, "concurrency": request.param},
    }, routing={"listen": f"127.0.0.1:{ports[2]}", **limits})
    gateway = Gateway(GatewayFiles(tmp_path / "gateway"), patience=LONGEST_PAUSE)
    gateway.prepare(plan, RoutingState("bench", version=1))
    old, new = GrpcSystem("baseline"), GrpcSystem("candidate")
    with (
        old.serving(f"127.0.0.1:{ports[0]}"), new.serving(f"127.0.0.1:{ports[1]}"),
        running(envoy_command(gateway.files), tmp_path / "envoy.log") as envoy,
    ):
        wait_for(gateway.admin.is_alive, what="envoy")
        bench = Shop(plan, gateway, {"envoy": envoy}, RoutingState("bench", version=1),
                     old=old, new=new)
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        yield bench


def test_calls_and_streams_pass_with_their_trailers(shop: Shop) -> None:
    """One answer, many answers, and both ways at once, as straight at the system."""
    with shop.user() as user:
        answer, trailers = user.call("One", b"hello", metadata=(("x-token-bin", b"\x00\xff"),))
        assert b'"served_by": "candidate"' in answer and b"hello" in answer
        assert trailers["x-served-by"] == "candidate"
        assert user.many(500)[-1] == b"499 of candidate"
        sent: queue.Queue[bytes | None] = queue.Queue()
        stream = user.both(iter(sent.get, None))
        # more bytes than a limit of bodies: a stream is none
        for number in range(200):
            # each answer comes before the next message is sent: nothing waits for an end
            sent.put(b"%d" % number)
            assert next(stream) == b"%d by candidate" % number
        sent.put(None)
        assert list(stream) == []
        assert dict(stream.trailing_metadata())["x-served-by"] == "candidate"


def test_status_of_a_call_is_read_as_the_http_status_it_stands_for(shop: Shop) -> None:
    """Failures of the system count as 5xx do, those of the client as 4xx."""
    names = ["UNAVAILABLE", "INTERNAL", "UNKNOWN", "DATA_LOSS", "NOT_FOUND", "PERMISSION_DENIED"]
    with shop.user() as user:
        for name in names:
            with pytest.raises(grpc.RpcError) as failed:
                user.call("Fail", name.encode())
            assert failed.value.code() is grpc.StatusCode[name]
            assert failed.value.details() == "as asked"
        user.one()
    entries = shop.entries(len(names) + 1)
    assert [entry.grpc for entry in entries] == [*names, "OK"]
    found = [classify(entry) for entry in entries]
    assert all(each is not None for each in found)
    assert [each.error for each in found if each] == [ErrorClass.STATUS_5XX] * 4 + [None] * 3
    assert [each.is_user_error for each in found if each] == [True] * 4 + [False] * 3
    assert [each.is_client_error for each in found if each] == [False] * 4 + [True, True, False]


def test_call_that_hangs_counts_against_the_system(shop: Shop) -> None:
    """Its client's deadline ends it, and the log knows whose fault it is."""
    with shop.user() as user:
        with pytest.raises(grpc.RpcError) as failed:
            user.call("Hang", timeout=0.5)
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    outcome = classify(shop.entries(1)[0])
    assert outcome is not None and outcome.error is not None and outcome.is_user_error


def test_users_keep_their_side(shop: Shop) -> None:
    """The split is by key, as for HTTP."""
    shop.move(Mode.GRADUAL, 5_000)
    sides: dict[str, str] = {}
    for number in range(40):
        with shop.user(f"user-{number}") as user:
            first, second = (user.one()["served_by"] for _ in range(2))
            assert first == second
            sides[f"user-{number}"] = first
    assert set(sides.values()) == {"baseline", "candidate"}
    for key, side in sides.items():
        is_moved = xxhash.xxh64_intdigest(key.encode()) % BUCKETS < 5_000
        assert side == ("candidate" if is_moved else "baseline")


def test_calls_at_a_dead_candidate_are_answered_by_the_baseline(tmp_path: Path) -> None:
    """Nobody listens: nothing was sent, so the baseline is asked; it counts as saved."""
    ports = [free_port() for _ in range(3)]
    systems = {name: {"name": name, "url": f"http://127.0.0.1:{port}", "protocol": "http2"}
               for name, port in zip(("baseline", "candidate"), ports, strict=False)}
    plan = make_plan(systems=systems, routing={"listen": f"127.0.0.1:{ports[2]}"})
    gateway = Gateway(GatewayFiles(tmp_path / "gateway"), patience=LONGEST_PAUSE)
    gateway.prepare(plan, RoutingState("bench", mode=Mode.CANDIDATE_ONLY, weight=10_000, version=1))
    with (
        GrpcSystem("baseline").serving(f"127.0.0.1:{ports[0]}"),
        running(envoy_command(gateway.files), tmp_path / "envoy.log"),
    ):
        wait_for(gateway.admin.is_alive, what="envoy")
        user = GrpcUser(plan.routing.listen, "u")
        wait_for(lambda: _is_answered(user), what="the gateway")
        for _ in range(20):
            assert user.one()["served_by"] == "baseline"
        user.close()
        entries = Tailer(gateway.files.access_log, {}).read
        found: list[Entry] = []
        wait_for(lambda: bool(found.extend(entries()) or len(found) >= 20), what="the log")
    outcome = classify(found[-1])
    assert outcome is not None and outcome.error is ErrorClass.SAVED


def _is_answered(user: GrpcUser) -> bool:
    try:
        user.one()
    except grpc.RpcError:
        return False
    return True


def test_health_of_grpc_is_asked_in_grpc(shop: Shop) -> None:
    """A system that serves is well, one that says it does not is not, and a dead one neither."""
    spec = shop.plan.systems.candidate
    assert reaching.is_well(spec)
    shop.new.is_serving = False
    assert reaching.health(spec).status_code == 503
    assert not reaching.is_well(spec.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"}))
    assert speaks(spec) is Speaks.HTTP2
    assert speaks(spec.model_copy(update={"protocol": "http1"})) is Speaks.HTTP2_ONLY


def test_streams_outlive_the_limits_of_calls_and_the_systems_answer(tmp_path: Path) -> None:
    """A stream on which the server says nothing at first is not cut off by `timeout`."""
    ports = [free_port() for _ in range(3)]
    limits = {"timeout": "300ms", "attempt_timeout": "300ms", "silence": "400ms"}
    systems = {name: {"name": name, "url": f"http://127.0.0.1:{port}", "protocol": "http2",
                      **limits}
               for name, port in zip(("baseline", "candidate"), ports, strict=False)}
    plan = make_plan(systems=systems, routing={"listen": f"127.0.0.1:{ports[2]}"})
    gateway = Gateway(GatewayFiles(tmp_path / "gateway"), patience=LONGEST_PAUSE)
    gateway.prepare(plan, RoutingState("bench", version=1))
    with (
        GrpcSystem("baseline").serving(f"127.0.0.1:{ports[0]}"),
        running(envoy_command(gateway.files), tmp_path / "envoy.log"),
    ):
        wait_for(gateway.admin.is_alive, what="envoy")
        user = GrpcUser(plan.routing.listen, "u")
        wait_for(lambda: _is_answered(user), what="the gateway")
        sent: queue.Queue[bytes | None] = queue.Queue()
        stream = user.both(iter(sent.get, None))
        # longer than every limit of a request
        threading.Event().wait(1)
        sent.put(b"late")
        assert next(stream) == b"late by baseline"
        sent.put(None)
        assert list(stream) == []
        user.close()


def test_a_client_of_http1_reaches_a_system_that_speaks_http2(shop: Shop) -> None:
    """The gateway translates: even a call of gRPC may come over HTTP/1.1."""
    answer = httpx.post(
        f"{shop.url}/test.Shop/One", content=b"\0\0\0\0\x02hi", timeout=LONGEST_PAUSE,
        headers={"content-type": "application/grpc", "te": "trailers", "x-user-id": "u"})
    assert answer.status_code == 200
    assert json.loads(answer.content[5:])["message"] == "hi"


def test_the_other_system_may_speak_http1(tmp_path: Path) -> None:
    """Each system has its own protocol."""
    ports = [free_port() for _ in range(3)]
    plan = make_plan(systems={
        "baseline": {"name": "old", "url": f"http://127.0.0.1:{ports[0]}"},
        "candidate": {"name": "new", "url": f"http://127.0.0.1:{ports[1]}", "protocol": "http2"},
    }, routing={"listen": f"127.0.0.1:{ports[2]}"})
    gateway = Gateway(GatewayFiles(tmp_path / "gateway"), patience=LONGEST_PAUSE)
    gateway.prepare(plan, RoutingState("bench", version=1))
    new = GrpcSystem("candidate")
    with (
        upstream("baseline", ports[0], tmp_path), new.serving(f"127.0.0.1:{ports[1]}"),
        running(envoy_command(gateway.files), tmp_path / "envoy.log") as envoy,
    ):
        wait_for(gateway.admin.is_alive, what="envoy")
        bench = Shop(plan, gateway, {"envoy": envoy}, RoutingState("bench", version=1),
                     old=new, new=new)
        wait_for(lambda: httpx.get(bench.url).json()["served_by"] == "baseline")
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        with bench.user() as user:
            assert user.one()["served_by"] == "candidate"
