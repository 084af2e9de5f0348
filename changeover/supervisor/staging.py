"""An example made ready to run: its plan on this machine's ports, its processes, its traffic."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass, field, replace

from changeover import clock
from changeover.domain.routing import System
from changeover.domain.tokens import Scope, Token
from changeover.machine.files import write_atomically
from changeover.machine.ports import free_port, is_free
from changeover.plan.model import Plan
from changeover.site.home import HOME_VARIABLE, Home
from changeover.store import tokens
from changeover.store.engine import Store
from changeover.supervisor.child import Child
from changeover.supervisor.demo import FAULT_VARIABLE, FAULTS_FILE_VARIABLE, Faults, stats_file
from changeover.supervisor.examples import Example, Prepared
from changeover.supervisor.keeper import PROJECT
from changeover.supervisor.stack import Beside, Settings

CONSOLE_VARIABLE = "CONSOLE_URL"
CONSOLE_TOKEN_VARIABLE = "CONSOLE_TOKEN"  # noqa: S105  the variable's name, not a token
SERVICE_VARIABLE = "SERVICE_{}_URL"
"""Says where a service of the example is, by its name in capitals."""


@dataclass(frozen=True)
class Wanted:
    """Traffic and ports that a person asks for.

    Args:
        rate: Users' requests per second; None: the example's own.
        users: Distinct users; None: the example's own.
        prefect_port: Port of Prefect's server; None: 4200, or another when that is taken.
        console_port: Port of the console; None: 8190, or another.
        reports_port: Port of the reports; None: 8180, or another.
    """

    rate: float | None = None
    users: int | None = None
    prefect_port: int | None = None
    console_port: int | None = None
    reports_port: int | None = None


@dataclass(frozen=True)
class Staged:
    """Everything that is needed to run an example.

    Args:
        plan: As it runs here.
        settings: For the stack.
        load: The process that sends users' requests, not started.
        faults: Begins the example's faults.
        token: Lets the example's processes write to the console, once `admit` has saved it.
    """

    plan: Plan
    settings: Settings
    load: Child
    faults: Faults
    token: str = field(repr=False)

    def admit(self, store: Store) -> None:
        """Have the console take what the example's processes report."""
        tokens.save(store, Token(
            self.plan.migration, "demo", Scope.WRITE, created_at=clock.now(), created_by="demo"),
            self.token)


def stage(home: Home, name: str, example: Example, prepared: Prepared, wanted: Wanted) -> Staged:
    """Write an example's plan into a home directory and describe its processes; nothing starts.

    Args:
        home: A home directory that nobody uses.
        name: The example's name.
        example: What it says of itself.
        prepared: Its plan for this machine.
        wanted: Its traffic and ports.
    """
    path = home.root / f"{name}.yaml"
    # JSON is YAML, too; what nobody wrote is left out, so that it reads like the plan
    document = prepared.plan.model_dump(mode="json", by_alias=True, exclude_unset=True,
                                        exclude={"environments", "environment"})
    write_atomically(path, json.dumps(document, indent=1))
    faults_file = home.root / "faults.json"
    token = secrets.token_urlsafe(24)
    console, console_token = (
        f"127.0.0.1:{wanted.console_port or _port(8190)}", tokens.new_text())
    beside = tuple(_beside(example, prepared))
    systems = {str(name): prepared.plan.system(str(name)).url for name in System}
    env = {HOME_VARIABLE: str(home.root), FAULT_VARIABLE: token,
           **{f"{_as_variable(name)}_URL": url for name, url in systems.items()},
           FAULTS_FILE_VARIABLE: str(faults_file),
           CONSOLE_VARIABLE: f"http://{console}", CONSOLE_TOKEN_VARIABLE: console_token,
           **{SERVICE_VARIABLE.format(_as_variable(other.name)): other.url for other in beside}}
    settings = Settings(
        path, wanted.prefect_port or _port(4200), wanted.reports_port or _port(8180),
        console, system_env=env, beside=beside)
    addresses = {other.name: other.url for other in beside} | systems
    load = _load(home, example, prepared.plan, wanted)
    return Staged(prepared.plan, settings, replace(load, env=env),
                  Faults(addresses, token, faults_file), console_token)


def _beside(example: Example, prepared: Prepared) -> list[Beside]:
    found = []
    for service in example.services:
        port = prepared.port(service.port)
        command = [sys.executable, "-m", service.module, "--port", str(port)]
        found.append(Beside(service.name, command, f"http://127.0.0.1:{port}"))
    return found


def _load(home: Home, example: Example, plan: Plan, wanted: Wanted) -> Child:
    """Return the process that sends real users' requests to the gateway."""
    rate, users = wanted.rate or example.rate, wanted.users or example.users
    return Child(
        "traffic",
        [sys.executable, "-m", example.load, "--url", f"http://{plan.routing.listen}",
         "--rate", str(rate), "--users", str(users), "--stats", str(stats_file(home))],
        home.logs / "traffic.log", directory=PROJECT, restart=False)


def _as_variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _port(wanted: int) -> int:
    return wanted if is_free("127.0.0.1", wanted) else free_port()
