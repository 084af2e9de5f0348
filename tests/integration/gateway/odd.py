"""A gateway whose candidate is odd: it streams, breaks off, waits, and answers at length."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx

from changeover.domain.routing import Mode, RoutingState, System
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from tests.integration.conftest import Bench, make_plan
from tests.integration.gateway.systems import OddSystem
from tests.support.processes import LONGEST_PAUSE, free_port, running, upstream, wait_for

LIMITS = ("timeout", "attempt_timeout", "silence")


@dataclass
class Odd(Bench):
    """A bench with a candidate that streams, breaks off and waits."""

    candidate: OddSystem = field(kw_only=True)

    def within(self, **seconds: float) -> None:
        """Serve everyone at the candidate within other limits; a minute where none is given."""
        limits = {name: timedelta(seconds=seconds.get(name, LONGEST_PAUSE)) for name in LIMITS}
        systems = {name: self.plan.system(name).model_copy(update=limits) for name in System}
        self.plan = self.plan.model_copy(
            update={"systems": self.plan.systems.model_copy(update=systems)})
        self.move(Mode.CANDIDATE_ONLY, 10_000)
        wait_for(lambda: httpx.get(self.url).headers.get("server") == "mine", what="the candidate")


@contextlib.contextmanager
def odd_site(
    directory: Path, routing: dict[str, object] | None = None,
    baseline: dict[str, object] | None = None, **candidate: object,
) -> Iterator[Odd]:
    """Everyone at the odd candidate.

    Args:
        directory: Where its files lie.
        routing: What the plan's `routing` says besides the address.
        baseline: What it says of the baseline besides its address.
        candidate: What it says of the candidate besides its address.
    """
    ports = free_port(), free_port()
    plan = make_plan(
        systems={
            "baseline": {"name": "old", "url": f"http://localhost:{ports[0]}",
                         **(baseline or {})},
            "candidate": {"name": "new", "url": f"http://localhost:{ports[1]}", **candidate},
        },
        routing={"listen": f"127.0.0.1:{free_port()}", **(routing or {})},
    )
    gateway = Gateway(GatewayFiles(directory / "gateway"), patience=LONGEST_PAUSE)
    system = OddSystem()
    state = RoutingState("bench", mode=Mode.CANDIDATE_ONLY, weight=10_000, version=1)
    gateway.prepare(plan, state)
    with (
        system.serving(ports[1]), upstream("baseline", ports[0], directory) as baseline,
        running(envoy_command(gateway.files), directory / "envoy.log") as envoy,
    ):
        wait_for(lambda: httpx.get(f"http://{plan.routing.listen}/").status_code == 200)
        yield Odd(plan, gateway, {"baseline": baseline, "envoy": envoy}, state, candidate=system)


def raw(bench: Bench, request: str, *, receives: int | None = None) -> socket.socket:
    """Return a connection on which a request was sent.

    Args:
        bench: Whose gateway.
        request: What is sent, as it stands.
        receives: Bytes that the user's side of the connection holds at most.
    """
    host, port = bench.plan.routing.listen.rsplit(":", 1)
    connection = socket.socket()
    if receives is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    connection.settimeout(LONGEST_PAUSE)
    connection.connect((host, int(port)))
    connection.sendall(request.encode())
    return connection
