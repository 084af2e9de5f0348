"""How much the gateway costs against a bare Envoy proxy, measured in one run on loopback.

    python benchmarks/gateway.py [--rounds 5] [--seconds 3] [--connections 32]

Both are Envoy 1.40 with one worker and the same listener; `gateway` splits users at 50 % with
failover, `three places` does so by a cookie, which its script looks for after a header and before a
parameter; `bare` has one route to one cluster, `bare, no log` is that without an access log. The
system behind them is a third Envoy that answers by itself. wrk asks each in turn, in every round;
ratios are those of the rounds' pairs, their median is printed. `bare` also lacks the removal of our
headers at the edge, so it is a little less than the gateway's own listener. CPU per request is the
proxy's own and stays comparable on a busy machine, where throughput is not. Exit code 0: target
reached, 1: not, 2: wrk is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.check import static_bootstrap
from changeover.gateway.envoy.clusters import render_clusters
from changeover.gateway.envoy.config import render_bootstrap
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from tests.support.processes import free_port, running, wait_for

PLACES = [{"header": "x-account"}, {"cookie": "session"}, {"query": "account"}]
LEAST_THROUGHPUT = 0.95
MOST_P99 = 1.10
USERS = """
local requests, next = {}, 0
function init()
  for n = 1, 1000 do
    requests[n] = wrk.format("GET", "/", {["x-user-id"] = "user-" .. n, cookie = "session=s" .. n})
  end
end
function request() next = next % 1000 + 1; return requests[next] end
"""
Json = dict[str, Any]


@dataclass(frozen=True)
class Round:
    """One measurement: requests per second, p99 in ms, failed, the proxy's CPU µs per request."""

    rate: float
    p99: float
    failed: int
    cpu: float


def make_plan(listen: int, system: int, key: object = None) -> Plan:
    """Return a plan whose two systems are the same fast one."""
    url = f"http://127.0.0.1:{system}"
    return Plan.model_validate({
        "migration": "benchmark",
        "systems": {"baseline": {"name": "a", "url": url}, "candidate": {"name": "b", "url": url}},
        "routing": {"listen": f"127.0.0.1:{listen}", **({"key": key} if key else {})},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
    })


def bare(plan: Plan, files: GatewayFiles, route: Json, *, has_log: bool) -> None:
    """Write the bootstrap of a plain proxy with the gateway's own listener settings."""
    clusters = render_clusters(plan, files)
    routes = {"resources": [{
        "name": "bare", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
    }]}
    whole = static_bootstrap(render_bootstrap(plan, files), clusters, routes)
    static = whole["static_resources"]
    static["clusters"] = [
        {k: v for k, v in cluster.items() if k != "outlier_detection"}
        for cluster in static["clusters"] if cluster["name"] == "baseline"
    ]
    manager = static["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["early_header_mutation_extensions"]
    if not has_log:
        del manager["access_log"]
    files.root.mkdir(parents=True)
    files.bootstrap.write_text(json.dumps(whole))


@contextlib.contextmanager
def subjects(directory: Path) -> Iterator[dict[str, tuple[str, psutil.Process]]]:
    """Start the system and the three proxies; yield their addresses and processes."""
    system, *ports = (free_port() for _ in range(5))
    answer = {"match": {"prefix": "/"}, "direct_response": {
        "status": 200, "body": {"inline_string": "x" * 200}}}
    onward = {"match": {"prefix": "/"}, "route": {"cluster": "baseline", "timeout": "15s"}}
    parts = {name: GatewayFiles(directory / name.replace(", ", "-"))
             for name in ("system", "gateway", "bare", "bare, no log", "three places")}
    bare(make_plan(system, 1), parts["system"], answer, has_log=False)
    bare(make_plan(ports[1], system), parts["bare"], onward, has_log=True)
    bare(make_plan(ports[2], system), parts["bare, no log"], onward, has_log=False)
    split = RoutingState("benchmark", mode=Mode.GRADUAL, weight=5_000, version=1)
    Gateway(parts["gateway"]).prepare(make_plan(ports[0], system), split)
    Gateway(parts["three places"]).prepare(make_plan(ports[3], system, PLACES), split)
    with contextlib.ExitStack() as stack:
        started = {
            name: stack.enter_context(running(envoy_command(files), directory / f"{name}.log"))
            for name, files in parts.items()
        }
        urls = {name: f"http://127.0.0.1:{port}/"
                for name, port in zip(list(parts)[1:], ports, strict=True)}
        for url in urls.values():
            wait_for(lambda url=url: httpx.get(url).status_code == 200, what=url)
        yield {name: (url, psutil.Process(started[name].pid)) for name, url in urls.items()}


def measure(
    subject: tuple[str, psutil.Process], script: Path, seconds: int, connections: int
) -> Round:
    """Ask one proxy as fast as it answers."""
    url, process = subject
    before = _cpu(process)
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url],
        capture_output=True, text=True, check=True, timeout=seconds + 30,
    ).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])  # type: ignore[index]
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", done).groups()  # type: ignore[union-attr]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", done)
    requests = int(re.search(r"(\d+) requests in", done)[1])  # type: ignore[index]
    cpu = (_cpu(process) - before) * 1e6 / requests
    failed = sum(int(n) for match in (refused, broken) if match for n in match.groups())
    return Round(rate, float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], failed, cpu)


