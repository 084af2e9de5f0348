"""Every health check that a plan has, by name; none of them hides another's result."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from changeover import clock
from changeover.errors import ChangeoverError
from changeover.gateway.publish import Gateway
from changeover.health import machine, systems
from changeover.health.result import Health, Status
from changeover.home import Home
from changeover.observer.prefect_api import PrefectApi
from changeover.plan.model import Plan
from changeover.routing import System
from changeover.store import operations, routing
from changeover.store.engine import Store
from changeover.validation.outcome import Scene
from changeover.validation.saving import scene_of

AT_ONCE = 8
SILENT = timedelta(seconds=20)
WORKER_SILENT = timedelta(seconds=90)
LOOKED_AFTER = ("cutover", "rollback", "validation", "report")
Check = Callable[[], Health]


@dataclass(frozen=True)
class Patient:
    """What is looked at: a running migration."""

    home: Home
    plan: Plan
    store: Store

    @property
    def scene(self) -> Scene:
        """The scene of its checks."""
        return scene_of(self.home, self.plan, self.store)


def checks_of(patient: Patient) -> dict[str, Check]:
    """Return all checks of a migration by name."""
    plan, spec = patient.plan, patient.plan.health
    found: dict[str, Check] = {
        "memory": partial(machine.memory, spec.memory),
        "disk": partial(machine.disk, spec.disk, patient.home.root),
        "home": partial(machine.folder, patient.home.root),
        "gateway": partial(_gateway, patient),
        "observer": partial(_service, patient, "observer", Status.CRITICAL, "observer_gone"),
        "prefect": partial(_prefect, patient),
    }
    for name in System:
        found[str(name)] = partial(systems.answers, plan.system(name), str(name))
    if plan.shadow:
        found["shadow"] = partial(_service, patient, "shadow", Status.UNHEALTHY, "shadow_gone")
    scene = patient.scene
    found |= {f"folder {n}": partial(machine.folder, scene.folder / path)
              for n, path in spec.folders.items()}
    found |= {f"node {n}": partial(systems.node, node, scene) for n, node in spec.nodes.items()}
    found |= systems.services(spec.services)
    found |= {f"database {n}": partial(machine.database, db, scene)
              for n, db in spec.databases.items()}
    found |= {f"certificate {n}": partial(machine.certificate, one)
              for n, one in spec.certificates.items()}
    found |= {f"memory of {n}": partial(systems.memory_limit, limit, scene)
              for n, limit in spec.memory_limits.items()}
    return found


def examine(checks: dict[str, Check]) -> dict[str, Health]:
    """Run checks beside each other and return their findings; one that breaks is an error."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        findings = pool.map(_safely, checks.values())
        return dict(zip(checks, findings, strict=True))


def _safely(check: Check) -> Health:
    try:
        return check()
    except ChangeoverError as error:
        return Health(Status.ERROR, str(error))
    except Exception as error:  # noqa: BLE001  one check's fault must not hide the others' results
        return Health(Status.ERROR, f"{type(error).__name__}: {error}")


def _gateway(patient: Patient) -> Health:
    state = routing.read(patient.store, patient.plan.migration)
    try:
        served = Gateway(patient.home.gateway_files).served()
    except ChangeoverError as error:
        return Health(Status.CRITICAL, error.what, {}, "gateway_drift", "gateway")
    if served == state.order:
        return Health(Status.HEALTHY, f"serves {state.describe()}")
    detail = f"serves {served}, the routing state is {state.order}"
    return Health(Status.CRITICAL, detail, {}, "gateway_drift", "gateway")


def _service(patient: Patient, name: str, status: Status, issue: str) -> Health:
    beats = {beat.service: beat for beat in operations.heartbeats(patient.store)}
    beat = beats.get(name)
    if beat is not None and clock.now() - beat.at <= SILENT:
        return Health(Status.HEALTHY, f"the {name} is alive")
    since = f"is silent since {beat.at:%H:%M:%S} UTC" if beat else "never was there"
    return Health(status, f"the {name} {since}", {}, issue, name)


def _prefect(patient: Patient) -> Health:
    """Look at Prefect's server, its worker and runs that should have begun."""
    api = PrefectApi(str(patient.home.settings().get("api_url", "")))
    if not api.is_alive():
        return Health(Status.CRITICAL, "Prefect's server does not answer", {}, "worker_gone",
                      "prefect")
    silent = api.worker_silence(clock.now())
    if silent is None or silent > WORKER_SILENT:
        told = "never was there" if silent is None else \
            f"is silent for {silent.total_seconds():.0f} s"
        return Health(Status.CRITICAL, f"the worker {told}", {}, "worker_gone", "prefect")
    late = api.late_runs(clock.now(), patient.plan.health.late_runs, LOOKED_AFTER)
    if late:
        return Health(Status.WARNING, f"{late} flow runs are late", {"late": late}, "worker_gone",
                      "prefect")
    return Health(Status.HEALTHY, "server and worker are alive, no run is late")
