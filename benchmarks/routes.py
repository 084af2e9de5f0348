"""What fifty routes and a key in one of three places cost, against a bare Envoy, in one run.

    python -m benchmarks.routes [--rounds 5] [--seconds 3] [--connections 32]

As `benchmarks.gateway`, with more subjects: `fifty routes` has a plan with fifty named parts of the
traffic, each at half of its users, and the key in a header; `fifty, three places` has the key in a
header, a cookie or a parameter. Requests are for all fifty and for the rest, with a cookie line as
browsers send it. Ratios are those of the rounds' pairs. Exit code 0: target reached, 1: not,
2: wrk is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from benchmarks.gateway import PLACES, Json, Round, bare, in_turns, make_plan, options_of
from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from tests.support.processes import free_port, running, wait_for

LEAST_THROUGHPUT = 0.95
NAMES = [f"part-{number}" for number in range(50)]
BARE, PLAIN, KEYS, ROUTES, BOTH = (
    "bare", "one header", "three places", "fifty routes", "fifty, three places")
REQUESTS = """
local requests, next = {}, 0
function init()
  for n = 1, 1020 do
    local part = n % 51
    local path = part == 50 and "/other/" .. n or "/part-" .. part .. "/" .. n .. "?a=b"
    requests[n] = wrk.format("GET", path, {["x-user-id"] = "user-" .. n,
      cookie = "theme=dark; consent=all; session=s" .. n .. "; seen=1"})
  end
end
function request() next = next % 1020 + 1; return requests[next] end
"""


def with_routes(plan: Plan) -> Plan:
    """Return a plan with fifty named parts: by prefix, exact path, template and method."""
    routes: list[Json] = []
    for number, name in enumerate(NAMES):
        path = {"template": f"/{name}/{{id}}"} if number % 5 == 4 else {"prefix": f"/{name}"}
        method = {"method": ["GET", "HEAD"]} if number % 5 == 3 else {}
        routes.append({"name": name, "path": path, **method})
    document = plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Plan.model_validate({**document, "routes": routes})


@contextlib.contextmanager
def subjects(folder: Path) -> Iterator[dict[str, tuple[str, psutil.Process]]]:
    """Start the system and the proxies; yield their addresses and processes."""
    system = free_port()
    plans = {PLAIN: make_plan(free_port(), system), KEYS: make_plan(free_port(), system, PLACES),
             ROUTES: with_routes(make_plan(free_port(), system)),
             BOTH: with_routes(make_plan(free_port(), system, PLACES))}
    parts = {name: GatewayFiles(folder / str(number))
             for number, name in enumerate(["system", BARE, *plans])}
    proxy = make_plan(free_port(), system)
    bare(make_plan(system, 1), parts["system"], {"match": {"prefix": "/"}, "direct_response": {
        "status": 200, "body": {"inline_string": "x" * 200}}}, has_log=False)
    bare(proxy, parts[BARE], {"match": {"prefix": "/"}, "route": {
        "cluster": "baseline", "timeout": "15s"}}, has_log=True)
    for name, plan in plans.items():
        shares = tuple((each.name, 5_000) for each in plan.routes)
        Gateway(parts[name]).prepare(plan, RoutingState(
            "benchmark", mode=Mode.GRADUAL, weight=5_000, routes=tuple(sorted(shares)), version=1))
    with contextlib.ExitStack() as stack:
        started = {name: stack.enter_context(
            running(envoy_command(files), folder / f"{name}.log")) for name, files in parts.items()}
        found = {}
        for name, plan in {BARE: proxy, **plans}.items():
            url = f"http://{plan.routing.listen}/"
            wait_for(lambda url=url: httpx.get(url).status_code == 200, what=name)
            found[name] = (url, psutil.Process(started[name].pid))
        yield found


def run(given: argparse.Namespace) -> dict[str, list[Round]]:
    """Measure all proxies."""
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        folder = Path(name)
        script = folder / "users.lua"
        script.write_text(REQUESTS)
        with subjects(folder) as asked:
            return in_turns(asked, script, given)


def spread(ratios: list[float]) -> str:
    """Return the median of ratios, and their range."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def report(found: dict[str, list[Round]]) -> bool:
    """Print every proxy's medians and ratios to bare; return whether the target is reached."""
    rates: list[float] = []
    for name, rounds in found.items():
        print(f"{name:20} {statistics.median(r.rate for r in rounds):8.0f} requests/s"
              f"   CPU {statistics.median(r.cpu for r in rounds):6.1f} µs/request"
              f"   failed {sum(r.failed for r in rounds)}")
    for name in list(found)[1:]:
        pairs = list(zip(found[name], found[BARE], strict=True))
        rates = [mine.rate / other.rate for mine, other in pairs]
        cpu = [mine.cpu / other.cpu for mine, other in pairs]
        print(f"{name:20} / bare   throughput {spread(rates)}   CPU {spread(cpu)}")
    reached = statistics.median(rates) >= LEAST_THROUGHPUT
    print(f"target: {BOTH} ≥ {LEAST_THROUGHPUT} of bare:", "reached" if reached else "NOT reached")
    return reached


def main() -> int:
    """Run and print."""
    return 0 if report(run(options_of(__doc__))) else 1


if __name__ == "__main__":
    sys.exit(main())
