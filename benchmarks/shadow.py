"""The shadow service: comparisons a second on one core, its memory, and what users notice of it.

    python -m benchmarks.shadow                     throughput over 20,000 comparisons, then users
    python -m benchmarks.shadow --comparisons 200000 --part throughput
    python -m benchmarks.shadow --part users --rounds 5

Throughput: Envoy taps every request; the service has core 0 for itself, everything else shares
core 1; counted are rows in the store (2 KB documents, one leaf differs). Users: a fixed rate of
about half of the gateway's maximum, in turn without tap, with a tap of 10 %, with the service
frozen (SIGSTOP) and killed; p99 as ratio to the round's own run without tap. Needs wrk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
from rich.progress import Progress

from benchmarks.comparison import changed, document
from benchmarks.gateway import bare
from changeover import clock
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.home import Home
from changeover.plan.model import Plan
from changeover.routing import Change, Mode, RoutingState
from changeover.store import comparisons, plans, routing
from changeover.store.engine import Store
from tests.support.processes import free_port, running, wait_for

CONNECTIONS = 32
DELAYED = """
function request() return wrk.format("GET", "/", {["x-user-id"] = "u" .. math.random(1000)}) end
function delay() return %d end
"""


@dataclass
class Bench:
    """A gateway with tap, the service, the store."""

    plan: Plan
    home: Home
    store: Store
    gateway: Gateway
    service: subprocess.Popen[bytes]
    url: str
    version: int = 1
    directory: Path = field(default_factory=Path)

    def sample(self, buckets: int) -> None:
        """Publish another share of tapped requests."""
        self.version += 1
        self.gateway.publish(self.plan, RoutingState(
            "benchmark", mode=Mode.SHADOW, shadow_sample=buckets, version=self.version))

    def compared(self) -> int:
        """Return how many comparisons are stored."""
        return comparisons.coverage(self.store, "benchmark").get("compared", 0)


def make_plan(listen: int, systems: list[int], max_load: float) -> Plan:
    """Return a plan with both systems shadowed."""
    return Plan.model_validate({
        "migration": "benchmark",
        "systems": {name: {"name": name, "url": f"http://127.0.0.1:{port}"}
                    for name, port in zip(("baseline", "candidate"), systems, strict=True)},
        "routing": {"listen": f"127.0.0.1:{listen}"},
        "shadow": {"sample": 10, "noise": 0, "max_load": max_load, "keep": 2000},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
    })


def _answering(files: GatewayFiles, port: int, body: bytes) -> None:
    """Write the bootstrap of an Envoy that answers every request with a JSON document."""
    plan = Plan.model_validate({
        "migration": "benchmark", "routing": {"listen": f"127.0.0.1:{port}"},
        "systems": {"baseline": {"name": "a", "url": "http://127.0.0.1:1"},
                    "candidate": {"name": "b", "url": "http://127.0.0.1:2"}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
    })
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": body.decode()}},
        "response_headers_to_add": [{
            "header": {"key": "content-type", "value": "application/json"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }
    bare(plan, files, answer, has_log=False)


@contextlib.contextmanager
def bench(*, is_pinned: bool, max_load: float) -> Iterator[Bench]:
    """Start two answering systems, the gateway and the service."""
    chance = random.Random(7)
    original = document(2, chance)
    bodies = [orjson.dumps(original), orjson.dumps(changed(original, 1, chance))]
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        directory = Path(name)
        home = Home(directory / "home")
        home.create()
        listen, *systems = (free_port() for _ in range(3))
        plan = make_plan(listen, systems, max_load)
        store = Store.open(home.store_url, create=True)
        plans.register(store, plan, source="benchmark", now=clock.now())
        routing.change(store, "benchmark", Change(mode=Mode.SHADOW, shadow_sample=1000),
                       actor="benchmark", reason="benchmark", now=clock.now())
        gateway = Gateway(home.gateway_files)
        gateway.prepare(plan, RoutingState("benchmark", mode=Mode.SHADOW, version=1))
        with contextlib.ExitStack() as stack:
            service = stack.enter_context(running(
                [*(["taskset", "-c", "0"] if is_pinned else []), sys.executable, "-m",
                 "changeover.shadow", "--home", str(home.root), "--migration", "benchmark"],
                directory / "shadow.log"))
            wait_for(home.gateway_files.tap_socket.exists, what="the service")
            pin = ["taskset", "-c", "1"] if is_pinned else []
            for number, (port, body) in enumerate(zip(systems, bodies, strict=True)):
                files = GatewayFiles(directory / f"system{number}")
                _answering(files, port, body)
                stack.enter_context(running([*pin, *envoy_command(files)],
                                            directory / f"system{number}.log"))
            stack.enter_context(running([*pin, *envoy_command(gateway.files)],
                                        directory / "envoy.log"))
            url = f"http://127.0.0.1:{listen}/"
            wait_for(lambda: httpx.get(url).status_code == 200, what="the gateway")
            found = Bench(plan, home, store, gateway, service, url, directory=directory)
            found.sample(10_000)

            def is_warm() -> bool:
                httpx.get(url)
                return found.compared() > 0

            wait_for(is_warm, what="the first comparison")
            yield found
        store.close()


def throughput(number: int) -> None:
    """Print stored comparisons a second at saturation, CPU each, and memory at each quarter."""
    with bench(is_pinned=True, max_load=1) as found, Progress() as progress:
        task = progress.add_task("comparing", total=number)
        process = psutil.Process(found.service.pid)
        rate = _saturating(found)
        with running(_steady(found, rate, seconds=3600), found.directory / "load.log"):
            time.sleep(3)  # the first seconds warm caches and connections
            first, began, cpu = found.compared(), time.monotonic(), sum(process.cpu_times()[:2])
            memory = []
            while (done := found.compared() - first) < number:
                progress.update(task, completed=done)
                if done >= len(memory) * number / 4:
                    memory.append(process.memory_info().rss / 1e6)
                time.sleep(0.25)
            seconds = time.monotonic() - began
            used = sum(process.cpu_times()[:2]) - cpu
        counts = comparisons.coverage(found.store, "benchmark")
        size = sum(p.stat().st_size for p in found.home.root.glob("store.db*"))
    print(f"{done} comparisons stored in {seconds:.1f} s: {done / seconds:.0f} a second of {rate:.0f} "
          f"offered, {used / seconds:.2f} cores, {used / done * 1e6:.0f} µs of CPU each: "
          f"{done / used:.0f} for a second of CPU")
    print("memory at each quarter:", " ".join(f"{m:.0f} MB" for m in memory),
          f"; store {size / 1e6:.0f} MB")
    print("outcomes:", json.dumps(counts))


def _steady(found: Bench, rate: float, *, seconds: int) -> list[str]:
    """Return the command that asks at a steady rate from the core that the service does not have."""
    return ["taskset", "-c", "1", "h2load", "--h1", "-t1", "-c16", f"-D{seconds}",
            f"--rps={rate / 16:.2f}", found.url]


def _saturating(found: Bench) -> float:
    """Return a rate that is just more than the service takes."""
    rate, best = 500.0, 0.0
    while True:
        before, began = found.compared(), time.monotonic()
        subprocess.run(_steady(found, rate, seconds=4), check=True, timeout=60,
                       stdout=subprocess.DEVNULL)
        time.sleep(1)  # the last ones are written
        taken = (found.compared() - before) / (time.monotonic() - began - 1)
        if taken < max(0.9 * rate, best):
            return 1.1 * max(taken, best)
        rate, best = rate * 1.3, taken


def _wrk(found: Bench, script: Path | None, seconds: int) -> tuple[float, float, int]:
    """Return requests a second, p99 in ms, and failed requests."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
               *(["-s", str(script)] if script else []), found.url]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text).groups()  # type: ignore[union-attr]
    failed = re.findall(r"(?:responses:|connect|read|write|timeout) (\d+)", text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    return rate, float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], sum(map(int, failed))


