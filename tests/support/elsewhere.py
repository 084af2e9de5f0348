"""Workers as on another machine: own processes, own files, three variables and nothing else."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from changeover.site.prefect_api import PrefectApi
from tests.support.one_certificate import one_certificate
from tests.support.prefect_database import CHEAP, seed
from tests.support.processes import LONGEST_PAUSE, free_port, kill, running, wait_for

POOL = "machines"
_APART = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def require_machines() -> None:
    """Skip where the system does not let a test make a machine of its own."""
    can = shutil.which("unshare") and not subprocess.run(
        [*_APART, "true"], capture_output=True, check=False).returncode
    if not can:
        pytest.skip("no mount and process namespaces here")


@dataclass
class Machine:
    """A machine that reaches the database and Prefect's server, and no file of another one."""

    root: Path
    store_url: str
    api_url: str
    hidden: Path

    @property
    def environment(self) -> dict[str, str]:
        """What its processes know."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CHANGEOVER_STORE_URL": self.store_url, "PREFECT_API_URL": self.api_url,
            # what every machine has: a user's home, a folder for temporary files
            "HOME": str(self.root), "TMPDIR": str(self.root),
            # cheaper, and nothing else: see `one_certificate`
            "PREFECT_API_SSL_CERT_FILE": str(one_certificate(self.root)),
        }

    def changeover(self, *arguments: str) -> str:
        """Run a command there and return what it printed."""
        done = subprocess.run(
            self._apart([sys.executable, "-m", "changeover.cli", *arguments]),
            cwd=self.root, env=self.environment, capture_output=True, text=True,
            timeout=15 * LONGEST_PAUSE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def running(self, name: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a process there; its end is the end of all that it started, as of a machine."""
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._apart([sys.executable, *command]), cwd=self.root, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)
        try:
            yield process
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                kill(process)

    @contextlib.contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run our worker there."""
        with self.running("worker", "-m", "flows.worker", "--pool", POOL) as process:
            yield process

    def _apart(self, command: list[str]) -> list[str]:
        """Return a command that sees its own processes only, and an empty folder for others'."""
        self.hidden.mkdir(exist_ok=True)
        words = f"mount -t tmpfs none {shlex.quote(str(self.hidden))} && exec {shlex.join(command)}"
        return [*_APART, "sh", "-c", words]


@contextlib.contextmanager
def prefect_elsewhere(directory: Path) -> Iterator[PrefectApi]:
    """Run a Prefect server in which nothing is deployed yet."""
    port = free_port()
    seed(directory)
    env = {"PREFECT_HOME": str(directory), "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
           "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
           "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false", **CHEAP}
    api = PrefectApi(f"http://127.0.0.1:{port}/api", timeout=LONGEST_PAUSE)
    with running([sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1",
                  "--port", str(port)], directory / "server.log", **env):
        wait_for(api.is_alive, seconds=90, what="Prefect's server")
        yield api
