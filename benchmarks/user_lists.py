"""What a segment of 100,000 listed users costs the gateway, against a segment of one value.

    python -m benchmarks.user_lists [--rounds 5] [--seconds 3] [--connections 32]

Three gateways with one worker each split users at 50 % and have moved a segment: of one value of a
header, of a file with one user, and of a file with 100,000. All get the same requests, by users of
whom every second one is listed in the large file. Ratios are those of the rounds' pairs, as in
`benchmarks.gateway`. Then each publishes 40 states in turn. Exit code 0: target reached, 1: not,
2: wrk is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil

from benchmarks.gateway import Round, bare, in_turns, make_plan, options_of
from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan import user_files, user_lists
from changeover.plan.model import Plan
from changeover.plan.user_lists import MOST_USERS
from tests.support.processes import free_port, running, wait_for

ONE, FEW, MANY = "one value", "file of 1", "file of 100,000"
LEAST_THROUGHPUT = 0.9
MOST_PUBLICATION = 1.25
PUBLICATIONS = 40
REQUESTS = """
local requests, next = {}, 0
function init()
  for n = 1, 1000 do
    requests[n] = wrk.format("GET", "/", {["x-user-id"] = "user-" .. 100 * n + n % 2})
  end
end
function request() next = next % 1000 + 1; return requests[next] end
"""


def planned(listen: int, system: int, test: dict[str, object], folder: Path) -> Plan:
    """Return the plan of a gateway whose segment is told by a test of the key's header."""
    document = make_plan(listen, system).model_dump(mode="json", by_alias=True, exclude_none=True)
    document["routing"]["segments"] = {"beta": {"header": "x-user-id", **test}}
    known, lists, _ = user_files.with_lists(document, folder)
    return Plan.model_validate(known, context=user_lists.as_context(lists))


class Subject:
    """A gateway that runs, and how much memory and time its start took."""

    def __init__(self, plan: Plan, gateway: Gateway) -> None:
        self.plan, self.gateway = plan, gateway
        self.state = RoutingState(
            "benchmark", mode=Mode.GRADUAL, weight=5_000, segments=("beta",), version=1)
        began = time.monotonic()
        gateway.prepare(plan, self.state)
        self.prepared = time.monotonic() - began
        self.process = psutil.Process()

    @property
    def asked(self) -> tuple[str, psutil.Process]:
        """Where it listens, and its process."""
        return f"http://{self.plan.routing.listen}/", self.process

    def publish(self) -> float:
        """Publish the next state; return how many milliseconds that took."""
        self.state = replace(self.state, version=self.state.version + 1,
                             weight=5_000 + self.state.version % 2)
        return self.gateway.publish(self.plan, self.state).seconds * 1000


@contextlib.contextmanager
def subjects(folder: Path) -> Iterator[dict[str, Subject]]:
    """Start the system and the three gateways."""
    (folder / "few.txt").write_text("user-200\n")
    (folder / "many.txt").write_text("".join(f"user-{2 * n}\n" for n in range(MOST_USERS)))
    tests: dict[str, dict[str, object]] = {
        ONE: {"any_of": ["user-200"]}, FEW: {"file": "few.txt"}, MANY: {"file": "many.txt"}}
    system = free_port()
    behind = GatewayFiles(folder / "system")
    bare(make_plan(system, 1), behind, {"match": {"prefix": "/"}, "direct_response": {
        "status": 200, "body": {"inline_string": "x" * 200}}}, has_log=False)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(envoy_command(behind), folder / "system.log"))
        found = {}
        for number, (name, test) in enumerate(tests.items()):
            gateway = Gateway(GatewayFiles(folder / f"gateway-{number}"), patience=30.0)
            subject = found[name] = Subject(
                planned(free_port(), system, test, folder), gateway)
            process = stack.enter_context(
                running(envoy_command(gateway.files), folder / f"{number}.log"))
            subject.process = psutil.Process(process.pid)
            wait_for(lambda url=subject.asked[0]: httpx.get(url).status_code == 200, what=name)
        yield found


def memory(subject: Subject) -> float:
    """Return the resident memory of a gateway in MB."""
    family = [subject.process, *subject.process.children(recursive=True)]
    return sum(each.memory_info().rss for each in family) / 1e6


def run(given: argparse.Namespace) -> bool:
    """Measure, print, and return whether the target is reached."""
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        folder = Path(name)
        script = folder / "users.lua"
        script.write_text(REQUESTS)
        with subjects(folder) as found:
            measured = in_turns(
                {name: subject.asked for name, subject in found.items()}, script, given)
            published: dict[str, list[float]] = {each: [] for each in found}
            for _ in range(PUBLICATIONS):
                for each, subject in found.items():
                    published[each].append(subject.publish())
            return report(found, measured, published)


def spread(ratios: list[float]) -> str:
    """Return the median of ratios, and their range."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def report(
    found: dict[str, Subject], measured: dict[str, list[Round]],
    published: dict[str, list[float]],
) -> bool:
    """Print every gateway's medians and the ratios; return whether the target is reached."""
    for name, rounds in measured.items():
        print(f"{name:15} {statistics.median(r.rate for r in rounds):8.0f} requests/s"
              f"   CPU {statistics.median(r.cpu for r in rounds):6.1f} µs/request"
              f"   failed {sum(r.failed for r in rounds)}"
              f"   publication {statistics.median(published[name]):5.1f} ms"
              f"   memory {memory(found[name]):4.0f} MB   prepared {found[name].prepared:.2f} s")
    reached = True
    for ours, other in ((MANY, ONE), (MANY, FEW), (FEW, ONE)):
        pairs = list(zip(measured[ours], measured[other], strict=True))
        rates = [mine.rate / theirs.rate for mine, theirs in pairs]
        cpu = [mine.cpu / theirs.cpu for mine, theirs in pairs]
        publication = statistics.median(published[ours]) / statistics.median(published[other])
        print(f"{ours} / {other:10}  throughput {spread(rates)}   CPU {spread(cpu)}"
              f"   publication {publication:.2f}")
        if (ours, other) == (MANY, ONE):
            reached = (statistics.median(rates) >= LEAST_THROUGHPUT
                       and publication <= MOST_PUBLICATION)
    print(f"target: {MANY} has ≥ {LEAST_THROUGHPUT} of the throughput of {ONE}, its publications "
          f"take ≤ {MOST_PUBLICATION} times as long:", "reached" if reached else "NOT reached")
    return reached


def main() -> int:
    """Run and print."""
    return 0 if run(options_of(__doc__)) else 1


if __name__ == "__main__":
    sys.exit(main())