def users(rounds: int, seconds: int) -> None:
    """Print users' p99 with a tap of 10 % as ratio to that without, frozen and killed too."""
    with bench(is_pinned=False, max_load=0.8) as found:
        found.sample(0)
        most, _, _ = _wrk(found, None, seconds)
        script = found.directory / "half.lua"
        script.write_text(DELAYED % max(1, round(CONNECTIONS / (most / 2) * 1000)))
        ratios: dict[str, list[float]] = {"tap 10 %": [], "frozen": [], "killed": []}
        lost = 0
        for number in range(rounds):
            is_last = number == rounds - 1
            for what in ("tap 10 %", "frozen", *(["killed"] if is_last else [])):
                found.sample(0)
                rate, before, failed = _wrk(found, script, seconds)
                found.sample(1000)
                if what == "frozen":
                    os.kill(found.service.pid, signal.SIGSTOP)
                if what == "killed":
                    found.service.kill()
                _, p99, more = _wrk(found, script, seconds)
                if what == "frozen":
                    os.kill(found.service.pid, signal.SIGCONT)
                ratios[what].append(p99 / before)
                lost += failed + more
        counts: Any = comparisons.coverage(found.store, "benchmark")
    print(f"maximum {most:.0f} requests/s, measured at {rate:.0f}; failed {lost}")
    for what, values in ratios.items():
        print(f"p99, {what:9} / without tap: {statistics.median(values):.2f} "
              f"({min(values):.2f} to {max(values):.2f})")
    print("outcomes:", json.dumps(counts))


def main() -> None:
    """Run the parts that were asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--part", choices=["throughput", "users", "both"], default="both")
    options.add_argument("--comparisons", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=5)
    given = options.parse_args()
    if given.part in ("throughput", "both"):
        throughput(given.comparisons)
    if given.part in ("users", "both"):
        users(given.rounds, given.seconds)


if __name__ == "__main__":
    main()
