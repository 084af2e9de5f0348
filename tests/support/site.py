"""`changeover up` as a person runs it: free ports, two small systems, users' requests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil

from changeover.domain.rollout import Cutover
from changeover.gateway.publish import Gateway
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.store import cutovers, plans, rollbacks, routing
from changeover.store.engine import Store
from tests.support import commands
from tests.support.one_certificate import one_certificate
from tests.support.prefect_database import CHEAP, seed
from tests.support.processes import LONGEST_PAUSE, ROOT, end_envoy, free_port, running, wait_for

PLAN = """\
migration: site
systems:
  baseline:
    name: old
    url: http://127.0.0.1:{baseline}
    timeout: 60s
    health_timeout: 20s
    process: {{command: [python, -m, tests.support.upstream, baseline, "{baseline}"],
              directory: {root}, restart: true}}
  candidate:
    name: new
    url: http://127.0.0.1:{candidate}
    timeout: 60s
    attempt_timeout: 60s
    health_timeout: 20s
    process: {{command: [python, -m, tests.support.upstream, candidate, "{candidate}"],
              directory: {root}, restart: true}}
routing:
  listen: 127.0.0.1:{listen}
  segments: {{beta: {{header: x-cohort, any_of: [beta]}}}}
"""

QUICK = """\
shadow: {sample: 50%, max_load: 1, timeout: 60s}
comparison: {ignore: [$.served_by, $.headers.host, $.headers.x-changeover-shadow]}
gates:
  alike: [{metric: similarity, at_least: 99%, over: 2s, min_samples: 5}]
  slo: [{metric: error_rate, below: 20%, over: 2s, min_samples: 3}]
phases:
  - {phase: shadow, soak: 2s, gates: [alike]}
  - {phase: beta, percent: 5, segments: [beta], soak: 2s, gates: [slo], approval: {approvers: 1}}
  - {phase: gradual, gates: [slo], stages: [{percent: 50, soak: 6s}]}
  - {phase: full, soak: 2s, gates: [slo], approval: {approvers: 2}}
