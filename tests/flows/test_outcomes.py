"""Applications report outcomes to the console of a running site, and its gates decide by them."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from changeover.domain.rollout import CutoverStatus
from changeover.store import rollbacks, verdicts
from tests.support.processes import LONGEST_PAUSE, meanwhile, wait_for
from tests.support.site import Site, site

pytestmark = [pytest.mark.integration]

PHASES = """\
gates:
  quality:
    - {metric: outcome.confidence, at_least: 0.9, over: 4s, min_samples: 5}
    - {metric: outcome_error_rate, at_most: 50%, segment: beta, over: 4s, min_samples: 2}
phases:
  - {phase: gradual, gates: [quality], stages: [{percent: 50, soak: 4s}]}
  - {phase: full, soak: 1s}
patience: {recheck: 1s, rechecks: 600}
"""


def reporting(running: Site, confidence: float) -> AbstractContextManager[None]:
    """Report outcomes meanwhile, through a restart of the console as a good client does."""
    text = running.changeover("token", "create", "worker").splitlines()
    token = next(line for line in text if line.startswith("chg_"))
    url = str(running.home.settings()["console_url"])

    def report(done: threading.Event) -> None:
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False,
                          timeout=LONGEST_PAUSE) as client:
            for number in itertools.count():
                outcome = {"id": f"o-{confidence}-{number}", "system": "candidate",
                           "success": True, "quality": {"confidence": confidence},
                           "segments": ["beta"] if number % 2 else []}
                while not done.wait(0.05):
                    try:
                        client.post("/v1/outcomes", json=outcome).raise_for_status()
                        break
                    except httpx.HTTPError:
                        continue
                if done.is_set():
                    return

    return meanwhile(report)


def test_a_gate_on_outcomes_promotes_and_fails_by_what_was_reported(tmp_path: Path) -> None:
    """Good quality goes through; poor quality fails the gate and everyone is rolled back. The
    console is killed in between: it comes back, and no user notices."""
    with site(tmp_path, PHASES) as running:
        failed_before = running.failed()
        with reporting(running, 0.97):
            os.kill(running.pid("console"), signal.SIGKILL)
            url = str(running.home.settings()["console_url"])
            wait_for(lambda: httpx.get(f"{url}/health", trust_env=False).is_success, seconds=60,
                     what="the console again")
            done = running.wait_ended(running.start("gradual"), seconds=200)
        assert done.status is CutoverStatus.PROMOTED, done.outcome
        (look,) = [look for look in verdicts.all_of(running.store, done.id)
                   if look.gate == "quality" and look.verdict == "pass"]
        values = {check["metric"]: check["value"] for check in look.evidence}
        assert values == {"outcome.confidence": pytest.approx(0.97), "outcome_error_rate": 0}
        assert running.failed() == failed_before
        running.changeover("disable", "--reason", "once more")
        with reporting(running, 0.5):
            done = running.wait_ended(running.start("gradual"), seconds=200)
        assert done.status is CutoverStatus.ROLLED_BACK
        newest = rollbacks.latest(running.store, "site")
        assert newest is not None and "outcome.confidence" in newest.reason
        assert "is below 0.9" in newest.reason
