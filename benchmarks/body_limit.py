"""What a limit of bodies costs a gateway, in one run on loopback.

    python -m benchmarks.body_limit [--rounds 5] [--seconds 3] [--connections 32]

Two gateways with the same plan, one of them with `limits: {body: 1MB}`, so that a module of
WebAssembly counts each body's bytes. wrk asks both in turn: GET without a body, and 100 kB in
ten chunks. CPU is the gateway's own; ratios are those of the rounds' pairs. Memory is what each has
for itself (USS) at the end. Exit code 0: measured, 2: wrk is missing.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from benchmarks.gateway import Round, bare, in_turns, make_plan, options_of
from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from tests.support.processes import free_port, running, wait_for

GET = 'request = function() return wrk.format("GET", "/", {["x-user-id"] = "u"}) end\n'
CHUNKS = """
local chunk = string.format("%x\\r\\n", 10000) .. string.rep("x", 10000) .. "\\r\\n"
local text = "POST / HTTP/1.1\\r\\nhost: a\\r\\nx-user-id: u\\r\\n"
  .. "transfer-encoding: chunked\\r\\n\\r\\n" .. string.rep(chunk, 10) .. "0\\r\\n\\r\\n"
request = function() return text end
"""
Subject = tuple[str, psutil.Process]


def _plan(system: int, *, is_limited: bool) -> Plan:
    document = make_plan(free_port(), system).model_dump(
        mode="json", by_alias=True, exclude_none=True)
    if is_limited:
        document["routing"]["limits"] = {"body": "1MB"}
    return Plan.model_validate(document)


@contextlib.contextmanager
def subjects(folder: Path) -> Iterator[dict[str, Subject]]:
    """Start the system and both gateways; yield their addresses and processes."""
    system = free_port()
    plans = {"no limit": _plan(system, is_limited=False), "limit": _plan(system, is_limited=True)}
    parts = {name: GatewayFiles(folder / str(number))
             for number, name in enumerate(["system", *plans])}
    answer = {"match": {"prefix": "/"}, "direct_response": {
        "status": 200, "body": {"inline_string": "x" * 200}}}
    bare(make_plan(system, 1), parts["system"], answer, has_log=False)
    for name, plan in plans.items():
        Gateway(parts[name]).prepare(plan, RoutingState(
            "benchmark", mode=Mode.GRADUAL, weight=5_000, version=1))
    with contextlib.ExitStack() as stack:
        started = {name: stack.enter_context(
            running(envoy_command(files), folder / f"{name}.log")) for name, files in parts.items()}
        found = {}
        for name, plan in plans.items():
            url = f"http://{plan.routing.listen}/"
            wait_for(lambda url=url: httpx.get(url).status_code == 200, what=name)
            found[name] = (url, psutil.Process(started[name].pid))
        yield found


def main() -> int:
    """Measure and print."""
    given = options_of(__doc__)
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        folder = Path(name)
        with subjects(folder) as asked:
            for what, text in (("GET", GET), ("100 kB in chunks", CHUNKS)):
                script = folder / "requests.lua"
                script.write_text(text)
                _show(what, in_turns(asked, script, given))
            for each, (_, process) in asked.items():
                print(f"{each:10} {process.memory_full_info().uss / 1e6:6.1f} MB for itself")
    return 0


def _show(what: str, found: dict[str, list[Round]]) -> None:
    cpu = {name: [each.cpu for each in rounds] for name, rounds in found.items()}
    ratios = [mine / other for mine, other in zip(cpu["limit"], cpu["no limit"], strict=True)]
    print(f"{what:17} CPU a request {statistics.median(cpu['no limit']):7.1f} µs without, "
          f"{statistics.median(cpu['limit']):7.1f} µs with a limit: "
          f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    sys.exit(main())