patience: {recheck: 1s, rechecks: 600}
"""


@dataclass
class Site:
    """A running `changeover up` with load."""

    home: Home
    plan_path: Path
    store: Store
    begin: Callable[[], subprocess.Popen[bytes]]
    supervisor: subprocess.Popen[bytes]

    @cached_property
    def api(self) -> PrefectApi:
        return PrefectApi(str(self.home.settings()["api_url"]), timeout=LONGEST_PAUSE)

    @cached_property
    def gateway(self) -> Gateway:
        return Gateway(self.home.gateway_files)

    def begin_again(self) -> None:
        """Run `changeover up` after it was stopped."""
        self.supervisor = self.begin()

    def changeover(self, *arguments: str, code: int = 0) -> str:
        """Run a command in this process, check its exit code, and return what it printed."""
        return commands.changeover(self.home.root, *arguments, code=code)

    def changeover_alone(self, *arguments: str, code: int = 0) -> str:
        """Do the same as a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "changeover.cli", *arguments, "--home", str(self.home.root)],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )
        text = done.stdout + done.stderr
        assert done.returncode == code, text
        assert "Traceback" not in text, text
        return text

    def start(self, flow: str = "cutover", **parameters: Any) -> str:
        """Start a deployment's run as the Prefect UI does and return its id."""
        run_id = self.api.start(f"{flow}/main", parameters=parameters)
        assert run_id is not None
        return run_id

    def cutover(self, run_id: str) -> Cutover | None:
        return cutovers.of_flow_run(self.store, run_id)

    def stage(self, run_id: str) -> tuple[str, str]:
        """Return (key, status) of the stage that a cutover is in."""
        found = self.cutover(run_id)
        stages = cutovers.stages(self.store, found.id) if found else []
        return (stages[-1].key, str(stages[-1].status)) if stages else ("", "")

    def wait_waiting(self, run_id: str, key: str, seconds: float = 90) -> None:
        """Wait until people are asked about a stage and the run is suspended."""
        wait_for(lambda: self.stage(run_id) == (key, "waiting"), seconds=seconds,
                 what=f"{key} waits for approval")
        wait_for(lambda: (self.api.run(run_id) or self).state_type == "PAUSED", seconds=30,
                 what="the run is suspended")

    state_type = ""

    def wait_ended(self, run_id: str, seconds: float = 120) -> Cutover:
        """Wait until a cutover ended and its rollback, if any, too."""
        def ended() -> Cutover | None:
            found = self.cutover(run_id)
            return found if found and found.ended_at else None

        found: Cutover = wait_for(ended, seconds=seconds, what="the end")  # type: ignore[assignment]
        wait_for(lambda: all(r.ended_at for r in rollbacks.all_of(self.store, "site")),
                 seconds=60, what="the end of the rollback")
        return found

    def examine(self) -> dict[str, Any]:
        """Run the health check until one is not cancelled by the schedule's own, as Prefect tells.
        """
        ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

        def ended() -> dict[str, Any] | None:
            answer = httpx.get(f"{self.api.url}/flow_runs/{run_id}", timeout=LONGEST_PAUSE)
            row: dict[str, Any] = answer.raise_for_status().json()
            return row if row["state_type"] in ends else None

        while True:
            run_id = self.start("health-check")
            row = wait_for(ended, seconds=120, what="the health check")
            assert isinstance(row, dict)
            if row["state_type"] != "CANCELLED":
                return row

    def load(self) -> dict[str, Any]:
        """Return the load's figures."""
        return json.loads((self.home.root / "load.json").read_text())

    def failed(self, method: str = "") -> int:
        """Return how many users' requests failed, after the newest ones are counted; of a method.
        """
        seen = self.load().get("answered", 0)
        wait_for(lambda: self.load().get("answered", 0) > seen, what="more requests")
        return sum(n for key, n in self.load().items() if key.startswith(f"failed_{method}"))

    def gateway_serves(self) -> bool:
        """Whether Envoy serves the present routing state."""
        state = routing.read(self.store, "site")
        return self.gateway.served() == state.order

    def pid(self, name: str) -> int:
        return int(self.home.settings()["processes"][name]["pid"])

    def flow_processes(self) -> list[psutil.Process]:
        """Return the processes that carry flow runs of this site."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            with contextlib.suppress(psutil.Error):
                is_flow = "prefect.engine" in " ".join(process.info["cmdline"] or [])
                if is_flow and process.environ().get("CHANGEOVER_HOME") == str(self.home.root):
                    found.append(process)
        return found


@contextlib.contextmanager
def site(
    directory: Path, phases: str = QUICK, *, is_fresh: bool = False, is_examined: bool = False,
    store_url: str = ""
) -> Iterator[Site]:
    """Start `changeover up` and the load; end both and everything they started.

    Args:
        directory: Where everything is kept.
        phases: The plan without its systems and routing.
        is_fresh: Prefect makes its database itself, as at a user's first start.
        is_examined: The health check runs every minute, as it does for users.
        store_url: A database with the tables of a store; by default a file in the home.
    """
    ports = {name: free_port() for name in ("baseline", "candidate", "listen")}
    plan_path = directory / "site.yaml"
    plan_path.write_text(PLAN.format(root=ROOT, **ports) + phases)
    home = Home(directory / "home")
    if store_url:
        home.create()
        home.save_secrets({"store_url": store_url})
    if not is_fresh:
        seed(home.prefect_home)
    settings = {} if is_fresh else CHEAP
    if not is_examined:
        settings = {**settings, "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false"}
    load = [sys.executable, "-m", "examples.metadata.load", "--url",
            f"http://127.0.0.1:{ports['listen']}", "--rate", "25",
            "--stats", str(home.root / "load.json")]
    with contextlib.ExitStack() as stack:
        def begin() -> subprocess.Popen[bytes]:
            return stack.enter_context(started(home, plan_path, directory, **settings))

        supervisor = begin()
        store = Store.open(home.store_url, timeout=LONGEST_PAUSE)
        stack.callback(store.close)
        plans.load(store)
        stack.enter_context(running(load, directory / "load.log"))
        wait_for(lambda: (home.root / "load.json").exists(), what="the load")
        yield Site(home, plan_path, store, begin, supervisor)


@contextlib.contextmanager
def started(
    home: Home, plan_path: Path, directory: Path, *options: str, **prefect: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `changeover up` until the block ends, with settings of Prefect; wait until it is ready.
    """
    log = directory / "up.log"
    offset = log.stat().st_size if log.exists() else 0
    settings = home.settings()
    command = [
        sys.executable, "-m", "changeover.cli", "up", "--plan", str(plan_path), "--home",
        str(home.root), "--prefect-port", str(settings.get("prefect_port") or free_port()),
        "--reports-port", str(settings.get("reports_port") or free_port()),
        "--console", str(settings.get("console_url") or f"http://127.0.0.1:{free_port()}")[7:],
        *options,
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
    environment |= {"PREFECT_API_SSL_CERT_FILE": str(one_certificate(directory)), **prefect}
    with contextlib.ExitStack() as stack:
        # killed before it could end it, it leaves Envoy
        stack.callback(end_envoy, home)
        # it ends ten processes, each in its time
        supervisor = stack.enter_context(
            running(command, log, end_seconds=LONGEST_PAUSE, **environment))

        def is_ready() -> bool:
            text = log.read_text()[offset:]
            assert supervisor.poll() is None, text
            return "ready. Users" in text

        wait_for(is_ready, seconds=150, what="changeover up")
        yield supervisor