def _cpu(process: psutil.Process) -> float:
    """Return the seconds of CPU that a process has used."""
    # envoy of the wheel may be a launcher, so children count too
    family = [process, *process.children(recursive=True)]
    return sum(sum(member.cpu_times()[:2]) for member in family)


def options_of(document: str | None) -> argparse.Namespace:
    """Return `rounds`, `seconds` and `connections`; exit with 2 when wrk is missing.

    Args:
        document: What the benchmark is about, in its first line.
    """
    options = argparse.ArgumentParser(description=(document or "").split("\n")[0])
    for name, default in (("--rounds", 5), ("--seconds", 3), ("--connections", 32)):
        options.add_argument(name, type=int, default=default)
    given = options.parse_args()
    if shutil.which("wrk") is None:
        print("wrk was not found; install it (Debian: apt install wrk)", file=sys.stderr)
        sys.exit(2)
    return given


def in_turns(
    asked: Mapping[str, tuple[str, psutil.Process]], script: Path, given: argparse.Namespace
) -> dict[str, list[Round]]:
    """Measure all in turn, after one second each that does not count.

    The order turns with every round.
    """
    for subject in asked.values():
        measure(subject, script, 1, given.connections)
    found: dict[str, list[Round]] = {name: [] for name in asked}
    for number in range(given.rounds):
        for name in list(asked)[::1 if number % 2 else -1]:
            found[name].append(measure(asked[name], script, given.seconds, given.connections))
    return found


def run(given: argparse.Namespace) -> dict[str, list[Round]]:
    """Measure all proxies."""
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        directory = Path(name)
        script = directory / "users.lua"
        script.write_text(USERS)
        with subjects(directory) as asked:
            return in_turns(asked, script, given)


def report(found: dict[str, list[Round]]) -> bool:
    """Print every proxy's medians and the ratios; return whether the target is reached."""
    for name, rounds in found.items():
        rate = statistics.median(r.rate for r in rounds)
        p99 = statistics.median(r.p99 for r in rounds)
        failed = sum(r.failed for r in rounds)
        print(f"{name:13} {rate:9.0f} requests/s   p99 {p99:6.2f} ms   failed {failed}"
              f"   CPU {statistics.median(r.cpu for r in rounds):5.1f} µs/request")
    reached = False
    for ours, other in (("gateway", "bare"), ("gateway", "bare, no log"), ("three places", "bare"),
                        ("three places", "gateway")):
        pairs = list(zip(found[ours], found[other], strict=True))
        rates = [mine.rate / theirs.rate for mine, theirs in pairs]
        tails = [mine.p99 / theirs.p99 for mine, theirs in pairs]
        rate, tail = statistics.median(rates), statistics.median(tails)
        print(f"{ours} / {other:12}  throughput {rate:.3f} ({min(rates):.3f} to {max(rates):.3f})"
              f"   p99 {tail:.2f} ({min(tails):.2f} to {max(tails):.2f})")
        if (ours, other) == ("gateway", "bare"):
            reached = rate >= LEAST_THROUGHPUT and tail <= MOST_P99
    print(f"target: throughput ≥ {LEAST_THROUGHPUT} and p99 ≤ {MOST_P99} of bare:",
          "reached" if reached else "NOT reached")
    return reached


def main() -> int:
    """Run and print."""
    return 0 if report(run(options_of(__doc__))) else 1


if __name__ == "__main__":
    sys.exit(main())
