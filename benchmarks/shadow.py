"""The shadow service: comparisons a second on one core, and its memory.

    python -m benchmarks.shadow                     over 20,000 comparisons
    python -m benchmarks.shadow --comparisons 200000 --rate 2200
    python -m benchmarks.shadow --processes 1 --cores 0,1 --rate 400 --busy
    python -m benchmarks.shadow --processes 2 --cores 0,1 --rate 400 --busy

Envoy taps every request; the service has core 0 for itself, everything else shares core 1; counted
are rows in the store (2 KB documents, one leaf differs). What users notice of it is measured by
benchmarks/tapped.py. Uses h2load (Debian: nghttp2-client) where it is
installed, else benchmarks/steady.py.

With `--processes` several compare. What is then printed of each of them says how much several cores
would compare: as much as the one that needs most CPU for each comparison lets through. `--busy` has
the service compete as any process, on a machine whose other work would leave it nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
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
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.store import comparisons, plans, routing
from changeover.store.engine import Store
from tests.support.processes import free_port, running, wait_for


@dataclass(frozen=True)
class Serving:
    """How the service is run.

    Args:
        cores: Which processors it may use.
        processes: How many compare; None: one, which reads as well.
        module: The program.
    """

    cores: str = "0"
    processes: int | None = None
    module: str = "changeover.shadow"


@dataclass
class Bench:
    """A gateway with tap, the service, the store."""

    plan: Plan
    home: Home
    store: Store
    gateway: Gateway
    url: str
    command: list[str]
    stack: contextlib.ExitStack
    directory: Path = field(default_factory=Path)
    service: Any = None

    def start(self) -> None:
        """Start the service, and wait until it listens."""
        self.service = self.stack.enter_context(
            running(self.command, self.directory / "shadow.log"))
        wait_for(self.home.gateway_files.tap_socket.exists, what="the service")

    def sample(self, buckets: int) -> None:
        """Have another share of requests tapped: in the store, and in the gateway."""
        self.gateway.publish(self.plan, _shadowed(self.store, buckets))

    def compared(self) -> int:
        """Return how many comparisons are stored."""
        return comparisons.coverage(self.store, "benchmark").get("compared", 0)


def make_plan(
    listen: int, systems: list[int], max_load: float, processes: int | None = None
) -> Plan:
    """Return a plan with both systems shadowed."""
    return Plan.model_validate({
        "migration": "benchmark",
        "systems": {name: {"name": name, "url": f"http://127.0.0.1:{port}"}
                    for name, port in zip(("baseline", "candidate"), systems, strict=True)},
        "routing": {"listen": f"127.0.0.1:{listen}"},
        "shadow": {"sample": 10, "noise": 0, "max_load": max_load, "keep": 2000,
                   "processes": processes},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
    })


def _shadowed(store: Store, buckets: int) -> RoutingState:
    """Have that many of 10,000 requests copied, and return the state that holds then."""
    return routing.change(
        store, "benchmark", Change(mode=Mode.SHADOW, shadow_sample=buckets),
        Author("benchmark", "benchmark"), now=clock.now())


def answering(files: GatewayFiles, port: int, body: bytes, delay: float) -> None:
    """Write the bootstrap of an Envoy that answers every request with a JSON document.

    `delay` is how long it takes, in seconds; 0 is at once.
    """
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
    if delay:
        whole = json.loads(files.bootstrap.read_text())
        listener = whole["static_resources"]["listeners"][0]
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"].insert(0, {"name": "fault", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": {"fixed_delay": f"{delay}s", "percentage": {"numerator": 100}}}})
        files.bootstrap.write_text(json.dumps(whole))


@contextlib.contextmanager
def bench(
    *, others: int, max_load: float, first: Sequence[str] = (), delay: float = 0,
    serving: Serving | None = None,
) -> Iterator[Bench]:
    """Start two answering systems, which take `delay` seconds, the gateway and the service.

    The service has core 0, unless `serving` says otherwise; so has the candidate when `others` is
    0. The gateway and the baseline have core 1, and run under `first`, a command that gives them
    precedence there.
    """
    serving = serving or Serving()
    chance = random.Random(7)
    original = document(2, chance)
    bodies = [orjson.dumps(original), orjson.dumps(changed(original, 1, chance))]
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        directory = Path(name)
        home = Home(directory / "home")
        home.create()
        listen, *systems = (free_port() for _ in range(3))
        plan = make_plan(listen, systems, max_load, serving.processes)
        store = Store.open(home.store_url, create=True)
        plans.register(store, plan, source="benchmark", now=clock.now())
        gateway = Gateway(home.gateway_files)
        gateway.prepare(plan, _shadowed(store, 1000))
        with contextlib.ExitStack() as stack:
            url = f"http://127.0.0.1:{listen}/"
            found = Bench(plan, home, store, gateway, url, [
                "taskset", "-c", serving.cores, sys.executable, "-m",
                serving.module, "--home", str(home.root), "--migration", "benchmark",
            ], stack, directory=directory)
            found.start()
            cores = (1, others)
            for number, (port, body) in enumerate(zip(systems, bodies, strict=True)):
                files = GatewayFiles(directory / f"system{number}")
                answering(files, port, body, delay)
                pin = [*(() if number else first), "taskset", "-c", str(cores[number])]
                stack.enter_context(running([*pin, *envoy_command(files)],
                                            directory / f"system{number}.log"))
            command = [*first, "taskset", "-c", "1", *envoy_command(gateway.files)]
            stack.enter_context(running(command, directory / "envoy.log"))
            wait_for(lambda: httpx.get(url).status_code == 200, what="the gateway")
            found.sample(10_000)

            def is_warm() -> bool:
                httpx.get(url)
                return found.compared() > 0

            wait_for(is_warm, what="the first comparison")
            yield found
        store.close()


def throughput(number: int, rate: float, serving: Serving) -> None:
    """Print stored comparisons a second, CPU each, and memory at each quarter.

    Args:
        number: Comparisons to wait for.
        rate: Requests a second; 0 looks for what saturates the service.
        serving: How the service is run.
    """
    with bench(others=1, max_load=1, serving=serving) as found, Progress() as progress:
        task = progress.add_task("comparing", total=number)
        process = psutil.Process(found.service.pid)
        rate = rate or _saturating(found)
        with running(_steady(found, rate, seconds=3600), found.directory / "load.log"):
            time.sleep(3)  # the first seconds warm caches and connections
            first, began, cpu = found.compared(), time.monotonic(), _cpu(process)
            memory = []
            while (done := found.compared() - first) < number:
                progress.update(task, completed=done)
                if done >= len(memory) * number / 4:
                    memory.append(process.memory_info().rss / 1e6)
                time.sleep(0.25)
            seconds = time.monotonic() - began
            spent = {name: used - cpu.get(name, 0) for name, used in _cpu(process).items()}
        counts = comparisons.coverage(found.store, "benchmark")
        size = sum(p.stat().st_size for p in found.home.root.glob("store.db*"))
    used = sum(spent.values()) - spent["writer"]
    print(f"{done} comparisons stored in {seconds:.1f} s: {done / seconds:.0f} a second of "
          f"{rate:.0f} offered, {used / seconds:.2f} cores, {used / done * 1e6:.0f} µs of CPU "
          f"each: {done / used:.0f} for a second of CPU; load {os.getloadavg()[0]:.1f}")
    each = {name: round(part / done * 1e6) for name, part in spent.items()}
    print("µs of CPU for each comparison:", json.dumps(each),
          f"; as many cores as processes: {1e6 / max(each.values()):.0f} a second")
    print("memory at each quarter:", " ".join(f"{m:.0f} MB" for m in memory),
          f"; store {size / 1e6:.0f} MB")
    print("outcomes:", json.dumps(counts))


def _cpu(service: psutil.Process) -> dict[str, float]:
    """Return the seconds of CPU of the service, its writer, and each process that compares."""
    found = {"reader": sum(service.cpu_times()[:2])}
    for child in service.children():
        is_comparer = any("comparer" in word for word in child.cmdline())
        name = f"compares {child.pid}" if is_comparer else "writer"
        found[name] = sum(child.cpu_times()[:2])
    return found


def _steady(found: Bench, rate: float, *, seconds: int) -> list[str]:
    """Return the command that asks at a steady rate, on the core that the service leaves free."""
    if shutil.which("h2load") is None:
        return ["taskset", "-c", "1", sys.executable, "-m", "benchmarks.steady", found.url,
                "--rate", str(rate), "--seconds", str(min(seconds, 600)),
                "--records", str(found.directory / "records")]
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


def main() -> None:
    """Run the parts that were asked for."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--comparisons", type=int, default=20_000)
    options.add_argument("--rate", type=float, default=0, help="requests a second; 0: saturate")
    options.add_argument("--processes", type=int, help="processes that compare")
    options.add_argument("--cores", default="0", help="cores of the service, as 0,1")
    options.add_argument("--busy", action="store_true", help="compete as any process")
    given = options.parse_args()
    module = "tests.support.shadow" if given.busy else "changeover.shadow"
    throughput(given.comparisons, given.rate, Serving(given.cores, given.processes, module))


if __name__ == "__main__":
    main()
