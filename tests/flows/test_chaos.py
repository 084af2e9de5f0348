"""kill -9 of every process in every stage: the cutover still ends, and nothing is done twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from changeover.store import audit, routing
from changeover.store.records import CutoverStatus
from tests.support.processes import wait_for
from tests.support.site import Site, site

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

STAGES = ["shadow", "beta-5", "gradual-25", "gradual-50", "full"]
PHASES = """\
gates:
  slo: [{metric: error_rate, below: 60%, over: 3s, min_samples: 2}]
phases:
  - {phase: shadow, soak: 4s}
  - {phase: beta, percent: 5, segments: [beta], soak: 4s, gates: [slo]}
  - phase: gradual
    gates: [slo]
    stages: [{percent: 25, soak: 4s}, {percent: 50, soak: 4s}]
  - {phase: full, soak: 4s, gates: [slo]}
patience: {recheck: 1s, rechecks: 200}
"""


def kill(found: Site, name: str) -> None:
    """Kill a supervised process and wait until another one runs in its place."""
    before = found.pid(name)
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        known = found.home.settings()["processes"].get(name)
        return known is not None and known["pid"] != before

    wait_for(is_back, seconds=30, what=f"another {name}")


def kill_flow(found: Site, run: str) -> None:
    """Kill the process that carries the cutover, as soon as there is one."""
    processes = wait_for(found.flow_processes, seconds=60, what="a flow process")
    for process in processes:  # type: ignore[attr-defined]
        process.kill()
    wait_for(lambda: found.api.run(run).state_type != "RUNNING" or found.flow_processes(),
             seconds=60, what="the kill is noticed")


def requests_lost(found: Site) -> int:
    """Return how many users' requests failed, after the newest ones are counted."""
    seen = found.load()["answered"]
    wait_for(lambda: found.load()["answered"] > seen, seconds=10, what="more requests")
    return found.failed()


def test_every_process_may_be_killed_in_every_stage(tmp_path: Path) -> None:
    """Flow, worker, observer, Prefect server and Envoy, each killed once in each stage."""
    with site(tmp_path, PHASES) as found:
        run = found.start()
        for stage in STAGES:
            wait_for(lambda key=stage: found.stage(run)[0] == key, seconds=150, what=stage)
            lost = requests_lost(found)
            kill_flow(found, run)
            for name in ("observer", "worker", "prefect-server"):
                kill(found, name)
            assert requests_lost(found) == lost, f"a request was lost in {stage}"
            kill(found, "envoy")
            wait_for(found.gateway_serves, seconds=20)
        ended = found.wait_ended(run, seconds=180)
        assert ended.status is CutoverStatus.PROMOTED, ended.outcome
        events = audit.events(found.store, "site")
        for kind in ("stage.entered", "stage.promoted"):
            assert [e.data["stage"] for e in events if e.kind == kind] == STAGES
        assert audit.verify(found.store, "site") == []
        assert routing.read(found.store, "site").version == 1 + len(STAGES)
