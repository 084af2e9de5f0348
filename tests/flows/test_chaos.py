"""kill -9 of every process in every stage: the cutover still ends, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover.domain.rollout import CutoverStatus
from changeover.store import audit, routing
from tests.support.chaos import kill, kill_flow, kill_server, let_go
from tests.support.processes import wait_for
from tests.support.site import site

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

STAGES = {"shadow": "shadow", "beta-5": "beta", "gradual-25": "gradual", "gradual-50": "gradual",
          "full": "full"}
PHASES = """\
gates:
  slo: [{metric: error_rate, below: 60%, over: 3s, min_samples: 2}]
  shadow: [{metric: outcome.shadow, at_least: 1, over: 4s, min_samples: 1}]
  beta: [{metric: outcome.beta, at_least: 1, over: 4s, min_samples: 1}]
  gradual: [{metric: outcome.gradual, at_least: 1, over: 3s, min_samples: 1}]
  full: [{metric: outcome.full, at_least: 1, over: 4s, min_samples: 1}]
phases:
  - {phase: shadow, soak: 4s, gates: [shadow]}
  - {phase: beta, percent: 5, segments: [beta], soak: 4s, gates: [slo, beta]}
  - {phase: gradual, gates: [slo, gradual], stages: [
      {percent: 25, soak: 4s}, {percent: 50, soak: 4s}]}
  - {phase: full, soak: 4s, gates: [slo, full]}
patience: {recheck: 1s, rechecks: 10000}
"""
"""Each phase ends when the test says so: when everything in it was killed."""


def test_every_process_may_be_killed_in_every_stage(tmp_path: Path) -> None:
    """Flow, worker, observer, Prefect server and Envoy, each killed once in each stage."""
    with site(tmp_path, PHASES) as found:
        run = found.start()
        for stage in STAGES:
            wait_for(lambda key=stage: found.stage(run)[0] == key, seconds=150, what=stage)
            failed = found.failed()
            kill_flow(found, run)
            kill(found, "observer")
            kill_server(found)
            kill(found, "worker")
            assert found.failed() == failed, f"a request was lost in {stage}"
            kill(found, "envoy")
            wait_for(found.gateway_serves, seconds=20)
            let_go(found, run, stage, STAGES[stage])
        ended = found.wait_ended(run, seconds=180)
        assert ended.status is CutoverStatus.PROMOTED, ended.outcome
        events = audit.events(found.store, "site")
        for kind in ("stage.entered", "stage.promoted"):
            assert [e.data["stage"] for e in events if e.kind == kind] == [*STAGES]
        assert audit.verify(found.store, "site") == []
        assert routing.read(found.store, "site").version == 1 + len(STAGES)
