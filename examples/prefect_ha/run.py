"""One run: Prefect in high availability, `changeover up`, users, kills, and what came of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from changeover.domain.procedures import of_cutover
from changeover.errors import EXIT_FAILED, EXIT_OK, EnvironmentProblem
from changeover.machine.files import write_atomically
from changeover.machine.ports import free_port
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.site.site import Site
from changeover.store import audit, cutovers, steps
from changeover.store.engine import Store
from changeover.supervisor.child import Child
from changeover.supervisor.demo import Demo, Faults, stats_file
from changeover.supervisor.keeper import PROJECT
from examples.prefect_ha.kills import Killer
from examples.prefect_ha.parts import START_SECONDS, Parts, Show

PLAN = Path(__file__).parent / "plan.yaml"
PORT = re.compile(r"(?<!\d)810[0-2](?!\d)")
READY = "ready. Users"
RATE = 50
ONCE = ("stage.entered", "stage.promoted", "cutover.started", "cutover.promoted", "step.done")
"""What happens once for each stage or step, whoever was killed meanwhile."""


@dataclass
class Run:
    """A cutover from 0 to 100 % while one part after the other is killed.

    Args:
        parts: Prefect in high availability, not started.
        show: Shows one line.
    """

    parts: Parts
    show: Show

    def run(self) -> int:
        """Return 0 when it ended promoted, each step once, and no user's request failed."""
        # this process asks Prefect, too
        os.environ.update(self.parts.client_env())
        with self.parts.running(), self._changeover() as plan:
            store = Store.open(self.parts.store_url)
            with closing(store), self._users(plan):
                site = Site(self.parts.home, plan, store)
                killer = Killer(self.parts, site, self.show)
                with killer.working():
                    demo = Demo(site, self.show, approves=True, fault=None,
                                faults=Faults({}, "", self.parts.root / "faults.json"))
                    code = demo.run()
                return self._result(site, killer, code)

    @contextmanager
    def _changeover(self) -> Iterator[Plan]:
        """Run `changeover up` without a server and a worker of its own, and two workers."""
        path = self.parts.root / "plan.yaml"
        text = PLAN.read_text()
        for port in sorted(set(PORT.findall(text))):
            text = re.sub(rf"(?<!\d){port}(?!\d)", str(free_port()), text)
        write_atomically(path, text)
        child = Child("changeover-up", [
            sys.executable, "-m", "changeover.cli", "up", "--plan", str(path),
            "--home", str(self.parts.home.root), "--prefect-url", self.parts.api_url,
            "--no-worker", "--reports-port", str(free_port()),
            "--console", f"127.0.0.1:{free_port()}"],
            self.parts.root / "logs" / "changeover-up.log", self.parts.client_env(), PROJECT)
        self.parts.start(child)
        deadline = time.monotonic() + 2 * START_SECONDS
        while READY not in child.tail(3):
            if time.monotonic() > deadline or not child.is_alive:
                raise EnvironmentProblem(f"changeover up failed: {child.tail()}",
                                         where=str(child.log))
            time.sleep(0.2)
        for number in (1, 2):
            self.parts.start_worker(number)
        self.show(f"changeover up is ready with Prefect at {self.parts.api_url}")
        yield load_plan(path)

    @contextmanager
    def _users(self, plan: Plan) -> Iterator[None]:
        """Have users send requests to the gateway without a pause."""
        figures = stats_file(self.parts.home)
        load = Child("users", [
            sys.executable, "-m", "examples.metadata.load", "--url",
            f"http://{plan.routing.listen}", "--rate", str(RATE), "--stats", str(figures)],
            self.parts.root / "logs" / "users.log", {}, PROJECT)
        self.parts.start(load)
        try:
            yield
        finally:
            load.end(30)

    def _result(self, site: Site, killer: Killer, code: int) -> int:
        """Show what happened and return the exit code."""
        show = self.show
        users = json.loads(stats_file(self.parts.home).read_text())
        failed = sum(number for kind, number in users.items() if kind.startswith("failed_"))
        twice = _twice(site)
        checked = subprocess.run(
            [sys.executable, "-m", "changeover.cli", "history", "--verify", "--home",
             str(site.home.root)], cwd=PROJECT, capture_output=True, text=True, check=False)
        answers = _answers(self.parts.root / "nginx" / "access.log")
        show(f"killed: {', '.join(killer.killed)}")
        show(f"users: {users['answered']} requests answered, {failed} failed")
        for line in (site.home.logs / "observer.log").read_text().splitlines():
            if "was scheduled again" in line:
                show(f"observer: {line}")
        show(f"audit: {checked.stdout.strip()}")
        show(f"twice: {', '.join(twice) or 'nothing'}")
        show("nginx answered " + ", ".join(f"{n} × {status}" for status, n in sorted(
            answers.items())))
        is_good = (code == EXIT_OK and checked.returncode == 0 and not twice and not failed
                   and len(killer.killed) == 5)
        show("promoted, each step once, no user noticed" if is_good else "NOT as it should be")
        return EXIT_OK if is_good else (code or EXIT_FAILED)


def _twice(site: Site) -> list[str]:
    """Return what the audit or the steps have more than once, or not done."""
    seen = Counter(
        f"{event.kind} {event.data.get('stage') or event.data.get('step') or ''}".strip()
        for event in audit.events(site.store, site.migration) if event.kind in ONCE)
    cutover = cutovers.latest(site.store, site.migration)
    found = steps.all_of(site.store, site.migration, of_cutover(cutover.id)) if cutover else []
    open_ = [f"step {step.name} {step.status}" for step in found
             if step.status not in ("done", "skipped")]
    return [name for name, number in seen.items() if number > 1] + open_


def _answers(log: Path) -> Counter[str]:
    """Count nginx's answers by status, and those for which it asked a second server."""
    found: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        _, _, rest = line.partition('" ')
        status, _, _ = rest.partition(" ")
        found[status] += 1
        if ", " in rest:
            found["a second server asked"] += 1
    return found
