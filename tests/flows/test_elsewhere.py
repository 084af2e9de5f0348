"""Flows on other machines: a worker has the package, the database and Prefect's API, no home."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from changeover.domain.health import Heartbeat
from changeover.domain.rollbacks import RollbackStatus
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import Mode
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.procedures.registering import register
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.store import (
    cutovers,
    gateway_nodes,
    heartbeats,
    main_gateways,
    publications,
    rollbacks,
    routing,
    steps,
)
from changeover.store.engine import Store
from tests.integration.node.conftest import (
    Fleet,
    postgres_template,
    postgres_url,
    start_fleet,
)
from tests.store.conftest import new_database
from tests.support.elsewhere import POOL, Machine, prefect_elsewhere, require_machines
from tests.support.processes import LONGEST_PAUSE, kill, running, wait_for

__all__ = ["postgres_template", "postgres_url"]  # fixtures

GOES_ON = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CRASHED")
SHORT: dict[str, Any] = {
    "gates": {"slo": [{"metric": "error_rate", "of": "candidate", "below": "20%", "over": "2s",
                       "min_samples": 3}]},
    "phases": [
        {"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "2s"}]},
        {"phase": "full", "soak": "2s", "gates": ["slo"]}],
    "patience": {"recheck": "1s", "rechecks": 600},
    "rollback": {"cleanup": ["*.tmp"], "roots": ["work"]},
}


@dataclass
class Site:
    """A main machine, two nodes, a Prefect server, and machines for workers."""

    fleet: Fleet
    api: PrefectApi
    machines: list[Machine]

    def gateways_serve(self) -> bool:
        """Whether the main gateway and both nodes serve the present state."""
        found = main_gateways.all_gateways(self.fleet.store, "bench")
        order = self.fleet.state().order
        return len(found.confirmed(order)) == 3 and self.fleet.bench.gateway.served() == order

    def cutover(self) -> Cutover | None:
        return cutovers.latest(self.fleet.store, "bench")

    def begun(self, run_id: str) -> Heartbeat | None:
        """Return the sign of the process that carries a run, once there is one."""
        signs = {each.service: each for each in heartbeats.every(self.fleet.store)}
        return signs.get(f"flow:{run_id}")


@dataclass
class Promoted:
    """A cutover that has ended, and the signs of the processes that carried it."""

    cutover: Cutover
    before: Heartbeat
    after: Heartbeat


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_machines()
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def api(directory: Path) -> Iterator[PrefectApi]:
    (directory / "prefect").mkdir()
    with prefect_elsewhere(directory / "prefect") as found:
        yield found


@pytest.fixture(scope="module")
def site(
    directory: Path, api: PrefectApi, postgres_url: str, postgres_template: str
) -> Iterator[Site]:
    url = new_database(postgres_url, template=postgres_template)
    with ExitStack() as stack:
        fleet = start_fleet(stack, directory, url, **SHORT)
        fleet.home.save_settings({"migration": "bench", "ui_url": "http://pages.example"})
        machines = [_machine(directory / name, url, api, fleet.home) for name in "ab"]
        # before the observer, which ends when the plan is amended: its supervisor starts it again
        _deploy(machines[0], fleet.plan)
        log = fleet.home.logs / "observer.log"
        stack.enter_context(running(
            [sys.executable, "-m", "changeover.observer", "--home", str(fleet.home.root),
             "--migration", "bench", "--api-url", api.url], log))
        nodes = fleet.start("edge-1", "edge-2")
        stack.enter_context(fleet.load(*nodes, pause=0.1))
        yield Site(fleet, api, machines)


def _machine(root: Path, url: str, api: PrefectApi, home: Home) -> Machine:
    root.mkdir()
    return Machine(root, url, api.url, home.root)


def _deploy(machine: Machine, plan: Plan) -> None:
    """Deploy a plan from a machine that has nothing but its file."""
    systems = {name: {"name": plan.system(name).name, "url": plan.system(name).url,
                      "health_timeout": "20s", "timeout": "60s"}
               for name in ("baseline", "candidate")}
    document = {"migration": plan.migration, "systems": systems,
                "routing": {"listen": plan.routing.listen}, **SHORT}
    path = machine.root / "plan.json"
    path.write_text(json.dumps(document))
    said = machine.changeover("deploy", "--plan", str(path), "--pool", POOL)
    assert f"every flow is deployed in the work pool {POOL}" in said


def test_what_prefect_knows_has_no_address_of_the_database(site: Site) -> None:
    """Blocks can be read by everyone who reaches Prefect's API."""
    blocks = site.api._call("POST", "/block_documents/filter", {"include_secrets": True})
    assert {each["name"] for each in blocks} >= {"bench", "current"}
    assert "postgresql" not in json.dumps(blocks)


