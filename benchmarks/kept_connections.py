"""How many POSTs are lost to a system that closes connections that nobody uses.

    python -m benchmarks.kept_connections [--closes 5] [--keeps 0 4.9 4] [--bursts 15] [--users 48]

The system answers everything it takes, and closes a connection cleanly that was unused for
`--closes` seconds. Users send their POSTs together, wait for just that time less up to 30 ms, and
send again: the worst moment, at which a request may leave while its connection is being closed. A
POST cannot be sent again then, because nobody knows whether it ran. Done once for each `--keeps`:
the plan's `keep_alive`, in seconds; 0 is for ever, as before there was one. What the system ran is
counted, so that a POST that ran twice would be seen. Exit code 0: nothing was lost with the last
`--keeps`; 1: something was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from changeover.domain.routing import RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from tests.support.processes import free_port, running, wait_for

SOONER_SECONDS = 0.030
WORK_SECONDS = 0.05
"""Long enough for every user of a burst to need a connection of their own."""


@dataclass
class System:
    """Answers, and closes what nobody uses; counts what it ran and how often it closed."""

    closes: float
    ran: int = 0
    closed: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is unused for too long."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                try:
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self.closes)
                except TimeoutError:
                    self.closed += 1
                    break
                if b"POST" in head:
                    self.ran += 1
                    await asyncio.sleep(WORK_SECONDS)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        writer.close()


async def post(port: int) -> int:
    """Return the status of one POST on a new connection of its own; 0 when there was none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    answer = await reader.read(100)
    writer.close()
    return int(answer[9:12] or 0)


@contextlib.contextmanager
def serving(system: System, port: int) -> Iterator[None]:
    """Run the system on a thread of its own, so that it closes while users send."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = asyncio.start_server(system.serve, "127.0.0.1", port, backlog=1024)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result(20)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)


async def measure(closes: float, listen: int, bursts: int, users: int) -> list[int]:
    """Send bursts at the worst moments; return the statuses of all but the first burst."""
    found: list[int] = []
    for burst in range(bursts + 1):
        answers = await asyncio.gather(*(post(listen) for _ in range(users)))
        found += answers if burst else []
        await asyncio.sleep(closes - random.uniform(0, SOONER_SECONDS))
    return found


def make_plan(listen: int, port: int, keeps: float) -> Plan:
    """Return a plan whose baseline's unused connections are kept for `keeps` seconds."""
    keep_alive = f"{keeps * 1000:.0f}ms" if keeps else 0
    return Plan.model_validate({
        "migration": "benchmark",
        "systems": {
            "baseline": {"name": "a", "url": f"http://127.0.0.1:{port}",
                         "keep_alive": keep_alive},
            "candidate": {"name": "b", "url": f"http://127.0.0.1:{free_port()}"},
        },
        "routing": {"listen": f"127.0.0.1:{listen}"},
        "phases": [{"phase": "full", "soak": 0}],
    })


def one(keeps: float, closes: float, bursts: int, users: int) -> int:
    """Measure one setting, print it, and return how many POSTs were lost."""
    listen, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as directory:
        gateway = Gateway(GatewayFiles(Path(directory) / "gateway"), patience=20)
        gateway.prepare(make_plan(listen, port, keeps), RoutingState("benchmark", version=1))
        system = System(closes)
        with (
            serving(system, port),
            running(envoy_command(gateway.files), Path(directory) / "envoy.log"),
        ):
            wait_for(lambda: httpx.get(f"http://127.0.0.1:{listen}/").status_code == 200)
            found = asyncio.run(measure(closes, listen, bursts, users))
    lost = sum(status != 200 for status in found)
    kept = f"{keeps:g} s" if keeps else "for ever"
    print(f"kept {kept}, closed by the system after {closes:g} s: {lost} of {len(found)} POSTs "
          f"lost ({lost / len(found):.2%}); ran {system.ran} of {len(found) + users}, "
          f"{system.closed} connections closed by the system")
    return lost


def main() -> int:
    """Measure every setting."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--closes", type=float, default=5.0, help="seconds")
    options.add_argument("--keeps", type=float, nargs="+", default=[0.0, 4.9, 4.0], help="seconds")
    options.add_argument("--bursts", type=int, default=15)
    options.add_argument("--users", type=int, default=48)
    given = options.parse_args()
    socket.setdefaulttimeout(20)
    lost = [one(keeps, given.closes, given.bursts, given.users) for keeps in given.keeps]
    return int(lost[-1] > 0)


if __name__ == "__main__":
    sys.exit(main())
