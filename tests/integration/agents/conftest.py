"""The agents' migration with real processes throughout: the plan as shipped, on free ports."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.store import routing, samples
from tests.integration.console.conftest import Served, started
from tests.support.processes import LONGEST_PAUSE, ROOT, free_port, kill, running, wait_for

SECRET = "only GitHub knows it"
PROCESSES = ("tracker", "baseline", "candidate", "receiver")


@dataclass
class Example:
    """Everything of the example, running."""

    console: Served
    stack: ExitStack
    folder: Path
    ports: Mapping[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, name: str) -> None:
        """Start one of the processes and wait until it answers."""
        arguments, env = [], {"SERVICE_TRACKER_URL": self.address("tracker")}
        if name == "receiver":
            arguments = ["--baseline", self.address("baseline"),
                         "--candidate", self.address("candidate")]
            env |= {"WEBHOOK_SECRET": SECRET, "CONSOLE_URL": self.console.url,
                    "CONSOLE_TOKEN": self.console.token()}
        command = [sys.executable, "-m", f"examples.agents.{name}", "--port",
                   str(self.ports[name]), *arguments]
        self.processes[name] = self.stack.enter_context(
            running(command, self.folder / f"{name}.log", CHANGEOVER_FAULT_TOKEN="t", **env))
        wait_for(lambda: httpx.get(f"{self.address(name)}/health").is_success, seconds=60,
                 what=name)

    def kill(self, name: str) -> None:
        """End one of the processes as a crash does."""
        kill(self.processes[name])

    def deliver(self, number: int, title: str = "App crashes", **changes: Any) -> httpx.Response:
        """Deliver an issue event as GitHub does."""
        return self.send({
            "action": "opened", "sender": {"login": "octocat"},
            "issue": {"number": number, "title": title, "body": "a traceback", "labels": []},
            "repository": {"full_name": "acme/shop", "private": False}, **changes})

    def send(self, event: dict[str, Any], secret: str = SECRET) -> httpx.Response:
        """Deliver an event that is signed with a secret."""
        body = json.dumps(event).encode()
        sign = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"x-github-event": "issues", "x-hub-signature-256": f"sha256={sign}",
                   "x-github-delivery": str(uuid.uuid4())}
        return httpx.post(f"{self.address('receiver')}/webhooks/github", content=body,
                          headers=headers, timeout=LONGEST_PAUSE)

    def fault(self, name: str, kind: str) -> None:
        """Have a process misbehave."""
        httpx.post(f"{self.address(name)}/fault", json={"kind": kind}, timeout=LONGEST_PAUSE,
                   headers={"authorization": "Bearer t"}).raise_for_status()

    def resolutions(self, item: str | int) -> list[dict[str, Any]]:
        """Return what was handed in for an issue."""
        name = f"acme:shop:{item}" if isinstance(item, int) else item
        return httpx.get(f"{self.address('tracker')}/resolutions", timeout=LONGEST_PAUSE,
                         params={"item": name}).json()

    def outcomes(self, system: str) -> int:
        now = clock.now()
        return samples.window(self.console.store, "agents", system, start=now - timedelta(hours=1),
                              end=now + timedelta(seconds=2)).outcomes


def shipped(ports: Mapping[str, int], **changes: Any) -> Plan:
    """Return the plan as shipped on other ports."""
    document = load_plan(ROOT / "plans" / "agents.yaml").model_dump(mode="json", by_alias=True)
    for name in ("baseline", "candidate"):
        document["systems"][name]["url"] = f"http://127.0.0.1:{ports[name]}"
    document["routing"]["listen"] = f"127.0.0.1:{ports['in']}"
    return Plan.model_validate({**document, **changes})


def begun(stack: ExitStack, folder: Path, **changes: Any) -> Example:
    """Start Envoy, console, both systems, tracker and receiver."""
    ports = {name: free_port() for name in (*PROCESSES, "in")}
    plan, home = shipped(ports, **changes), Home(folder / "home")
    home.create()
    home.save_settings({"migration": plan.migration})
    gateway = Gateway(home.gateway_files)
    console = started(stack, home, plan)
    gateway.prepare(plan, routing.read(console.store, "agents"))
    stack.enter_context(running(envoy_command(gateway.files), folder / "envoy.log"))
    example = Example(console, stack, folder, ports)
    for name in PROCESSES:
        example.start(name)
    wait_for(gateway.admin.is_alive, what="envoy")
    return example


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """Everything running, for the tests of a module."""
    with ExitStack() as stack:
        yield begun(stack, tmp_path_factory.mktemp("agents"))
