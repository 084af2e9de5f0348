"""Carry out flow runs as the worker's engine does, and kill the process at every point once.

`python -m tests.support.kill_engine`: reads `HOME FLOW RUN_ID FIRED` lines, and carries out one
attempt of the run in a forked process (for the flow `register`: saves the blocks of the home's
migration; for `deploy`: makes the work pool and deploys every flow). FIRED is a file with the
points at which a process was killed before (`-`: never kill). At a point that is not in it, the
point is noted and the process ends by SIGKILL: before and after every task, and between an action
and its record in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.schemas import actions, objects, responses
from prefect.plugins import load_prefect_collections
from pydantic import BaseModel
from sqlalchemy.orm import configure_mappers

import tasks.steps
from changeover import clock
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.procedures import levers
from changeover.site.home import Home
from changeover.store import approvals, identity, leaving_out, messages, plans, routing, steps
from changeover.store.engine import Store

_fired: Path | None = None
MOVED_CLOCK = "moved-clock"
"""File in the home with the seconds by which the clock is ahead."""


def kill_at(point: str) -> None:
    """End this process here, once; where FIRED begins with `only TEXT`, at such points alone."""
    known = [] if _fired is None else _fired.read_text().splitlines()
    wanted = known[0].removeprefix("only ") if known and known[0].startswith("only ") else ""
    if _fired is None or point in known or wanted not in point:
        return
    with _fired.open("a") as file:
        file.write(f"{point}\n")
        file.flush()
        os.fsync(file.fileno())
    os.kill(os.getpid(), signal.SIGKILL)


def _around(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the function with points before and after it, named by what it is called with."""
    signature = inspect.signature(function)

    def label(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        given = signature.bind(*args, **kwargs).arguments
        about = [str(given[key]) for key in ("stage", "round_", "number", "suite") if key in given
                 and isinstance(given[key], str | int)]
        about += [given["hook"].step] if "hook" in given else []
        return " ".join([name, *about])

    if inspect.iscoroutinefunction(function):
        @functools.wraps(function)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            kill_at(f"before {label(args, kwargs)}")
            result = await function(*args, **kwargs)
            kill_at(f"after {label(args, kwargs)}")
            return result
        return wrapped

    @functools.wraps(function)
    def wrapped_sync(*args: Any, **kwargs: Any) -> Any:
        kill_at(f"before {label(args, kwargs)}")
        result = function(*args, **kwargs)
        kill_at(f"after {label(args, kwargs)}")
        return result
    return wrapped_sync


def _killing_step(original: Callable[..., Any]) -> Callable[..., Any]:
    def step(**options: Any) -> Callable[..., Any]:
        make = original(**options)
        return lambda function: make(_around(function, options["name"]))
    return step


def _between(owner: Any, name: str, about: Callable[..., str], *, before: bool = False) -> None:
    """Put a point before or after a function of the core."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        point = f"{'before' if before else 'after'} {name} {about(*args, **kwargs)}"
        if before:
            kill_at(point)
        result = original(*args, **kwargs)
        if not before:
            kill_at(point)
        return result

    setattr(owner, name, wrapped)


PRELOADED = (
    "anyio._backends._asyncio", "changeover.procedures.rehearsal", "changeover.checks.suites.run",
    "fastapi", "matplotlib.backends.backend_svg", "mpl_toolkits.mplot3d", "opentelemetry.metrics",
    "prefect.artifacts", "prefect.flow_engine", "prefect.task_engine", "reports.charts",
    "reports.evidence", "reports.render", "reports.tables", "reports.validation",
    "rich._emoji_codes", "scipy.special",
)
"""What flows import when they need it: here once, before all the forks."""


def _complete() -> None:
    """Make the validators that models get at their first use: a fifth of an attempt's work."""
    found = [Plan]
    for module in (actions, objects, responses):
        found += [each for each in vars(module).values()
                  if inspect.isclass(each) and issubclass(each, BaseModel)]
    for model in found:
        if hasattr(model, "__pydantic_generic_metadata__"):  # all but the base
            model.model_rebuild()


def _prepare() -> dict[str, Any]:
    """Set the points and return the flows by name."""
    for name in PRELOADED:
        import_module(name)
    _complete()
    configure_mappers()  # else each of some hundred forks does it anew,
    load_prefect_collections()  # and reads what is installed anew
    tasks.steps.step = _killing_step(tasks.steps.step)  # type: ignore[assignment]
    _between(steps, "save", lambda store, step: f"{step.name} {step.status}", before=True)
    _between(levers, "_pulled", lambda plan, lever, key, repair: key)
    _between(Gateway, "publish", lambda self, plan, state: str(state.order))
    _between(routing, "change", lambda store, migration, change, *_, **__: repr(change))
    _between(approvals, "answer", lambda store, approval_id, *_, **__: str(approval_id))
    _between(leaving_out, "leave_out", lambda store, cutover, stage, **_: stage.key)
    _between(messages, "put", lambda store, message, **_: message.key)
    from flows.cutover import cutover
    from flows.daily_summary import daily_summary
    from flows.deprecation import deprecation
    from flows.phases import gradual
    from flows.rollback import rollback
    from flows.validation import validation

    every = (cutover, daily_summary, deprecation, gradual, rollback, validation)
    return {flow.name: flow for flow in every}


def _register(home: Home) -> int:
    """Save the blocks of the migration in a home; return the exit code."""
    from blocks.register import save_all

    migration = home.settings().get("migration", "bench")
    with contextlib.closing(Store.open(home.store_url)) as store:
        asyncio.run(save_all(plans.load(store, migration), home, identity.of(store)))
    return 0


def _attempt(flow: Any, run_id: str) -> int:
    """Carry out the run until it ends or leaves; return the exit code."""
    from prefect.exceptions import Pause
    from prefect.flow_engine import load_flow_run, run_flow

    os.environ["PREFECT__FLOW_RUN_ID"] = run_id
    try:
        asyncio.run(run_flow(flow, flow_run=load_flow_run(UUID(run_id)), return_type="state"))
    except Pause:
        return 0
    except BaseException:  # noqa: BLE001  whatever ends an attempt is told to the test
        traceback.print_exc()
        return 1
    return 0


def _move_clock(home: Path) -> None:
    """Have this process live at the time that the test says, if it says any."""
    file = home / MOVED_CLOCK
    if file.exists():
        ahead = timedelta(seconds=float(file.read_text()))
        real = clock.now
        clock.now = lambda: real() + ahead


def _deploy() -> int:
    """Make the work pool and deploy every flow; return the exit code."""
    from blocks.prepare import prefect

    with contextlib.redirect_stdout(sys.stderr):  # answers go to the test on the other
        prefect("work-pool", "create", "changeover", "--type", "process")
        prefect("--no-prompt", "deploy", "--all")
    return 0


def _carry_out(flows: dict[str, Any], home: Path, name: str, run_id: str) -> int:
    """Do what a line asks for and return the exit code."""
    if name == "register":
        return _register(Home(home))
    return _deploy() if name == "deploy" else _attempt(flows[name], run_id)


def main() -> None:
    """Fork for every line; answer with how the process ended."""
    global _fired
    flows = _prepare()
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        home, name, run_id, fired = line.split()
        child = os.fork()
        if child == 0:
            _fired = None if fired == "-" else Path(fired)
            os.environ["CHANGEOVER_HOME"] = home
            _move_clock(Path(home))
            os._exit(_carry_out(flows, Path(home), name, run_id))
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
