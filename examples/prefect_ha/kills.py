"""Kills one part in each stage of a cutover, and starts it again some seconds later."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

from changeover.errors import ChangeoverError
from changeover.site.home import HOME_VARIABLE
from changeover.site.site import Site
from changeover.store import cutovers
from changeover.supervisor.child import Child
from examples.prefect_ha.parts import Parts, Show

LOOK_SECONDS = 0.1
WORKS_WITHIN_SECONDS = 15.0
"""How long a flow's process is waited for; then the part is killed all the same."""
KILLS = {
    "gradual-5": ("api-1", 15.0),
    "gradual-10": ("services-1", 15.0),
    "gradual-25": ("worker", 15.0),
    "gradual-50": ("redis", 1.0),
    "gradual-75": ("api-2", 15.0),
}
"""The part that is killed in each stage, and the seconds until it is started again."""


@dataclass
class Killer:
    """Kills with SIGKILL while a flow's process is at work, which is the worst moment.

    Args:
        parts: The processes.
        site: The migration.
        show: Shows one line.
        killed: What was killed so far.
    """

    parts: Parts
    site: Site
    show: Show
    killed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Kill in a thread while the block runs."""
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join(60)

    def _work(self) -> None:
        done: set[str] = set()
        while not self._over.wait(LOOK_SECONDS):
            stage = self._stage()
            if stage in KILLS and stage not in done:
                done.add(stage)
                self._kill(stage, *KILLS[stage])

    def _stage(self) -> str:
        """Return the stage that the cutover is in; empty while there is none or nobody knows."""
        with contextlib.suppress(ChangeoverError):
            found = cutovers.active(self.site.store, self.site.migration)
            stages = cutovers.stages(self.site.store, found.id) if found else []
            return stages[-1].key if stages else ""
        return ""

    def _kill(self, stage: str, name: str, seconds: float) -> None:
        # the flow that has just moved the users ends: the next one judges the gates
        self._wait(lambda: not self.flows(), WORKS_WITHIN_SECONDS)
        self._wait(lambda: bool(self.flows()), WORKS_WITHIN_SECONDS)
        flows = self.flows()
        doing = "a flow run at work" if flows else "no flow run at work"
        victims = [self._busy_worker(flows)] if name == "worker" else [self.parts.children[name]]
        for victim in victims:
            # the worker dies with its flow runs, as on a machine that is gone
            also = _family(victim) if name == "worker" else []
            for process in also:
                _kill(process)
            if victim.process:
                _kill(victim.process)
            self.killed.append(victim.name)
            with_flows = " with its flow run" if also else ""
            self.show(f"KILLED {victim.name}{with_flows} in {stage}, {doing}")
            self._over.wait(seconds)
            victim.end()
            victim.start()
            self.show(f"{victim.name} was started again")

    def _busy_worker(self, flows: list[psutil.Process]) -> Child:
        """Return the worker that carries out a flow run, else the first."""
        workers = [self.parts.children[f"worker-{number}"] for number in (1, 2)]
        pids = {flow.pid for flow in flows}
        for worker in workers:
            if pids & {process.pid for process in _family(worker)}:
                return worker
        return workers[0]

    def flows(self) -> list[psutil.Process]:
        """Return the processes that carry out flow runs of this migration."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_flow = "prefect.engine" in process.cmdline()
                home = process.environ().get(HOME_VARIABLE) if is_flow else None
                if home == str(self.site.home.root):
                    found.append(process)
        return found

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_so() and time.monotonic() < deadline and not self._over.wait(LOOK_SECONDS):
            pass


def _family(child: Child) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return child.process.children(recursive=True) if child.process else []
    return []


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()
