"""`changeover up` with a Prefect server and a worker that others run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from changeover.domain.rollout import CutoverStatus
from changeover.errors import Unreachable
from changeover.site.home import HOME_VARIABLE, Home
from changeover.site.prefect_api import PrefectApi
from changeover.store import cutovers
from changeover.store.engine import Store
from changeover.supervisor.prefect_server import await_others
from tests.support import commands
from tests.support.prefect_database import CHEAP, seed
from tests.support.processes import LONGEST_PAUSE, ROOT, free_port, running, wait_for
from tests.support.site import PLAN, started

pytestmark = pytest.mark.integration

SECRET = "changeover:swordfish-7131"
PASSWORD = {"PREFECT_API_AUTH_STRING": SECRET}
PHASES = """\
phases:
  - {phase: gradual, stages: [{percent: 50, soak: 1s}]}
  - {phase: full, soak: 1s}
"""


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectApi]:
    """A server that wants a password, which this process has."""
    home, port = tmp_path_factory.mktemp("elsewhere"), free_port()
    seed(home)
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    variables = {**CHEAP, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                 "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
                 "PREFECT_SERVER_API_AUTH_STRING": SECRET}
    with (pytest.MonkeyPatch.context() as patch,
          running(command, home / "server.log", **variables)):
        patch.setenv("PREFECT_API_AUTH_STRING", SECRET)
        api = PrefectApi(f"http://127.0.0.1:{port}/api", timeout=LONGEST_PAUSE)
        wait_for(api.is_alive, seconds=90, what="Prefect's server")
        yield api


def problem_of(url: str) -> str:
    """Return why a server cannot be used, as somebody who starts `changeover up` is told."""
    with pytest.raises(Unreachable) as refused:
        await_others(PrefectApi(url, timeout=LONGEST_PAUSE), lambda _: None, seconds=0)
    assert url in str(refused.value)
    return refused.value.what


def test_why_a_server_cannot_be_used_is_told(
    prefect: PrefectApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody there, its pages instead of its API, another password: each has its own sentence."""
    assert "it does not answer" in problem_of(f"http://127.0.0.1:{free_port()}/api")
    assert "address ends with /api" in problem_of(prefect.url.removesuffix("/api"))
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "changeover:wrong")
    assert "it wants a password" in problem_of(prefect.url)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", SECRET)
    await_others(PrefectApi(prefect.url, timeout=LONGEST_PAUSE), lambda _: None, seconds=0)


def test_cutover_by_a_server_and_a_worker_that_others_run(
    prefect: PrefectApi, tmp_path: Path
) -> None:
    """Nothing of Prefect is started, the password is kept nowhere, flows run at the worker."""
    ports = {name: free_port() for name in ("baseline", "candidate", "listen")}
    plan_path, home = tmp_path / "site.yaml", Home(tmp_path / "home")
    plan_path.write_text(PLAN.format(root=ROOT, **ports) + PHASES)
    options = ("--prefect-url", prefect.url, "--no-worker")
    with started(home, plan_path, tmp_path, *options, **PASSWORD):
        settings = home.settings()
        assert settings["api_url"] == prefect.url
        assert {"prefect-server", "worker"}.isdisjoint(settings["processes"])
        health = commands.changeover(home.root, "health", code=1)
        assert "the worker, which runs elsewhere, never reported to Prefect" in health
        assert carried_out(prefect, home, tmp_path) is CutoverStatus.PROMOTED
        kept = [path for path in tmp_path.rglob("*") if path.is_file()
                and SECRET.partition(":")[2].encode() in path.read_bytes()]
        assert kept == []
    assert prefect.is_alive()


def carried_out(prefect: PrefectApi, home: Home, directory: Path) -> CutoverStatus:
    """Have a worker of its own carry out a cutover; return how it ended."""
    worker = {"PREFECT_API_URL": prefect.url, "PREFECT_HOME": str(home.prefect_home),
              HOME_VARIABLE: str(home.root), "PREFECT_WORKER_QUERY_SECONDS": "1",
              "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    command = [sys.executable, "-m", "flows.worker", "--pool", "changeover"]
    with (running(command, directory / "worker.log", **worker),
          closing(Store.open(home.store_url, timeout=LONGEST_PAUSE)) as store):
        run_id = prefect.start("cutover/main", parameters={})
        assert run_id is not None

        def ended() -> CutoverStatus | None:
            found = cutovers.of_flow_run(store, run_id)
            return found.status if found and found.ended_at else None

        status = wait_for(ended, seconds=120, what="the end of the cutover")
        assert isinstance(status, CutoverStatus)
        return status