@pytest.fixture(scope="module")
def promoted(site: Site) -> Promoted:
    """A cutover whose first machine died when half of the users had moved."""
    first, second = site.machines
    with first.worker() as worker:
        run_id = site.api.start("cutover/main", parameters={"migration": "bench"})
        assert run_id is not None
        wait_for(lambda: site.fleet.state().weight == 5000, seconds=60, what="half of the users")
        before = site.begun(run_id)
        kill(worker)
    with second.worker():
        wait_ended(site.api, run_id)
    cutover, after = site.cutover(), site.begun(run_id)
    assert cutover
    assert before
    assert after
    assert cutover.flow_run_id == run_id
    wait_for(site.gateways_serve, what="all three gateways serve the end")
    return Promoted(cutover, before, after)


def test_a_cutover_goes_on_on_another_machine_when_the_first_one_dies(promoted: Promoted) -> None:
    """Its worker and its process are gone with their machine; users were at 50 % by then."""
    assert promoted.cutover.status is CutoverStatus.PROMOTED
    assert promoted.before.machine
    assert promoted.before.machine != promoted.after.machine


def test_whoever_publishes_elsewhere_waits_for_the_main_gateway_too(
    site: Site, promoted: Promoted
) -> None:
    """Each move of the cutover was confirmed by it and by both nodes."""
    told = [each.nodes for each in publications.all_of(site.fleet.store, "bench")
            if each.is_confirmed and each.nodes]
    assert told
    assert any(each.startswith("3 of 3 gateways confirmed") for each in told)


def test_the_main_machine_writes_its_way_back_for_a_flow_elsewhere(
    site: Site, promoted: Promoted
) -> None:
    """The flow cannot reach that disk: the observer of `changeover up` does it."""
    subject = f"cutover-{promoted.cutover.id}"
    assert (site.fleet.home.root / "rollback" / subject / "rollback.sh").exists()
    step = steps.one(site.fleet.store, "bench", subject, "rollback.sh")
    assert step is not None
    assert "the observer of `changeover up` writes rollback.sh on its machine" in step.detail


def test_a_rollback_elsewhere_reaches_every_gateway_and_says_what_it_left(
    site: Site, promoted: Promoted
) -> None:
    """The candidate's files are on no machine of a worker: a person is told where to clean up."""
    store = site.fleet.store
    with site.machines[0].worker():
        # failed, since a person must clean up
        wait_ended(site.api, site.api.start(
            "rollback/main", parameters={"migration": "bench", "reason": "it burns"}), "FAILED")
    assert site.fleet.state().mode is Mode.EMERGENCY_ROLLBACK
    assert site.gateways_serve()
    found = rollbacks.all_of(store, "bench")[-1]
    told = {step.name: (str(step.status), step.detail)
            for step in steps.all_of(store, "bench", f"rollback-{found.id}")}
    assert found.status is RollbackStatus.NEEDS_PERSON
    assert told["clean up"][0] == "failed"
    assert "changeover cleanup --yes" in told["clean up"][1]
    assert told["verify"][0] == "done", told


def wait_ended(api: PrefectApi, run_id: str | None, state: str = "COMPLETED") -> None:
    """Wait until a flow run has ended, in a state."""
    def is_ended() -> bool:
        run = api.run(run_id or "")
        assert run is not None
        assert run.state_type in (state, *GOES_ON), run.said
        return run.state_type == state

    wait_for(is_ended, seconds=180, what="the run's end")


def test_without_a_main_machine_nodes_observer_and_worker_are_enough(
    directory: Path, api: PrefectApi, site: Site, postgres_url: str, postgres_template: str,
) -> None:
    """A fleet that nobody started with `changeover up`: only the nodes are waited for."""
    url = new_database(postgres_url, template=postgres_template)
    pure = directory / "pure"
    pure.mkdir()
    with contextlib.ExitStack() as stack:
        machine = Machine(pure, url, api.url, site.fleet.home.root)
        store = Store.open(url, timeout=LONGEST_PAUSE)
        stack.callback(store.close)
        # what is in Prefect is there already, and the same
        plan = site.machines[0].root / "plan.json"
        register(store, load_plan(plan), plan)
        fleet = replace(
            site.fleet, store=store, url=url, directory=pure, stack=stack, nodes=[])
        stack.enter_context(machine.running(
            "observer", "-m", "changeover.cli", "observer", "--migration", "bench", "--name",
            "judge-1", "--home", str(pure / "judge")))
        nodes = fleet.start("edge-1")
        stack.enter_context(fleet.load(*nodes, pause=0.1))
        stack.enter_context(machine.worker())
        run_id = api.start("cutover/main", parameters={"migration": "bench"})
        # to its very end: another store's observer would find a run that was left
        wait_ended(api, run_id)
        found = cutovers.latest(fleet.store, "bench")
        assert found is not None
        assert found.status is CutoverStatus.PROMOTED
        assert main_gateways.find(fleet.store, "bench") is None
        node = gateway_nodes.fleet(fleet.store, "bench").nodes[0]
        assert node.order == routing.read(fleet.store, "bench").order
