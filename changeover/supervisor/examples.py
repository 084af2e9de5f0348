"""The migrations that `changeover demo` can run: what each of `examples/` says of itself."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.machine.ports import free_port, is_free
from changeover.plan.faster import faster
from changeover.plan.load import load_plan, parse_plan
from changeover.plan.model import Plan
from changeover.supervisor.keeper import PROJECT

USUAL = "metadata"
"""The migration of a bare `changeover demo`."""
_PORT = re.compile(r"(?<![\d.])127\.0\.0\.1:(\d{4,5})\b")


@dataclass(frozen=True)
class Service:
    """A process that the example needs beside its two systems.

    Args:
        name: Its name in messages, and of its log.
        module: What `python -m` runs; it takes `--port` and answers `/health`.
        port: Where it listens; another one is taken where that is not free.
    """

    name: str
    module: str
    port: int


@dataclass(frozen=True)
class Fault:
    """A misbehaviour that can be asked for.

    Args:
        about: What then happens, in a few words.
        to: Who misbehaves: `candidate`, `baseline`, `load`, or the name of a service.
    """

    about: str
    to: str = "candidate"


@dataclass(frozen=True)
class Example:
    """One migration that can be run from end to end on this machine.

    Args:
        about: What moves from where to where, in one line.
        load: The module that sends users' requests (`examples.shared.load` says how it is called).
        faults: What can go wrong, by name.
        speed: How many times as fast as the plan says, unless asked otherwise.
        rate: Users' requests per second.
        users: Distinct users.
        services: Further processes.
        needs: Returns what this machine lacks and what to install, or None.
    """

    about: str
    load: str
    faults: Mapping[str, Fault]
    speed: float = 1.0
    rate: float = 50.0
    users: int = 300
    services: tuple[Service, ...] = ()
    needs: Callable[[], str | None] = field(default=lambda: None)


def names() -> list[str]:
    """Return the names of all examples, as `changeover demo` takes them."""
    return sorted(each.parent.name for each in (PROJECT / "examples").glob("*/demo.py"))


def described(name: str) -> Example:
    """Return what an example says of itself, whether or not this machine can run it.

    Raises:
        InvalidInput: There is none of that name.
    """
    if name not in names():
        raise InvalidInput(
            f"there is no demo {name!r}", allowed=", ".join(names()),
            next_step=f"For instance: changeover demo {USUAL}")
    found: Example = importlib.import_module(f"examples.{name}.demo").EXAMPLE
    return found


def load(name: str) -> Example:
    """Return an example that this machine can run.

    Raises:
        InvalidInput: There is none of that name.
        EnvironmentProblem: This machine lacks something that it needs.
    """
    found = described(name)
    if (lacking := found.needs()) is not None:
        raise EnvironmentProblem(f"the demo {name} cannot run here", next_step=lacking)
    return found


@dataclass(frozen=True)
class Prepared:
    """A plan as the demo runs it.

    Args:
        plan: Faster, and on ports that are free.
        original: As it was written.
        speed: How many times as fast the plan's calendar runs.
        ports: Every port that had to be another one.
    """

    plan: Plan
    original: Plan
    speed: float
    ports: Mapping[int, int]

    def port(self, wanted: int) -> int:
        """Return the port that stands for a wanted one."""
        return self.ports.get(wanted, wanted)


def prepare(
    name: str, example: Example, *, speed: float | None = None, environment: str | None = None
) -> Prepared:
    """Return an example's plan for this machine: `speed` times as fast, on free ports.

    Args:
        name: The example's, and its plan's.
        example: What it says of itself.
        speed: How many times as fast as the plan says; None: the example's own.
        environment: One of the plan's environments.

    Raises:
        InvalidInput: The speed is not possible.
        InvalidPlan: The plan, or the faster one, is not allowed.
    """
    path = PROJECT / "plans" / f"{name}.yaml"
    text = path.read_text()
    wanted = {int(port) for port in _PORT.findall(text)} | {
        service.port for service in example.services}
    ports = {port: free_port() for port in sorted(wanted) if not is_free("127.0.0.1", port)}
    # whole numbers only: a port also stands alone, in the systems' commands
    for old, new in ports.items():
        text = re.sub(rf"(?<![\d.]){old}(?!\d)", str(new), text)
    original = load_plan(path, environment)
    moved = parse_plan(text, str(path), environment)
    factor = example.speed if speed is None else speed
    return Prepared(faster(_placed(moved, path.parent), factor), original, factor, ports)


def _placed(plan: Plan, folder: Path) -> Plan:
    """Return a plan that finds its files from anywhere; folders that it writes to stay relative."""
    suites = {name: [_check_placed(check, folder) for check in checks]
              for name, checks in plan.suites.items()}
    return plan.model_copy(update={"suites": suites}) if suites else plan


def _check_placed(check: object, folder: Path) -> object:
    changes = {}
    for name in ("file", "directory"):
        value = getattr(check, name, None)
        if value is not None:
            changes[name] = str((folder / value).resolve())
    return check.model_copy(update=changes) if changes else check  # type: ignore[attr-defined]
