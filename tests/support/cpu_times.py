"""`pytest --cpu-times`: what tests cost in CPU time, and how long they wait.

The wall clock of a busy machine says little. CPU time counts what a test's own process used, and
every process that it started, also those that still run; the rest of the wall clock is waiting,
for a condition or for the CPU. What a fixture for several tests costs is counted at the first.
A process whose parent ended before it is not seen.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

import psutil
import pytest

NAME = "cpu_times"
SHOWN = 40
"""How many of the most expensive files and tests are printed."""


class Cost(NamedTuple):
    """Seconds of CPU, and of the wall clock."""

    cpu: float
    wall: float

    def plus(self, other: Cost) -> Cost:
        return Cost(self.cpu + other.cpu, self.wall + other.wall)


def _of(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:4])  # with what its ended children used
    except psutil.Error:
        return 0.0


def _now() -> Cost:
    """Return what this process and its descendants have used so far."""
    alive = psutil.Process().children(recursive=True)
    own = os.times()
    return Cost(sum(own[:4]) + sum(map(_of, alive)), time.perf_counter())


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the option."""
    parser.addoption(f"--{NAME.replace('_', '-')}", action="store_true",
                     help="print the CPU time and the wall clock of tests, files and directories")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure a test with its fixtures."""
    if not item.config.getoption("--cpu-times"):
        return (yield)
    item.stash[_BEGAN] = _now()
    return (yield)


_BEGAN = pytest.StashKey[Cost]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """Note the cost in the last of a test's reports: workers send it on."""
    report = yield
    began = item.stash.get(_BEGAN, None)
    if call.when == "teardown" and began is not None:
        ended = _now()
        report.user_properties = [
            *report.user_properties, (NAME, (ended.cpu - began.cpu, ended.wall - began.wall))]
    return report


def _costs(reports: list[Any]) -> dict[str, Cost]:
    found: dict[str, Cost] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == NAME and getattr(report, "when", "") == "teardown":
                found[report.nodeid] = Cost(*value)
    return found


def _by(costs: dict[str, Cost], part: Any) -> dict[str, Cost]:
    sums: defaultdict[str, Cost] = defaultdict(lambda: Cost(0, 0))
    for node, cost in costs.items():
        sums[part(node)] = sums[part(node)].plus(cost)
    return sums


def _file(node: str) -> str:
    return node.partition("::")[0]


def _directory(node: str) -> str:
    return "/".join(PurePath(_file(node)).parts[:2])


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the costs of directories, files and tests, the most expensive first."""
    if not config.getoption("--cpu-times"):
        return
    reports = [each for kind in terminalreporter.stats.values() for each in kind]
    costs = _costs(reports)
    for title, sums in (("directory", _by(costs, _directory)), ("file", _by(costs, _file)),
                        ("test", costs)):
        terminalreporter.section(f"CPU and wall clock by {title}, seconds")
        for name, cost in sorted(sums.items(), key=lambda each: -each[1].cpu)[:SHOWN]:
            terminalreporter.write_line(f"{cost.cpu:9.2f} {cost.wall:9.2f}  {name}")
