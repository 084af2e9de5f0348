"""A migration of `examples/` on free ports: its whole stack, its users, its faults."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from changeover import clock
from changeover.domain.rollout import Cutover
from changeover.domain.routing import Mode
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.site import trigger_status
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import cutovers, firings, rollbacks, routing
from changeover.store.engine import Store
from changeover.supervisor import examples
from changeover.supervisor.stack import Stack
from changeover.supervisor.staging import Staged, Wanted, stage
from changeover.supervisor.up import kept
from tests.support import commands
from tests.support.prefect_database import seed
from tests.support.processes import LONGEST_PAUSE, ROOT, free_port, wait_for

UNANSWERED = {"crash", "down"}
"""Faults that leave nobody who could answer."""


@dataclass
class Migration:
    """A running example.

    Args:
        name: The example's name.
        home: Its home directory.
        staged: Plan, traffic, faults.
        stack: Its processes.
        store: Its store.
    """

    name: str
    home: Home
    staged: Staged
    stack: Stack
    store: Store

    @cached_property
    def site(self) -> Site:
        return Site(self.home, self.staged.plan, self.store)

    @cached_property
    def api(self) -> PrefectApi:
        return PrefectApi(self.stack.api_url, timeout=LONGEST_PAUSE)

    @property
    def migration(self) -> str:
        return self.staged.plan.migration

    def changeover(self, *arguments: str, code: int = 0) -> str:
        """Run a command, check its exit code, and return what it printed."""
        return commands.changeover(self.home.root, *arguments, code=code)

    def users(self) -> dict[str, Any]:
        """Return what the users saw so far: `answered`, `failed_*`, and what the example counts."""
        found: dict[str, Any] = json.loads((self.home.root / "load.json").read_text())
        return found

    def count(self, name: str) -> int:
        """Return one of the counts of the users; it is missing until it is first counted."""
        return int(self.users().get(name, 0))

    def after_answers(self, number: int) -> Callable[[], bool]:
        """Return a condition that is met when users have got so many more answers than now."""
        before = self.count("answered")
        return lambda: self.count("answered") >= before + number

    def begin(self, kind: str) -> None:
        """Begin a fault, however busy the process is that is to suffer from it."""
        fault = examples.described(self.name).faults[kind]
        if kind in UNANSWERED:
            self.staged.faults.begin(kind, fault)
            return
        wait_for(lambda: self.staged.faults.begin(kind, fault), what=f"the beginning of {kind}")

    def end_fault(self, kind: str) -> None:
        """End a fault where it was begun; a process that died has to be there again."""
        fault = examples.described(self.name).faults[kind]
        wait_for(lambda: self.staged.faults.end(fault), what=f"the end of {kind}")

    def move(self, percent: int) -> None:
        """Give the candidate a share of the users by hand, from wherever the migration is."""
        if routing.read(self.store, self.migration).mode is Mode.EMERGENCY_ROLLBACK:
            self.changeover("recover", "--reason", "the next case")
        self.changeover("advance", "--percent", str(percent), "--reason", "the next case")
        wait_for(self.is_served, seconds=30, what="the gateway serves it")

    def is_served(self) -> bool:
        """Whether the gateway serves the present routing state."""
        state = routing.read(self.store, self.migration)
        return Gateway(self.home.gateway_files).served() == state.order

    def mode(self) -> Mode:
        return routing.read(self.store, self.migration).mode

    def fired(self) -> list[str]:
        """Return the names of the triggers that fired, the newest last."""
        return [each.trigger for each in firings.all_of(self.store, self.migration)]

    def wait_fired(self, trigger: str, *, seconds: float = 60) -> None:
        """Wait until a trigger fires that had not been counted before."""
        before = self.fired().count(trigger)
        wait_for(lambda: self.fired().count(trigger) > before, seconds=seconds,
                 what=f"trigger {trigger} fires; fired: {self.fired()}")

    def keep(self, percent: int) -> None:
        """Have a share of the users on the candidate, also after a rollback.

        A busy machine may be slow enough for a trigger of its own.
        """
        state = routing.read(self.store, self.migration)
        if (state.mode, state.weight) != (Mode.GRADUAL, percent * 100):
            # the rollback may come while users are being moved
            with contextlib.suppress(AssertionError):
                self.move(percent)

    def meanwhile(self, percent: int, condition: Callable[[], object], what: str) -> None:
        """Wait for something while a share of the users is on the candidate."""
        def is_met() -> object:
            self.keep(percent)
            return condition()

        wait_for(is_met, seconds=120, what=what)

    def provoke(
        self, kind: str, trigger: str, percent: int = 50, *, answers: int = 10,
        copies: bool = False
    ) -> None:
        """Begin a fault and wait until its trigger fires; the fault goes on.

        When another trigger was faster and took everyone back, they are moved once more.

        Args:
            kind: The fault.
            trigger: Which trigger is to fire.
            percent: Users on the candidate.
            answers: Answers that users get before the fault begins: a trigger of some stages
                begins a moment after the move.
            copies: Whether the candidate gets copies of all requests, as in the plan's stages; by
                hand it gets none.
        """
        before = self.fired().count(trigger)

        def has_fired() -> bool:
            return self.fired().count(trigger) > before

        for _ in range(3):
            self.end_fault(kind)
            self.meanwhile(percent, self.after_answers(answers), f"{answers} answers")
            self.wait_over(trigger)
            if copies:
                self.changeover("shadow", "100%", "--reason", "the next case")
            self.begin(kind)
            wait_for(lambda: has_fired() or self.mode() is Mode.EMERGENCY_ROLLBACK,
                     seconds=90, what=f"trigger {trigger}; fired: {self.fired()}")
            with contextlib.suppress(AssertionError):
                wait_for(has_fired, seconds=6, what=trigger)
                return
        raise AssertionError(f"{trigger} did not fire; fired: {self.fired()}")

    def wait_over(self, *triggers: str) -> None:
        """Wait until triggers that fired are over: one that still stands does not fire again."""
        def is_over() -> bool:
            found = trigger_status.triggers(self.store, self.staged.plan, now=clock.now())
            firing = {each["trigger"] for each in found if each["stands"] == "firing"}
            return not firing & set(triggers)

        wait_for(is_over, seconds=60, what=f"the end of what fired before: {triggers}")

    def wait_rolled_back(self, seconds: float = 60) -> None:
        """Wait until everyone is at the baseline and the rollback is over."""
        def is_over() -> bool:
            state = routing.read(self.store, self.migration)
            known = rollbacks.all_of(self.store, self.migration)
            # the console moves the users; who carries out the rest begins it a moment later
            return any(each.epoch == state.epoch for each in known) and all(
                each.ended_at for each in known)

        wait_for(lambda: self.mode() is Mode.EMERGENCY_ROLLBACK, seconds=seconds,
                 what="the rollback")
        wait_for(is_over, seconds=seconds, what="the end of the rollback's steps")

    def cutover(self, run_id: str) -> Cutover | None:
        return cutovers.of_flow_run(self.store, run_id)


@contextlib.contextmanager
def migration(
    name: str, directory: Path, *, speed: float | None = None, rate: float | None = None,
    environment: str | None = None, adapt: Callable[[Plan], Plan] | None = None
) -> Iterator[Migration]:
    """Start an example as `changeover demo` does, without its cutover; end everything after.

    Args:
        name: The example.
        directory: Where everything is kept.
        speed: How many times as fast as the plan says; None: the example's own.
        rate: Users' requests per second; None: the example's own.
        environment: One of the plan's environments.
        adapt: Returns the plan as a test machine can run it; None: as it is.
    """
    home = Home(directory / "home")
    home.create()
    seed(home.prefect_home)
    example = examples.load(name)
    prepared = examples.prepare(name, example, speed=speed, environment=environment)
    if adapt is not None:
        prepared = replace(prepared, plan=adapt(prepared.plan))
    staged = stage(home, name, example, prepared,
                   Wanted(rate, None, free_port(), free_port(), free_port()))
    stack = Stack(home, staged.plan, staged.settings, logging.getLogger(__name__).info)
    with contextlib.ExitStack() as ends:
        ends.callback(stack.keeper.stop)
        ends.callback(staged.load.end)
        store = stack.start()
        ends.callback(store.close)
        ends.enter_context(kept(stack.keeper))
        staged.admit(store)
        staged.load.start()
        wait_for((home.root / "load.json").exists, seconds=60, what="the users")
        yield Migration(name, home, staged, stack, store)


def demonstrate(name: str, directory: Path, *options: str, seconds: float = 600) -> tuple[int, str]:
    """Run `changeover demo NAME --approve` as a person does; return exit code and output."""
    # each its own: two demos that begin at once would both find 4200 free
    ports = [part for name in ("prefect", "console", "reports")
             for part in (f"--{name}-port", str(free_port()))]
    done = subprocess.run(
        [sys.executable, "-m", "changeover.cli", "demo", name, "--approve", "--home",
         str(directory / "demo"), *ports, *options],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    return done.returncode, text
