"""CPU for each tapped exchange: the own reader of frames beside grpcio, fed by the same real Envoy.

    python -m benchmarks.tap_readers
    python -m benchmarks.tap_readers --rounds 5 --exchanges 4000 --body 4000

One Envoy taps every request and streams it to the reader whose turn it is; the readers do nothing
with an exchange but count it. `own` is the product's (`changeover.shadow.tap`, asyncio on uvloop),
`grpc.aio` and `grpc threads` are grpcio's two servers with the same messages (`ProcessingRequest`,
the same parser of protobuf) and the same assembling of exchanges. What is compared is the CPU of
the reader's process for each whole exchange, so other work on the machine counts little. Exit code
1 when grpcio is within 20 % of the own reader: then the library should be taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import psutil
import uvloop

from benchmarks.shadow import answering, make_plan
from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.shadow import tap
from changeover.shadow.messages import ProcessingRequest
from tests.support.processes import free_port, running, wait_for

READERS = ("own", "grpc.aio", "grpc threads")
CLOSE_ENOUGH = 1.2
"""A library that needs at most so many times the own reader's CPU is taken instead of it."""
RATE = 600
"""Requests a second: less than the slowest reader takes, so that none is lost."""


class Counted:
    """Counts exchanges, and says so in a file."""

    def __init__(self, path: Path) -> None:
        self._path, self._server = path, tap.TapServer(path.with_suffix(".none"), self._note)
        self.whole = 0

    def _note(self, exchange: tap.Exchange) -> None:
        self.whole += 1

    def call(self) -> Any:
        """Return what assembles one exchange, as the product does."""
        return self._server.open_call()

    async def tell(self) -> None:
        """Write the number ten times a second."""
        while True:
            await asyncio.sleep(0.1)
            self._path.write_text(str(self.whole))


async def own(socket: Path, counted: Counted) -> None:
    """Serve by the product's reader."""
    server = tap.TapServer(socket, counted._note)
    await server.start()
    await counted.tell()


def _handler(method: Callable[..., Any]) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(tap.SERVICE, {
        "Process": grpc.stream_stream_rpc_method_handler(
            method, request_deserializer=bytes, response_serializer=bytes)})


async def by_aio(socket: Path, counted: Counted) -> None:
    """Serve by `grpc.aio`."""

    async def process(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        call = counted.call()
        async for message in requests:
            if call.receive(message):
                return
        return
        yield b""

    server = grpc.aio.server()
    server.add_generic_rpc_handlers([_handler(process)])
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await counted.tell()


async def by_threads(socket: Path, counted: Counted) -> None:
    """Serve by grpcio's own threads."""

    def process(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        call = counted.call()
        for message in requests:
            if call.receive(message):
                break
        return iter(())

    server = grpc.server(ThreadPoolExecutor(32))
    server.add_generic_rpc_handlers([_handler(process)])
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    await counted.tell()


def serve(name: str, socket: Path, path: Path) -> None:
    """Run one reader until it is ended."""
    work = {"own": own, "grpc.aio": by_aio, "grpc threads": by_threads}[name]
    # built at import: not part of what is measured
    assert ProcessingRequest is not None  # noqa: S101
    uvloop.run(work(socket, Counted(path)))


def measured(name: str, files: GatewayFiles, url: str, wanted: int) -> tuple[float, int]:
    """Return a reader's microseconds of CPU for each exchange, and how many it had."""
    files.tap_socket.unlink(missing_ok=True)
    told = files.root / "count"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.tap_readers", "--serve", name,
               "--socket", str(files.tap_socket), "--count", str(told)]

    def count() -> int:
        return int(told.read_text() or 0) if told.exists() else 0

    def is_warm() -> bool:
        httpx.get(url)
        return count() > 0

    with running(command, files.root / "reader.log") as process:
        wait_for(is_warm, seconds=30, what=name)
        load = [sys.executable, "-m", "benchmarks.steady", url, "--rate", str(RATE), "--seconds",
                str(wanted / RATE + 3), "--records", str(files.root / "records")]
        reader = psutil.Process(process.pid)
        with subprocess.Popen(load, stdout=subprocess.DEVNULL) as users:
            time.sleep(2)
            before, first = sum(reader.cpu_times()[:2]), count()
            users.wait()
        time.sleep(0.3)
        used, number = sum(reader.cpu_times()[:2]) - before, count() - first
    # an Envoy that took a late reader for dead sends it nothing for some seconds
    return used / number * 1e6 if number > wanted / 2 else float("inf"), number


def main() -> int:
    """Measure the readers in turn; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--exchanges", type=int, default=3000)
    parser.add_argument("--body", type=int, default=2000, help="bytes of an answer, 4000 at most")
    parser.add_argument("--serve", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--socket", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.socket, asked.count)
        return 0
    found: dict[str, list[float]] = {name: [] for name in READERS}
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as folder, ExitStack() as stack:
        files, url = start(stack, Path(folder), asked.body)
        for number in range(asked.rounds):
            # in another order each time: what slows the machine slows all
            for name in READERS[number % 3:] + READERS[:number % 3]:
                cost, whole = measured(name, files, url, asked.exchanges)
                found[name].append(cost)
                print(json.dumps({"round": number + 1, "reader": name, "exchanges": whole,
                                  "us": round(cost, 1)}), flush=True)
    return report(found, asked.body)


def start(stack: ExitStack, directory: Path, size: int) -> tuple[GatewayFiles, str]:
    """Start a system and a gateway that taps every request; return its files and address."""
    listen, system = free_port(), free_port()
    plan = make_plan(listen, [system, system], 1)
    body = orjson.dumps({"text": "x" * size})
    answers = GatewayFiles(directory / "system")
    answering(answers, system, body, 0)
    stack.enter_context(running(envoy_command(answers), directory / "system.log"))
    gateway = Gateway(GatewayFiles(directory / "gateway"))
    gateway.prepare(plan, RoutingState("benchmark", mode=Mode.SHADOW, shadow_sample=10_000,
                                       version=1))
    stack.enter_context(running(envoy_command(gateway.files), directory / "envoy.log"))
    url = f"http://127.0.0.1:{listen}/"
    wait_for(lambda: httpx.get(url).status_code == 200, what="the gateway")
    return gateway.files, url


def report(found: dict[str, list[float]], size: int) -> int:
    """Print the figures; return 1 when grpcio is close enough to be taken."""
    print(f"load of the machine {os.getloadavg()[0]:.1f}, answers of {size} bytes")
    own_cost = statistics.median(found["own"])
    ratios = []
    for name in READERS:
        median = statistics.median(found[name])
        ratios.append(median / own_cost)
        print(f"{name:13} {median:6.0f} µs of CPU an exchange ({min(found[name]):.0f} to "
              f"{max(found[name]):.0f}), {ratios[-1]:.2f} times the own reader")
    return int(min(ratios[1:]) <= CLOSE_ENOUGH)


if __name__ == "__main__":
    sys.exit(main())
