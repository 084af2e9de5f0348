"""The parts of a Prefect in high availability: PostgreSQL, Redis, two API servers, two processes
of background services, nginx in front, two workers. All on loopback, with passwords made up here.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from changeover.errors import EnvironmentProblem
from changeover.machine.files import OWNER_ONLY, write_atomically
from changeover.machine.ports import free_port, is_free
from changeover.site.home import HOME_VARIABLE, STORE_VARIABLE, Home
from changeover.supervisor.child import Child
from changeover.supervisor.keeper import PROJECT
from changeover.supervisor.stack import POOL

PROGRAMS = {"nginx": "nginx-light", "redis-server": "redis-server", "setpriv": "util-linux"}
PREFECT = (sys.executable, "-m", "prefect", "server")
START_SECONDS, END_SECONDS = 240.0, 60.0
_PORT = re.compile(r"(?<=127\.0\.0\.1:)420[0-2]\b")
Show = Callable[[str], None]


def postgres_programs() -> Path:
    """Return the folder of Debian's PostgreSQL programs.

    Raises:
        EnvironmentProblem: Something that the trial needs is not installed; says what to install.
    """
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        missing.add("postgresql")
    if missing:
        raise EnvironmentProblem(
            "programs are missing", next_step=f"apt-get install {' '.join(sorted(missing))}")
    return found[-1].parent


@dataclass
class Parts:
    """Every process, by its name; `running` starts and ends them.

    Args:
        root: Folder of all files.
        show: Shows one line.
    """

    root: Path
    show: Show
    children: dict[str, Child] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)
    _secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose ports and passwords."""
        names = ("nginx", "api-1", "api-2", "postgres", "redis")
        self._ports = {name: free_port() for name in names}
        self._secrets = {name: secrets.token_urlsafe(16) for name in ("postgres", "redis", "api")}
        self.home = Home(self.root / "changeover")

    @property
    def api_url(self) -> str:
        """Prefect's API, as everyone reaches it: behind nginx."""
        return f"http://127.0.0.1:{self._ports['nginx']}/api"

    @property
    def store_url(self) -> str:
        """Changeover's store, a second database of the same PostgreSQL."""
        return f"postgresql+psycopg://{self._database('changeover')}"

    def _database(self, name: str) -> str:
        return f"postgres:{self._secrets['postgres']}@127.0.0.1:{self._ports['postgres']}/{name}"

    def server_env(self, name: str) -> dict[str, str]:
        """Return the settings of an API server or of background services (docs/prefect-ha.md)."""
        redis = f"redis://:{self._secrets['redis']}@127.0.0.1:{self._ports['redis']}"
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return {
            "PREFECT_HOME": str(folder),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL":
                f"postgresql+asyncpg://{self._database('prefect')}",
            "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
            "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
            "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
            "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
            "PREFECT_REDIS_MESSAGING_URL": f"{redis}/0",
            "PREFECT_SERVER_DOCKET_URL": f"{redis}/1",
            "PREFECT_SERVER_API_AUTH_STRING": f"changeover:{self._secrets['api']}",
            "PREFECT_UI_API_URL": self.api_url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "INFO",
        }

    def client_env(self) -> dict[str, str]:
        """Return what `changeover up` and workers need to reach Prefect and the store."""
        return {
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": f"changeover:{self._secrets['api']}",
            "PREFECT_HOME": str(self.home.prefect_home),
            "PREFECT_CLIENT_MAX_RETRIES": "12",
            # what an API server answers while Redis is away; without it the flow fails, and the
            # observer brings it back a quarter of a minute later
            "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            STORE_VARIABLE: self.store_url,
            HOME_VARIABLE: str(self.home.root),
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start PostgreSQL, Redis, Prefect's servers and nginx; end them, and all workers."""
        programs = postgres_programs()
        self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as ends:
            # the user `postgres` must reach it, which a folder in somebody's home may not allow
            data = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="changeover-ha-")))
            ends.callback(self._end)
            self._start_postgres(programs, data)
            self._start_redis()
            self._run("migration", [*PREFECT, "database", "upgrade", "-y"],
                      self.server_env("migration"))
            self._start_nginx()
            for number in (1, 2):
                self.start(self._services(number))
                self.start(self._api(number))
                # One after the other: both save Prefect's own blocks at their first start, and
                # the second one to save a block would end with an IntegrityError.
                self._await(f"api-{number}", partial(self.answers, f"api-{number}"))
            yield

    def answers(self, name: str) -> bool:
        """Whether an API server, or nginx before them, answers."""
        try:
            url = f"http://127.0.0.1:{self._ports[name]}/api/health"
            return httpx.get(url, timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def start(self, child: Child) -> None:
        """Start a process, again if it was there before."""
        self.children[child.name] = child
        child.start()

    def start_worker(self, number: int) -> None:
        """Start one of the two workers."""
        self.start(self._child(f"worker-{number}", [
            sys.executable, "-m", "flows.worker", "--pool", POOL], self.client_env()))

    def _api(self, number: int) -> Child:
        name = f"api-{number}"
        return self._child(name, [
            *PREFECT, "start", "--host", "127.0.0.1", "--port", str(self._ports[name]),
            "--no-services"], self.server_env(name))

    def _services(self, number: int) -> Child:
        name = f"services-{number}"
        return self._child(name, [*PREFECT, "services", "start"], self.server_env(name))

    def _start_postgres(self, programs: Path, data: Path) -> None:
        """Make and start a database server of its own; as root it runs as Debian's `postgres`."""
        password = data / "password"
        password.write_text(self._secrets["postgres"])
        user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            shutil.chown(password, "postgres", "postgres")
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        place = data / "data"
        self._run("initdb", [
            *user, str(programs / "initdb"), "-D", str(place), "-U", "postgres", "-A",
            "scram-sha-256", f"--pwfile={password}"], {}, data)
        self.start(Child("postgres", [
            *user, str(programs / "postgres"), "-D", str(place), "-k", str(data), "-h", "127.0.0.1",
            "-p", str(self._ports["postgres"])], self._log("postgres"), {}, data))
        connection = f"postgresql://{self._database('postgres')}"
        ready = [str(programs / "pg_isready"), "-q", "-d", connection]
        self._await("postgres", lambda: subprocess.run(ready, check=False).returncode == 0)
        for name in ("prefect", "changeover"):
            self._run(f"database {name}", [
                str(programs / "psql"), connection, "-c", f"CREATE DATABASE {name}"], {})

    def _start_redis(self) -> None:
        """Start a Redis that writes what it is told: one that forgets loses Prefect's services."""
        folder = self.root / "redis"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / "redis.conf", "\n".join([
            "bind 127.0.0.1", f"port {self._ports['redis']}", "appendonly yes", 'save ""',
            f"requirepass {self._secrets['redis']}", f"dir {folder}", ""]), mode=OWNER_ONLY)
        self.start(Child("redis", ["redis-server", str(folder / "redis.conf")],
                         self._log("redis"), {}, folder))
        self._await("redis", lambda: not is_free("127.0.0.1", self._ports["redis"]))

    def _start_nginx(self) -> None:
        folder = self.root / "nginx"
        folder.mkdir(exist_ok=True)
        ports = {"4200": "nginx", "4201": "api-1", "4202": "api-2"}
        text = _PORT.sub(lambda found: str(self._ports[ports[found[0]]]),
                         (Path(__file__).parent / "nginx.conf").read_text())
        if os.geteuid() == 0:
            text = f"user root;\n{text}"
        write_atomically(folder / "nginx.conf", text)
        self.start(Child("nginx", [
            "nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")],
            self._log("nginx"), {}, folder))

    def _child(self, name: str, command: list[str], env: dict[str, str]) -> Child:
        return Child(name, command, self._log(name), env, PROJECT)

    def _log(self, name: str) -> Path:
        logs = self.root / "logs"
        logs.mkdir(exist_ok=True)
        return logs / f"{name}.log"

    def _run(self, name: str, command: list[str], env: dict[str, str],
             folder: Path = PROJECT) -> None:
        """Run a command to its end."""
        child = Child(name, command, self._log(name.replace(" ", "-")), env, folder)
        child.start()
        if child.process is None or child.process.wait(START_SECONDS) != 0:
            raise EnvironmentProblem(f"{name} failed: {child.tail()}", where=str(child.log))

    def _await(self, name: str, is_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_up():
            if time.monotonic() > deadline or not self.children[name].is_alive:
                raise EnvironmentProblem(
                    f"{name} does not answer: {self.children[name].tail()}",
                    where=str(self.children[name].log))
            time.sleep(0.1)
        self.show(f"{name} is up")

    def _end(self) -> None:
        """End what was started, in the opposite order."""
        for child in reversed([*self.children.values()]):
            # `changeover up` ends its own processes one after the other: killed, it leaves Envoy
            child.end(END_SECONDS)
