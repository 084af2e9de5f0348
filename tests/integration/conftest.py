"""A real Envoy between two real systems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway import reaching
from changeover.gateway.admin import Admin
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan import user_files, user_lists
from changeover.plan.model import Plan
from tests.support.processes import LONGEST_PAUSE, free_port, running, upstream, wait_for


@dataclass
class Bench:
    """A gateway that serves, its two systems and the plan; `move` publishes the next state."""

    plan: Plan
    gateway: Gateway
    processes: dict[str, Popen[bytes]]
    state: RoutingState = field(default_factory=lambda: RoutingState("bench"))

    @property
    def url(self) -> str:
        return reaching.gateway_address(self.plan)

    def move(self, mode: Mode, weight: int = 0, **fields: object) -> None:
        """Publish the next version of the routing state."""
        self.state = RoutingState(
            "bench", mode=mode, weight=weight, version=self.state.version + 1,
            epoch=self.state.epoch, **fields,  # type: ignore[arg-type]
        )
        self.gateway.publish(self.plan, self.state)

    def roll_back(self) -> None:
        """Publish that everyone is back at the baseline, in the next epoch."""
        self.state = RoutingState(
            "bench", Mode.EMERGENCY_ROLLBACK, version=self.state.version + 1,
            epoch=self.state.epoch + 1)
        self.gateway.publish(self.plan, self.state)

    def fault(self, kind: str, system: str = "candidate") -> None:
        """Have a system misbehave."""
        url = f"{self.plan.system(system).url}/fault?kind={kind}"
        httpx.post(url, timeout=LONGEST_PAUSE).raise_for_status()

    def ran(self, system: str) -> dict[str, list[str]]:
        """Return what a system ran."""
        return httpx.get(f"{self.plan.system(system).url}/ran", timeout=LONGEST_PAUSE).json()


def make_plan(
    *, health_timeout: str = "1s", attempt_timeout: str = "60s", folder: Path | None = None,
    **changes: object,
) -> Plan:
    """Return a plan of two local systems on free ports; `changes` replace its parts.

    Files with users that it names are in `folder`.
    """
    ports = [free_port() for _ in range(3)]
    patience = {"health_timeout": health_timeout, "timeout": "60s"}
    document: dict[str, object] = {
        "migration": "bench",
        "systems": {
            "baseline": {"name": "old", "url": f"http://127.0.0.1:{ports[0]}", **patience},
            "candidate": {"name": "new", "url": f"http://127.0.0.1:{ports[1]}", **patience,
                          "attempt_timeout": attempt_timeout},
        },
        "routing": {
            "listen": f"127.0.0.1:{ports[2]}",
            "segments": {"beta": {"header": "x-cohort", "any_of": ["beta", "a.b|c"]}},
        },
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
    }
    known, lists, wrong = user_files.with_lists({**document, **changes}, folder or Path())
    assert not wrong, wrong
    return Plan.model_validate(known, context=user_lists.as_context(lists))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A serving gateway with everyone at the baseline."""
    yield from start_bench(make_plan(), tmp_path)


def start_bench(plan: Plan, directory: Path) -> Iterator[Bench]:
    """Start the two systems and Envoy; end them afterwards."""
    gateway = Gateway(GatewayFiles(directory / "gateway"), patience=LONGEST_PAUSE)
    gateway._admin = Admin(gateway.files.admin_socket, timeout=LONGEST_PAUSE)
    state = RoutingState(plan.migration, version=1)
    gateway.prepare(plan, state)
    ports = [int(plan.system(name).url.rsplit(":", 1)[1]) for name in ("baseline", "candidate")]
    with (
        upstream("baseline", ports[0], directory) as baseline,
        upstream("candidate", ports[1], directory) as candidate,
        running(envoy_command(gateway.files, grace=plan.rollback.grace),
                directory / "envoy.log") as envoy,
    ):
        wait_for(lambda: gateway.admin.is_alive(), what="envoy")
        processes = {"baseline": baseline, "candidate": candidate, "envoy": envoy}
        wait_for(lambda: httpx.get(f"http://{plan.routing.listen}/").status_code == 200)
        yield Bench(plan, gateway, processes, state)
