"""Procedures carried out for real, without a worker: who is killed when is the test's choice.

A real Prefect server, Envoy, systems, observer and users' requests. The test takes the worker's
part: it starts a run's process, again after each kill, after each soak, and after each answer.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from changeover import clock
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.site.prefect_rows import FlowRun
from changeover.store import plans
from changeover.store.engine import Store
from tests.integration.conftest import Bench, start_bench
from tests.support.prefect_database import CHEAP, seed
from tests.support.processes import LONGEST_PAUSE, ROOT, free_port, kill, running, wait_for
from tests.support.ready_store import ready_store

Decision = str | Callable[[], str]
ENDED = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass
class PrefectServer:
    """A Prefect server with every flow deployed, and an engine in the worker's place."""

    url: str
    engine: subprocess.Popen[str]
    log: Path

    def ask(self, line: str) -> str:
        """Have the engine do something and return how it ended."""
        assert self.engine.stdin
        assert self.engine.stdout
        self.engine.stdin.write(f"{line}\n")
        self.engine.stdin.flush()
        return self.engine.stdout.readline().strip()


@contextlib.contextmanager
def prefect_server(directory: Path) -> Iterator[PrefectServer]:
    """Start a server and deploy the flows."""
    port = free_port()
    env = {
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "12",
        **CHEAP,
    }
    seed(directory / "prefect")
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1",
               "--port", str(port)]
    log = directory / "engine.log"
    with running(command, directory / "prefect.log", **env), _engine(log, env) as engine:
        wait_for(PrefectApi(env["PREFECT_API_URL"]).is_alive, seconds=90, what="Prefect's server")
        found = PrefectServer(env["PREFECT_API_URL"], engine, log)
        assert found.ask("- deploy - -") == "0", log.read_text()[-4000:]
        yield found


@dataclass
class SopSite:
    """A migration whose procedures a test carries out."""

    bench: Bench
    home: Home
    store: Store
    api: PrefectApi
    server: PrefectServer
    killed: list[str] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        return self.bench.plan

    def start(self, flow: str, **parameters: Any) -> str:
        """Make a flow run and return its id."""
        given = {"migration": self.plan.migration, **parameters}
        run_id = self.api.start(f"{flow}/main", parameters=given)
        assert run_id is not None
        return run_id

    def carry_out(
        self, flow: str, *, kills: bool = False, decisions: Sequence[Decision] = (),
        **parameters: Any,
    ) -> FlowRun:
        """Carry a new flow run to its end and return it; arguments as of `carry_on`."""
        return self.carry_on(flow, self.start(flow, **parameters), kills=kills, decisions=decisions)

    def carry_on(
        self, flow: str, run_id: str, *, kills: bool = False, decisions: Sequence[Decision] = (),
        attempts: int = 400,
    ) -> FlowRun:
        """Carry a flow run to its end and return it.

        Args:
            flow: Name of the flow.
            run_id: The run.
            kills: Kill its process at every point once.
            decisions: What people decide when they are asked, one after the other, or a function
                that does something first; then promote.
            attempts: Most processes.
        """
        fired = self.home.root / f"fired-{run_id}"
        fired.touch()
        answers = iter([*decisions, *["promote"] * attempts])
        for _ in range(attempts):
            run = self._ready(run_id, answers)
            if run.state_type in ENDED:
                self.killed += fired.read_text().splitlines()
                return run
            self.attempt(flow, run_id, fired if kills else None)
        raise AssertionError(f"{flow} did not end in {attempts} attempts: {run}")

    def until_it_waits(self, flow: str, run_id: str, *, kills: int = 0) -> FlowRun:
        """Carry a run on until it sleeps, asks people, or has ended; return it.

        Args:
            flow: Name of the flow.
            run_id: The run.
            kills: At so many points that its process comes by first, it is killed, at each once.
        """
        fired = self.home.root / f"fired-{run_id}"
        fired.touch()
        enough = len(fired.read_text().splitlines()) + kills
        while True:
            points = fired.read_text().splitlines()
            run = self.attempt(flow, run_id, fired if len(points) < enough else None)
            self.killed = points
            if run.state_type not in ("RUNNING", "PENDING", "CRASHED"):
                return run
            self.api.schedule(run_id, at=clock.now(), name="Recovering", message="after a kill")

    def attempt(self, flow: str, run_id: str, fired: Path | None = None) -> FlowRun:
        """Carry a run on with one process, killed at points not yet in `fired`; return the run."""
        ending = self.server.ask(f"{self.home.root} {flow} {run_id} {fired or '-'}")
        assert ending in ("0", "killed"), self.server.log.read_text()[-4000:]
        return self._run(run_id)

    def _ready(self, run_id: str, answers: Iterator[Decision]) -> FlowRun:
        """Return the run when it ended or its process can be started."""
        run = self._run(run_id)
        if run.state_type == "PAUSED":
            decision = next(answers)
            decision = decision if isinstance(decision, str) else decision()
            self.answer(run_id, decision)
            return self._run(run_id)
        if run.state_type in ("RUNNING", "PENDING", "CRASHED"):  # as the observer does after a kill
            self.api.schedule(run_id, at=clock.now(), name="Recovering", message="after a kill")
            return self._run(run_id)
        if run.scheduled_for is not None:
            time.sleep(max(0.0, (run.scheduled_for - clock.now()).total_seconds()))
        return run

    def answer(self, run_id: str, decision: str, approver: str = "alice") -> None:
        """Answer a waiting run's form, which is stored a moment after the run waits."""
        given = {"decision": decision, "approver": approver, "comment": ""}
        wait_for(lambda: self._answered(run_id, given), what="the answer is taken")

    def _answered(self, run_id: str, answer: dict[str, str]) -> bool:
        self.api.resume(run_id, answer)
        return True

    def _run(self, run_id: str) -> FlowRun:
        run = self.api.run(run_id)
        assert run is not None
        return run


@contextlib.contextmanager
def sop_site(
    server: PrefectServer, plan: Plan, directory: Path, *, is_measured: bool = True,
    store_url: str = "",
) -> Iterator[SopSite]:
    """Start everything for a plan of `make_plan`.

    Args:
        server: Where its flow runs are.
        plan: The plan.
        directory: Where everything is kept.
        is_measured: With users' requests and the observer that counts them.
        store_url: A store that others use, too; empty for one of its own.
    """
    home = Home(directory / "home")
    home.create()
    home.save_settings({"migration": plan.migration})
    if store_url:
        home.save_secrets({"store_url": store_url})
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(contextlib.contextmanager(start_bench)(plan, home.root))
        store = ready_store(home.store_url, timeout=LONGEST_PAUSE)
        stack.callback(store.close)
        plans.register(store, plan, source=str(directory / "plan.yaml"), now=clock.now())
        if is_measured:
            stack.enter_context(running(
                [sys.executable, "-m", "changeover.observer", "--home", str(home.root),
                 "--migration", plan.migration], home.logs / "observer.log"))
            stack.enter_context(running(
                [sys.executable, "-m", "examples.metadata.load", "--url", bench.url, "--rate",
                 "15", "--stats", str(directory / "load.json")], directory / "load.log"))
        assert server.ask(f"{home.root} register - -") == "0", server.log.read_text()[-4000:]
        yield SopSite(bench, home, store, PrefectApi(server.url, timeout=LONGEST_PAUSE), server)


@contextlib.contextmanager
def _engine(path: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.kill_engine"], cwd=ROOT,
            env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        kill(process)
