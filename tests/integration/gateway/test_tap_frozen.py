"""Users wait for nothing of the tap: large bodies while the shadow service reads nothing."""

from __future__ import annotations

import hashlib
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import psutil
import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from tests.integration.conftest import make_plan
from tests.integration.gateway.kinds import OK, says
from tests.integration.gateway.wire import WireSystem
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for

pytestmark = pytest.mark.integration
SIZE = 20_000_000
BODY = random.Random(7).randbytes(SIZE)


@dataclass
class Frozen:
    """Where users ask, who answers them, and the gateway's process."""

    address: str
    system: WireSystem
    gateway: Gateway
    process: psutil.Process


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frozen]:
    """A gateway that taps everything, and a service that took its connection and hangs."""
    directory = tmp_path_factory.mktemp("frozen")
    system = WireSystem()
    with system.serving() as port:
        url = {"url": f"http://127.0.0.1:{port}", "timeout": "60s", "attempt_timeout": "60s"}
        plan = make_plan(
            systems={"baseline": {"name": "old", **url}, "candidate": {"name": "new", **url}},
            routing={"listen": f"127.0.0.1:{free_port()}"},
            shadow={"sample": 100, "methods": ["GET"], "replay_unsafe": ["POST /x"]})
        gateway = Gateway(GatewayFiles(directory / "gateway"), patience=LONGEST_PAUSE)
        gateway.prepare(plan, RoutingState(
            "bench", mode=Mode.SHADOW, shadow_sample=10_000, version=1))
        with socket.socket(socket.AF_UNIX) as service:
            service.bind(str(gateway.files.tap_socket))
            service.listen()  # connections are made, and nobody ever reads from them
            with running(envoy_command(gateway.files), directory / "envoy.log") as envoy:
                system.answer = OK
                address = f"http://{plan.routing.listen}"
                wait_for(lambda: httpx.get(address).status_code == 200)
                yield Frozen(address, system, gateway, psutil.Process(envoy.pid))


def test_large_answers_arrive_while_the_shadow_service_hangs(frozen: Frozen) -> None:
    """Every user gets all of the body, at once: nothing is held back for the copy."""
    address, system = frozen.address, frozen.system
    system.answer = says(headers=b"content-length: %d\r\n" % len(BODY), body=BODY)
    with ThreadPoolExecutor(4) as users:
        answers = list(users.map(
            lambda _: httpx.get(f"{address}/x", timeout=LONGEST_PAUSE).content, range(12)))
    wanted = hashlib.sha256(BODY).hexdigest()
    assert [hashlib.sha256(body).hexdigest() for body in answers] == [wanted] * 12


def test_large_uploads_arrive_while_the_shadow_service_hangs(frozen: Frozen) -> None:
    """The system gets all of the body."""
    address, system = frozen.address, frozen.system
    system.answer = OK
    system.received.clear()
    for _ in range(4):
        assert httpx.post(f"{address}/x", content=BODY, timeout=LONGEST_PAUSE).text == "ok"
    bodies = [each.partition(b"\r\n\r\n")[2] for each in system.received]
    assert [len(body) for body in bodies] == [len(BODY)] * 4
    assert set(bodies) == {BODY}


def test_copies_that_nobody_reads_are_forgotten(frozen: Frozen) -> None:
    """What the gateway keeps for a service that hangs is bounded, and given back."""
    address, system = frozen.address, frozen.system
    system.answer = says(headers=b"content-length: %d\r\n" % len(BODY), body=BODY)
    most = 0
    for _ in range(40):
        assert httpx.get(f"{address}/x", timeout=LONGEST_PAUSE).content == BODY
        most = max(most, frozen.process.memory_info().rss)
        time.sleep(0.1)  # longer than a stream is kept after its user's answer
    assert most < 600_000_000


def test_service_that_hangs_loses_its_connection(frozen: Frozen) -> None:
    """It answers no ping; with its connection everything is forgotten that was kept for it."""
    frozen.system.answer = OK

    def is_lost() -> bool:
        httpx.get(f"{frozen.address}/x")
        found = frozen.gateway.admin.counters(r"cluster\.shadow\.http2\.keepalive_timeout")
        return any(found.values())

    wait_for(is_lost, what="the end of a connection without answers to pings")
