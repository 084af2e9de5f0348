"""A cutover of seven stages without soak against seven empty tasks.

    python -m benchmarks.overhead

Both run as deployments on the same server and worker, in turn. Printed: seconds from the creation
of each run to its end, and the difference (claimed: at most 30 s).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from changeover.supervisor.stack import PROJECT
from tests.support.site import Site, site

ROUNDS = 3
PHASES = """\
phases:
  - {phase: shadow, soak: 0}
  - {phase: beta, percent: 5, segments: [beta], soak: 0}
  - phase: gradual
    stages: [{percent: 10, soak: 0}, {percent: 25, soak: 0}, {percent: 50, soak: 0},
             {percent: 75, soak: 0}]
  - {phase: full, soak: 0}
"""


def _deploy_empty(found: Site) -> None:
    environment = {
        **os.environ, "PREFECT_API_URL": str(found.home.settings()["api_url"]),
        "PREFECT_HOME": str(found.home.prefect_home),
    }
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file",
         "benchmarks/empty.yaml"],
        cwd=PROJECT, env=environment, check=False, capture_output=True, text=True, timeout=120,
    )
    if found.api.deployment_id("empty/main") is None:
        raise SystemExit(f"the empty flow was not deployed:\n{done.stdout}{done.stderr}")


def _seconds(found: Site, flow: str) -> float:
    """Return how long a run of `flow` takes, from its creation to its end."""
    began = time.monotonic()
    run = found.start(flow)
    while True:
        state = found.api.run(run)
        if state is not None and state.state_type in ("COMPLETED", "FAILED"):
            if state.state_type == "FAILED":
                raise SystemExit(f"{flow} failed as {state.state_name}")
            return time.monotonic() - began
        if time.monotonic() - began > 300:
            raise SystemExit(f"{flow} did not end within 300 s")
        time.sleep(0.1)


def main() -> None:
    """Measure both in turn and print the medians."""
    differences = []
    with tempfile.TemporaryDirectory() as directory, site(Path(directory), PHASES) as found:
        _deploy_empty(found)
        for number in range(1, ROUNDS + 1):
            empty, cutover = _seconds(found, "empty"), _seconds(found, "cutover")
            differences.append(cutover - empty)
            print(f"round {number}: empty {empty:.1f} s, cutover {cutover:.1f} s, "
                  f"difference {cutover - empty:.1f} s")
            found.changeover("rollback", "--reason", "next round")
            found.changeover("recover", "--reason", "next round")
            time.sleep(15)  # let rollback/main end, so that it does not share the cores
    print(f"median difference {statistics.median(differences):.1f} s (claimed: at most 30 s)")


if __name__ == "__main__":
    main()
