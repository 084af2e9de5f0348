"""Killing the processes of a running site, and letting its stages go when that is done."""

from __future__ import annotations

import contextlib
import os
import signal
from uuid import uuid4

import psutil

from changeover import clock
from changeover.domain.outcomes import Outcome
from changeover.store import outcomes
from tests.support.processes import wait_for
from tests.support.site import Site


def kill(found: Site, name: str) -> None:
    """Kill a supervised process and wait until another one runs in its place."""
    before = found.pid(name)
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        known = found.home.settings()["processes"].get(name)
        return known is not None and known["pid"] != before

    wait_for(is_back, seconds=30, what=f"another {name}")


def kill_server(found: Site) -> None:
    """Kill Prefect's server and wait until it answers again."""
    kill(found, "prefect-server")
    wait_for(found.api.is_alive, seconds=60, what="Prefect again")


def kill_flow(found: Site, run: str) -> None:
    """Kill the process that carries the cutover, as soon as there is one."""
    processes = wait_for(found.flow_processes, seconds=60, what="a flow process")
    for process in processes:  # type: ignore[attr-defined]
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for(lambda: found.api.run(run).state_type != "RUNNING" or found.flow_processes(),
             seconds=60, what="the kill is noticed")


def report(found: Site, *, is_success: bool = True, **quality: float) -> None:
    """Report an outcome of the candidate, as applications do."""
    outcome = Outcome(str(uuid4()), "candidate", is_success=is_success, quality=quality)
    outcomes.save(found.store, "site", [outcome], now=clock.now())


def let_go(found: Site, run: str, stage: str, metric: str) -> None:
    """Report what the stage's gate waits for, until it is left.

    Args:
        found: The site.
        run: The cutover's flow run.
        stage: Key of the stage.
        metric: Name of the outcome's quality that its gate asks for.
    """
    def is_left() -> bool:
        report(found, **{metric: 1})
        return found.stage(run) != (stage, "soaking")

    wait_for(is_left, seconds=60, what=f"the end of {stage}")
