"""Everything that runs on one machine for a migration, and how it is started and stopped."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from changeover.domain.routing import System
from changeover.errors import Refused, Unreachable
from changeover.gateway import probe, reaching
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.machine.environment import FRUGAL
from changeover.machine.ports import require_free
from changeover.plan import units
from changeover.plan.hook_rules import has_load
from changeover.plan.model import Plan
from changeover.procedures import baseline
from changeover.procedures.registering import register
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import PREFECT_SECONDS
from changeover.store import identity, routing
from changeover.store.engine import Store
from changeover.supervisor import leftovers, prefect_server
from changeover.supervisor.child import Child
from changeover.supervisor.keeper import PROJECT, Keeper, Show, refuse_home_of_others, supervisor_of
from changeover.supervisor.taken import require_address

POOL = "changeover"
PREPARATION_SECONDS = 300.0
UP_SECONDS = 240.0
"""A child that ends is noticed at once; one that lives may be slow on a busy machine."""


@dataclass(frozen=True)
class Beside:
    """A process that the two systems need: started before them, ready when `/health` is 2xx."""

    name: str
    command: list[str]
    url: str


@dataclass(frozen=True)
class Settings:
    """How a stack was asked for.

    Args:
        plan_path: Where the plan was read, for relative directories.
        prefect_port: Port of Prefect's server.
        reports_port: Port where rendered reports are served.
        console: Address of the console, as `127.0.0.1:8190`.
        prefect_url: A Prefect API that runs elsewhere; then no server is started.
        has_worker: Whether a worker is one of the processes; else flows wait for one elsewhere.
        system_env: Variables for the systems' processes.
        beside: Further processes that the systems need.
        store_url: Database URL, saved in the home once it can be used; None for the home's.
        takes_over: Whether flows of another database on the server become this one's.
    """

    plan_path: Path
    prefect_port: int
    reports_port: int
    console: str
    prefect_url: str | None = None
    has_worker: bool = True
    system_env: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[Beside, ...] = ()
    store_url: str | None = None
    takes_over: bool = False


class Stack:
    """The processes of one migration.

    Args:
        home: The home directory.
        plan: The plan.
        settings: Ports, addresses and variables.
        show: Shows one line to the person who started it.
    """

    def __init__(self, home: Home, plan: Plan, settings: Settings, show: Show) -> None:
        self.home, self.plan, self.settings, self.show = home, plan, settings, show
        self.api_url = settings.prefect_url or f"http://127.0.0.1:{settings.prefect_port}/api"
        self.reports_url = f"http://127.0.0.1:{settings.reports_port}"
        self._console = units.parse_address(settings.console)
        self.console_url = f"http://{settings.console}"
        self.gateway = Gateway(home.gateway_files)
        self.children = self._describe()
        self.keeper = Keeper(home, self.children, show, self._addresses())

    @property
    def is_own_server(self) -> bool:
        """Whether Prefect's server is one of the processes."""
        return self.settings.prefect_url is None

    @property
    def ui_url(self) -> str:
        """Address of Prefect's pages; those of a server elsewhere may have one of their own."""
        other = "" if self.is_own_server else os.environ.get("PREFECT_UI_URL", "")
        return other.rstrip("/") or self.api_url.removesuffix("/api")

    def start(self) -> Store:
        """Start or adopt everything, in order, and return the open store.

        Raises:
            Refused: Another plan is under way, or the home is another's.
            InvalidPlan: It cannot work beside those of its group.
            EnvironmentProblem: A port is taken, a program or directory is missing.
            Unreachable: A process does not come up; the end of its log is shown.
        """
        # first: what fails from here on spares what is known to have run before
        adopted = leftovers.adopt(self.home, self.children)
        refuse_home_of_others(self.home, self.plan.migration, is_serving="envoy" in adopted)
        if not self.is_own_server:
            prefect_server.await_others(PrefectApi(self.api_url), self.show)
        self._require_ports(adopted)
        self.home.create()
        store = self._open_store()
        self.keeper.addresses["store_id"] = identity.of(store)
        self.home.pop_restarts()  # asked of an earlier supervisor
        leftovers.end_others(self.home, self.children, self.show)
        # from now on others find this supervisor: see `refuse_second`
        self.keeper.save()
        with self._starting_prefect():
            self._start_systems()
            # before Envoy, which tries its address again only after a while
            self.launch("shadow")
            self.launch("envoy")
        self._await("envoy", self.gateway.admin.is_alive)
        for service in ("observer", "console", "load", "reports"):
            self.launch(service)
        # before the worker, which asks for its pool and its deployments at once
        self._prepare_prefect()
        self.launch("worker")
        self.keeper.save()
        return store

    def _open_store(self) -> Store:
        """Open the store, save the plan in it, and write the gateway's first configuration."""
        asked = self.settings.store_url
        store = Store.open(self.home.store_url_with(asked), create=True)
        for note in register(store, self.plan, self.settings.plan_path):
            self.show(f"note: {note}")
        if asked:
            self.home.save_secrets({**self.home.secrets(), "store_url": asked})
        self.gateway.prepare(self.plan, routing.read(store, self.plan.migration))
        if self.children["envoy"].is_alive and self.gateway.is_outdated(self.plan):
            self.show("note: the gateway runs on as it was started, with the address, TLS, limits "
                      "and segments of then, and no cutover begins before you end `changeover up` "
                      "with Ctrl-C and start it again")
        return store

    def _start_systems(self) -> None:
        for other in self.settings.beside:
            self.launch(other.name)
            self._await(other.name, partial(baseline.answers, f"{other.url}/health", 2))
        for name in System:
            self.launch(str(name))
            # a system that others run is either there or not
            seconds = UP_SECONDS if str(name) in self.children else 30
            self._await(str(name), partial(self._answers_well, name), seconds)

    def prefect_env(self) -> dict[str, str]:
        """Return the variables that Prefect's server, worker, flows and command line need."""
        return prefect_server.environment(self.home, self.api_url)

    def _describe(self) -> dict[str, Child]:
        """Return every process of the stack, not started."""
        env, migration = self.prefect_env(), self.plan.migration
        python, home = sys.executable, str(self.home.root)
        children: list[Child | None] = [
            # not started again by itself: whether a migration repairs it is the plan's business
            Child(other.name, other.command, self.home.logs / f"{other.name}.log",
                  self.settings.system_env, PROJECT, restart=False)
            for other in self.settings.beside]
        children += [self._system_child(str(name)) for name in System]
        children += [
            # users' gateway must not end with whoever keeps it running
            replace(self._child("envoy", envoy_command(
                self.home.gateway_files, grace=self.plan.rollback.grace)), outlives=True),
            self._child("observer", [
                python, "-m", "changeover.observer", "--home", home, "--migration", migration,
                "--api-url", self.api_url], env),
            self._child("shadow", [
                python, "-m", "changeover.shadow", "--home", home, "--migration", migration], env)
            if self.plan.shadow else None,
            self._child("console", [
                python, "-m", "changeover.console", "--home", home, "--migration", migration,
                "--host", self._console[0], "--port", str(self._console[1])], env),
            self._child("load", [
                python, "-m", "changeover.load", "--home", home, "--migration", migration], env)
            if has_load(self.plan) else None,
            self._child("reports", [
                python, "-m", "http.server", str(self.settings.reports_port), "--bind", "127.0.0.1",
                "--directory", str(self.home.reports)], FRUGAL),
            self._child("worker", [
                python, "-m", "flows.worker", "--pool", POOL], env)
            if self.settings.has_worker else None,
        ]
        if self.is_own_server:
            children.append(self._child("prefect-server", [
                python, "-m", "prefect", "server", "start", "--host", "127.0.0.1",
                "--port", str(self.settings.prefect_port)], env))
        return {child.name: child for child in children if child is not None}

    def _child(
        self, name: str, command: list[str], env: Mapping[str, str] | None = None
    ) -> Child:
        return Child(name, command, self.home.logs / f"{name}.log", env or {}, PROJECT)

    def _preparation(self) -> Child:
        """Return the process that makes what the migration needs in Prefect, not started."""
        return self._child("preparation", [
            sys.executable, "-m", "blocks.prepare", "--home", str(self.home.root), "--migration",
            self.plan.migration, "--pool", POOL,
            *(["--own-server"] if self.is_own_server else []),
            *(["--take-over"] if self.settings.takes_over else []),
        ], self.prefect_env())

    def _system_child(self, name: str) -> Child | None:
        process = self.plan.system(name).process
        if process is None or process.command is None:
            return None
        program, *arguments = process.command
        command = [sys.executable if program == "python" else program, *arguments]
        folder = self.settings.plan_path.parent
        directory = folder / process.directory if process.directory else None
        return Child(
            name, command, self.home.logs / f"{name}.log",
            {**self.settings.system_env, **process.env}, directory, process.restart,
        )

    def refuse_second(self) -> None:
        """Refuse to start what runs already; nothing of it is touched.

        Raises:
            Refused: Another supervisor runs with this home.
        """
        if (pid := supervisor_of(self.home)) is not None:
            raise Refused(
                f"not started because `changeover up` runs already (process {pid})",
                where=str(self.home.root),
                next_step="Use it (`changeover status`), end it, or give another --home",
            )

    def _require_ports(self, adopted: set[str]) -> None:
        if "envoy" not in adopted:
            require_address(
                self.plan.routing.listen, remedy="change routing.listen in the plan")
        if self.is_own_server and "prefect-server" not in adopted:
            require_free("127.0.0.1", self.settings.prefect_port, what="Prefect's server",
                         remedy="give another with --prefect-port")
        if "reports" not in adopted:
            require_free("127.0.0.1", self.settings.reports_port, what="the report pages",
                         remedy="give another with --reports-port")
        if "console" not in adopted:
            require_free(*self._console, what="the console",
                         remedy="give another with --console")

    def launch(self, name: str) -> None:
        """Start a process, or take over the one that runs unless it was started in another way.

        Args:
            name: Its name; nothing is done where the stack has none of that name.

        Raises:
            EnvironmentProblem: The program is missing or may not be run.
        """
        child = self.children.get(name)
        if child is None:
            return
        if child.is_alive and not self._is_to_restart(child):
            self.show(f"{name} runs still and is taken over")
            return
        if child.is_alive:
            self.show(f"{name} runs still, was started in another way, and is started again")
            leftovers.end(child, self.home)
        child.start()
        # saved with each: a kill during the start leaves nothing that the next start cannot find
        self.keeper.save()

    def _is_to_restart(self, child: Child) -> bool:
        """Whether a process that was taken over is not what was asked for now."""
        # no user may notice: neither the gateway nor what it leads to is ended for this
        users = {"envoy", *System, *(other.name for other in self.settings.beside)}
        return child.is_outdated and child.name not in users

    def _await(
        self, name: str, is_up: Callable[[], bool], seconds: float = UP_SECONDS
    ) -> None:
        """Wait until a process answers; say why not, with the end of its log."""
        deadline = time.monotonic() + seconds
        child = self.children.get(name)
        while not is_up():
            has_ended = child is not None and not child.is_alive
            if has_ended or time.monotonic() > deadline:
                did = "ended" if has_ended else f"did not answer within {seconds:.0f} s"
                tail = f"; its log ends:\n{child.tail()}" if child else ""
                raise Unreachable(
                    f"{name} {did}{tail}", where=self._address(name),
                    next_step="Mend it and run the command again; nothing was lost",
                )
            time.sleep(0.1)
        self.show(f"{name} is up")

    def _answers_well(self, name: System) -> bool:
        """Whether a system's health is good.

        Raises:
            Refused: It does not speak the plan's protocol: every user's call would fail.
        """
        spec = self.plan.system(name)
        if baseline.answers_well(spec):
            return True
        found = probe.Found.of(name, spec)
        if found.is_unusable:
            raise Refused(
                f"not started because {probe.note(found)}", where=f"systems.{name}.protocol",
                next_step=f"Set `protocol` in systems.{name} to what it speaks",
            )
        return False

    def _address(self, name: str) -> str:
        if name in ("baseline", "candidate"):
            return reaching.health_address(self.plan.system(name))
        other = {"prefect-server": self.api_url, "console": self.console_url}
        return other.get(name, self.plan.routing.listen)

    @contextmanager
    def _starting_prefect(self) -> Iterator[None]:
        """Start Prefect's server; for the first time after the block, when its database is made.

        The server would make it, too, but would keep the 50 MB which that takes for good.
        """
        if not self.is_own_server or (self.home.prefect_home / "prefect.db").exists():
            self.launch("prefect-server")
            yield
            return
        database = self._child("prefect-database", [
            sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes",
        ], self.prefect_env())
        database.start()
        try:
            yield
            self._await_end(database, "the making of Prefect's database")
        finally:
            database.end()
        self.launch("prefect-server")

    def _prepare_prefect(self) -> None:
        """Have the work pool, the blocks and every deployment made; safe to do again."""
        preparation = self._preparation()
        preparation.start()  # it reads its modules while Prefect's server still starts
        try:
            self._await("console", partial(baseline.answers, f"{self.console_url}/health", 2))
            self._await("prefect-server", PrefectApi(self.api_url).is_alive)
            self._await_end(preparation, "the preparation of Prefect")
        finally:
            preparation.end()
        PrefectApi(self.api_url, timeout=PREFECT_SECONDS).set_limits(self.plan.health.limits)
        self.show("every flow is deployed")

    def _await_end(self, child: Child, what: str) -> None:
        """Wait until a process has done its work; say why not, with the end of its log."""
        try:
            code = child.process.wait(PREPARATION_SECONDS) if child.process else None
        except psutil.TimeoutExpired:
            code = None
        if code == 0:
            return
        did = f"did not end within {PREPARATION_SECONDS:.0f} s" if code is None else "failed"
        raise Unreachable(
            f"{what} {did}; its log ends:\n{child.tail(6)}", where=self.api_url,
            next_step=f"Read logs/{child.log.name} and run the command again",
        )

    def _addresses(self) -> dict[str, Any]:
        """Return what `run.json` says beside the processes."""
        return {
            "migration": self.plan.migration, "plan": str(self.settings.plan_path),
            "api_url": self.api_url, "ui_url": self.ui_url, "reports_url": self.reports_url,
            "gateway": reaching.gateway_address(self.plan), "console_url": self.console_url,
            "prefect_port": self.settings.prefect_port, "reports_port": self.settings.reports_port,
            "has_worker": self.settings.has_worker,
        }
