"""Open-loop load at a steady rate, precise to some 50 µs, cheap enough to share two cores.

    python -m benchmarks.steady URL --rate 4000 --seconds 5

Requests leave when they are due, on whichever of the kept connections is free, and a request's
latency counts from when it was due: a gateway that stalls cannot hide it by slowing down its
clients (coordinated omission, G. Tene 2013). wrk's `delay` has whole milliseconds and waits for
the answer first; h2load sends the requests of all its clients at the same moments. Prints JSON:
requests sent, failed (no answer, or not 200), quantiles in milliseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import select
import socket
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

LONGEST_WAIT = 5.0


@dataclass
class _Load:
    """The connections, and what came of the requests; times in seconds of `perf_counter`."""

    host: str
    port: int
    free: deque[socket.socket] = field(default_factory=deque)
    asked: dict[socket.socket, float] = field(default_factory=dict)
    parts: dict[socket.socket, bytes] = field(default_factory=dict)
    dues: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    failed: int = 0

    def connect(self) -> None:
        """Add a connection."""
        connection = socket.create_connection((self.host, self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self.free.append(connection)

    def ask(self, request: bytes, due: float) -> None:
        """Send a request on a free connection."""
        connection = self.free.popleft()
        self.asked[connection], self.parts[connection] = due, b""
        connection.send(request)

    def receive(self, connection: socket.socket) -> None:
        """Read what came; an answer is whole when its body is as long as it says."""
        data = connection.recv(65_536)
        found = self.parts[connection] = self.parts[connection] + data
        head, end, body = found.partition(b"\r\n\r\n")
        if not data:
            self._lose(connection)
        elif end and len(body) >= _length(head):
            due = self.asked.pop(connection)
            self.dues.append(due)
            self.latencies.append(time.perf_counter() - due)
            self.failed += not head.startswith(b"HTTP/1.1 200")
            self.free.append(connection)

    def _lose(self, connection: socket.socket) -> None:
        self.dues.append(self.asked.pop(connection))
        self.failed += 1
        self.latencies.append(LONGEST_WAIT)
        connection.close()
        self.connect()


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0] or 0)


def offer(
    url: str, *, rate: float, seconds: float, connections: int = 64, records: Path | None = None
) -> dict[str, float]:
    """Ask at a steady rate and return what came of it; latencies in milliseconds.

    `records` gets when each request was due (`time.perf_counter`, one clock for all processes on
    Linux) and its latency, in seconds: pairs of float64.
    """
    parts = urlsplit(url)
    load = _Load(parts.hostname or "", parts.port or 80)
    for _ in range(connections):
        load.connect()
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode()
    gc.disable()
    began, number, total = time.perf_counter() + 0.01, 0, int(rate * seconds)
    while len(load.latencies) < total:
        now = time.perf_counter()
        while number < total and load.free and began + number / rate <= now:
            load.ask(request, began + number / rate)
            number += 1
        wait = began + number / rate - now if number < total and load.free else 0.05
        for connection in select.select(list(load.asked), [], [], max(0.0, wait))[0]:
            load.receive(connection)
        if now > began + seconds + LONGEST_WAIT:
            load.failed += total - len(load.latencies)
            break
    if records:
        pairs = zip(load.dues, load.latencies, strict=True)
        records.write_bytes(array("d", chain.from_iterable(pairs)).tobytes())
    found = sorted(load.latencies)
    return {"sent": number, "failed": load.failed, "rate": number / (time.perf_counter() - began),
            **{f"p{q:g}": found[math.ceil(q / 100 * len(found)) - 1] * 1000
               for q in (50, 90, 99, 99.9)}}


def main() -> None:
    """Offer and print."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url")
    options.add_argument("--rate", type=float, required=True)
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--records", type=Path, help="file for each request's time and latency")
    given = options.parse_args()
    print(json.dumps(offer(given.url, rate=given.rate, seconds=given.seconds,
                           connections=given.connections, records=given.records)))


if __name__ == "__main__":
    main()
