"""A second try, alone, for tests that start processes: a busy machine must fail nothing.

As a pytest plugin it notes how a run ended, in pytest's own cache. As a command,

    python -m tests.support.second_try

it runs what failed once more, a file at a time, with nothing beside it and in a fresh process, and
prints both results. It ends with 0 when all of them pass now; they are listed as `flaky` then. The
tests of a file share what takes long to start, a whole site, and so one try. Without a second try
fail: tests that start no process, files that cannot be collected, a run that was interrupted, and
what CI's time does not suffice for: it is named, while a run that CI ends names nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest

from tests.support.in_time import BEGAN as BEGAN_AT
from tests.support.in_time import TRIES_MINUTES, for_tries

KEY = "changeover/run"
PROCESSES = "integration"
"""The marker of tests that start processes."""
MOST = 20
"""More files, or tests that failed for reasons of their own, than this are no busy machine."""
BEGAN = time.time()
"""When this process began, nearly: the plugin is loaded before tests are collected."""


class Run(TypedDict):
    """How a run of pytest ended."""

    passed: int
    skipped: int
    seconds: float
    again: list[list[str]]
    at_once: list[str]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: Any, exitstatus: pytest.ExitCode, config: pytest.Config,
) -> None:
    """Note what passed, and which failures deserve a second try."""
    if hasattr(config, "workerinput") or getattr(config, "cache", None) is None:
        return
    assert config.cache is not None
    if exitstatus != pytest.ExitCode.TESTS_FAILED:
        config.cache.set(KEY, None)  # nothing failed, or the run did not come to its end
        return
    stats = terminalreporter.stats
    again: dict[str, list[str]] = {}
    at_once: dict[str, None] = {}
    for report in [*stats.get("failed", []), *stats.get("error", [])]:
        # a file that cannot be collected has no keywords of a test
        if PROCESSES not in getattr(report, "keywords", {}):
            at_once[report.nodeid] = None
            continue
        tried = report.nodeid.partition("::")[0] if report.when == "setup" else report.nodeid
        again.setdefault(tried, []).append(report.nodeid)
    config.cache.set(KEY, Run(
        passed=len(stats.get("passed", [])), skipped=len(stats.get("skipped", [])),
        seconds=time.time() - BEGAN,
        again=list(again.values()), at_once=list(at_once)))


def _say(text: str) -> None:
    # flushed: pytest, in a process of its own, writes to the same place
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _failing(nodes: list[str], root: Path) -> set[str]:
    """Run tests of one file with nothing beside them; return those that fail again."""
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", *nodes]
    # skipped for want of time it would pass
    unhurried = {name: value for name, value in os.environ.items() if name != BEGAN_AT}
    seconds = for_tries(os.environ.get(BEGAN_AT, ""), time.time())
    try:
        done = subprocess.run(command, cwd=root, env=unhurried, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        _say(f"no time is left for them; all has to be over in {TRIES_MINUTES} minutes")
        return set(nodes)
    if done.returncode == 0:
        return set()
    run = _result(root)
    noted = {node for each in run["again"] for node in each} if run else set()
    # none of them: the file cannot be collected, or the run was ended
    return noted.intersection(nodes) or set(nodes)


def _result(root: Path) -> Run | None:
    """Return how the last run in `root` ended; None when nobody noted it."""
    path = root / ".pytest_cache" / "v" / Path(KEY)
    try:
        found: Run | None = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    path.unlink()
    return found


def _by_file(reasons: list[list[str]]) -> list[list[str]]:
    files: dict[str, list[str]] = {}
    for nodes in reasons:
        files.setdefault(nodes[0].partition("::")[0], []).extend(nodes)
    return list(files.values())


def main(root: Path) -> Literal[0, 1]:
    """Try again what failed in the last run of `root`; 0 when everything passes now."""
    run = _result(root)
    if run is None:
        _say("no second try: nobody noted how the tests ended")
        return 1
    if run["at_once"] or not 0 < len(run["again"]) <= MOST:
        _say(f"no second try: {len(run['at_once'])} tests without processes failed, "
             f"{sum(map(len, run['again']))} with processes")
        return 1
    began = time.time()
    flaky: list[str] = []
    failed: list[str] = []
    for nodes in _by_file(run["again"]):
        _say(f"\nfailed beside others, now alone: {' '.join(nodes)}")
        still = _failing(nodes, root)
        failed.extend(node for node in nodes if node in still)
        flaky.extend(node for node in nodes if node not in still)
    for node in flaky:
        _say(f"flaky: {node}: failed beside others, passed alone")
    for node in failed:
        _say(f"FAILED {node}: failed beside others, and alone")
    counts = f"{run['passed'] + len(flaky)} passed, {run['skipped']} skipped, {len(flaky)} flaky"
    bad = f"{len(failed)} failed, " if failed else ""
    _say(f"=== {bad}{counts} in {run['seconds'] + time.time() - began:.2f}s ===")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
